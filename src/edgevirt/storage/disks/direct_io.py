"""Can a file be opened with O_DIRECT? Some file systems refuse it, and QEMU's cache=none with them."""

from __future__ import annotations

import os
from pathlib import Path


def supports_direct_io(path: Path) -> bool:
    """True if `path` opens for direct reading. Raises `OSError` if it cannot be opened at all."""
    os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC))
    except OSError:
        return False
    return True
