"""What can be wrong with a disk image."""

from __future__ import annotations


class DiskError(ValueError):
    """The image cannot be used. The message names the file, what is wrong and, if there is one, a remedy."""
