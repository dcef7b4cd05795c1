"""What can go wrong with an image, one class per thing a caller decides differently about.

`reason` is the closed set of words a log line or a status may carry.
"""

from __future__ import annotations


class ImageError(Exception):
    """Base of every image failure; `str()` says what happened and what to do."""

    reason = "ImageError"


class InvalidImageName(ImageError):
    """The name cannot be parsed; no retry will help."""

    reason = "InvalidImageName"


class BrokenImage(ImageError):
    """The file or archive is not an image this node accepts."""

    reason = "BrokenImage"


class ImageNotFound(ImageError):
    """The registry answers, and has no such image; or it was never imported here."""

    reason = "NotFound"


class ImageUnauthorized(ImageError):
    """The registry wants (other) credentials."""

    reason = "Unauthorized"


class RegistryUnreachable(ImageError):
    """No answer from the registry: name resolution, routing, refused, or too slow."""

    reason = "RegistryUnreachable"


class RegistryUntrusted(ImageError):
    """TLS to the registry failed: unknown authority, wrong name, or plain HTTP."""

    reason = "RegistryUntrusted"


class PullFailed(ImageError):
    """The fetch failed in another way; the message carries the tool's own words."""

    reason = "PullFailed"
