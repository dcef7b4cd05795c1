"""A directory or file inside a volume, opened so that nothing a container put there leads outside.

The kernel resolves the path beneath the volume (openat2, RESOLVE_BENEATH); what was opened is then bound
through its descriptor, so it cannot be exchanged between the check and the mount.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edgevirt.engine.kubelet import mounts
from edgevirt.engine.kubelet.volumes.content import BadVolume
from edgevirt.linux.openat2 import open_beneath


def bind(volume: Path, path: str, target: Path) -> None:
    """Bind `path` of `volume` at `target`, making missing directories. BadVolume when it leads outside."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts:
        raise BadVolume(f"subPath {path!r} is not a path below the volume")
    root = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = _open_or_make(root, parts)
    except OSError as error:
        raise BadVolume(f"subPath {path!r} cannot be followed inside the volume: {error.strerror}") from error
    finally:
        os.close(root)
    try:
        mounts.unmount(target) if target.exists() else None
        target.parent.mkdir(parents=True, exist_ok=True)
        source = Path(f"/proc/self/fd/{found}")
        if source.is_dir():
            target.mkdir(exist_ok=True)
        else:
            target.touch()
        mounts.bind(source, target)
    finally:
        os.close(found)


def _open_or_make(root: int, parts: list[str]) -> int:
    whole = "/".join(parts) or "."
    with contextlib.suppress(FileNotFoundError):
        return open_beneath(root, whole, os.O_PATH, links=True)
    parent = os.dup(root)
    try:
        for part in parts:
            try:
                following = open_beneath(parent, part, os.O_PATH | os.O_DIRECTORY, links=True)
            except FileNotFoundError:
                os.mkdir(part, 0o750, dir_fd=parent)
                following = open_beneath(parent, part, os.O_PATH | os.O_DIRECTORY, links=False)
            os.close(parent)
            parent = following
        return os.dup(parent)
    finally:
        os.close(parent)
