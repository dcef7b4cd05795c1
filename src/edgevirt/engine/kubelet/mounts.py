"""Mounting in-process: the handful of mount(2) calls a pod needs, and a reader of mountinfo.

A fork of mount(8) costs more than the mounts themselves. Unmounting is by what the kernel lists, deepest
first, so that it also cleans up after a process that was killed in between. Detaching is lazy (MNT_DETACH):
a mount that something still uses goes away when the last user does.
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import os
from collections.abc import Iterable
from pathlib import Path

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8

_libc = ctypes.CDLL(None, use_errno=True)


@dataclasses.dataclass(frozen=True, slots=True)
class MountEntry:
    """One line of mountinfo. `shared`: mounts below it propagate to peers."""

    point: str
    root: str
    fs_type: str
    source: str
    shared: bool
    options: str = ""


def mount(source: str, target: str | Path, fs_type: str, flags: int = 0, data: str = "") -> None:
    """mount(2); OSError names the target."""
    result = _libc.mount(
        source.encode(),
        os.fsencode(target),
        fs_type.encode() or None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot mount {source or fs_type}: {os.strerror(code)}", str(target))


def bind(source: str | Path, target: str | Path, *, read_only: bool = False, recursive: bool = False) -> None:
    """Bind `source` at `target` (both exist)."""
    mount(str(source), target, "", MS_BIND | (MS_REC if recursive else 0))
    if read_only:
        mount("none", target, "", MS_BIND | MS_REMOUNT | MS_RDONLY)


def overlay(
    target: Path, lower: Iterable[str | Path], upper: Path | None = None, work: Path | None = None
) -> None:
    """Mount an overlay, read-only when there is no `upper`. `lower` is highest first."""
    data = "lowerdir=" + ":".join(_escape(str(path)) for path in lower)
    flags = MS_RDONLY
    if upper is not None and work is not None:
        data += f",upperdir={_escape(str(upper))},workdir={_escape(str(work))}"
        flags = 0
    mount("overlay", target, "overlay", flags, data)


def _escape(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def tmpfs(target: Path, *, size: int | None = None, mode: int = 0o755, flags: int = 0) -> None:
    """A tmpfs; `size` in bytes, None for the kernel's default (half of the memory)."""
    data = f"mode={mode:o}" + (f",size={size}" if size is not None else "")
    mount("tmpfs", target, "tmpfs", flags, data)


def unmount(target: str | Path) -> bool:
    """Detach the topmost mount at `target`; False when nothing is mounted there."""
    if _libc.umount2(os.fsencode(target), _MNT_DETACH | _UMOUNT_NOFOLLOW) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOENT):
        return False
    raise OSError(code, f"cannot unmount: {os.strerror(code)}", str(target))


def unmount_below(directory: str | Path) -> int:
    """Detach everything mounted at or below `directory`, deepest first. Returns how many mounts went."""
    count = 0
    for point in sorted((m.point for m in table() if is_below(m.point, str(directory))), reverse=True):
        count += unmount(point)
    return count


def is_below(path: str, directory: str) -> bool:
    """True for `directory` itself and everything under it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def make_shared(directory: Path) -> None:
    """Make `directory` a mount point whose sub-mounts propagate. Idempotent.

    Containers that ask for HostToContainer propagation, and the private mount namespace of the runtime,
    see mounts and unmounts below it only then.
    """
    real = os.path.realpath(directory)
    entry = next((m for m in reversed(table()) if m.point == real), None)
    if entry is None:
        bind(real, real)
    elif entry.shared:
        return
    mount("none", real, "", MS_SHARED)


def table() -> tuple[MountEntry, ...]:
    """The mounts of this mount namespace, in mount order."""
    with open("/proc/thread-self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return tuple(_parse(line) for line in file)


def _parse(line: str) -> MountEntry:
    fields = line.split()
    separator = fields.index("-")
    optional = fields[6:separator]
    return MountEntry(
        point=_unescape(fields[4]),
        root=_unescape(fields[3]),
        fs_type=fields[separator + 1],
        source=_unescape(fields[separator + 2]),
        shared=any(field.startswith("shared:") for field in optional),
        options=fields[separator + 3] if len(fields) > separator + 3 else "",
    )


def _unescape(field: str) -> str:
    if "\\" not in field:
        return field
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field
