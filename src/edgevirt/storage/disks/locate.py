"""Finds the disk image inside a mounted container disk.

The image's author chose every name below the mount, so each component is opened relative to the one before
it and symbolic links are refused: a container disk cannot point at a file outside itself.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from edgevirt.storage.disks.errors import DiskError

DEFAULT_DIRECTORY: Final = "disk"
_LISTED = 5
_MOST_ENTRIES = 10_000


def find_image(mount: Path, path: str = "") -> Path:
    """The disk image in the container disk mounted at `mount`.

    `path` is the file's absolute path inside the image as the VM's author wrote it; without it the one
    regular file in `/disk`. Raises `DiskError` saying what was found instead.
    """
    if path:
        parts = [part for part in path.split("/") if part]
        if not path.startswith("/") or not parts or any(part in (".", "..") for part in parts):
            raise DiskError(f"container disk path {path!r} must be absolute and without . and ..")
        _require_regular_file(mount, parts)
        return mount.joinpath(*parts)
    name = _only_file(mount)
    return mount / DEFAULT_DIRECTORY / name


def _only_file(mount: Path) -> str:
    directory = _open_beneath(mount, [DEFAULT_DIRECTORY], os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = []
        with os.scandir(directory) as entries:
            for count, entry in enumerate(entries):
                if count >= _MOST_ENTRIES:
                    raise DiskError(f"/{DEFAULT_DIRECTORY} of the container disk has too many entries")
                if entry.is_file(follow_symlinks=False):
                    found.append(entry.name)
    finally:
        os.close(directory)
    if len(found) == 1:
        return found[0]
    if not found:
        raise DiskError(f"the container disk has no regular file in /{DEFAULT_DIRECTORY}")
    names = ", ".join(repr(name) for name in sorted(found)[:_LISTED])
    raise DiskError(
        f"the container disk has {len(found)} files in /{DEFAULT_DIRECTORY} ({names}); "
        "say which one with containerDisk.path"
    )


def _require_regular_file(mount: Path, parts: list[str]) -> None:
    fd = _open_beneath(mount, parts, os.O_PATH)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise DiskError(f"/{'/'.join(parts)} in the container disk is not a regular file")
    finally:
        os.close(fd)


def _open_beneath(mount: Path, parts: list[str], flags: int) -> int:
    """A descriptor of mount/parts, reached without following any symbolic link below `mount`."""
    fd = os.open(mount, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        step = flags if last else os.O_PATH | os.O_DIRECTORY
        try:
            inner = os.open(part, step | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        except OSError as error:
            where = "/" + "/".join(parts[: index + 1])
            raise DiskError(f"the container disk has no usable {where}: {error.strerror}") from error
        finally:
            os.close(fd)
        fd = inner
    return fd
