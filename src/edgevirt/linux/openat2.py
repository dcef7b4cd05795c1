"""Opening a path that somebody else can change, resolved by the kernel within a directory.

Between looking at a path and opening it, its owner may put a link in the way; so the kernel itself keeps to
the directory while it walks (openat2(2), Linux 5.6). Magic links, as in /proc, are never followed.
"""

from __future__ import annotations

import ctypes
import os
import struct

_SYS_OPENAT2 = 437  # the same number on every architecture
_NO_MAGICLINKS = 0x02
_NO_SYMLINKS = 0x04
_BENEATH = 0x08
_IN_ROOT = 0x10
_libc = ctypes.CDLL(None, use_errno=True)


def open_beneath(directory: int, path: str, flags: int, *, links: bool) -> int:
    """A descriptor of `path` beneath the directory descriptor; close-on-exec.

    Raises OSError: EXDEV if the way leads outside, ELOOP if it has a link and `links` is False, and
    everything open(2) raises.
    """
    return _openat2(directory, path, flags, _BENEATH if links else _BENEATH | _NO_SYMLINKS)


def open_in_root(directory: int, path: str, flags: int) -> int:
    """A descriptor of `path` as for a process whose "/" is the directory descriptor; close-on-exec.

    Links are followed, but lead nowhere else. Raises OSError as open(2).
    """
    return _openat2(directory, path, flags, _IN_ROOT)


def _openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, resolve | _NO_MAGICLINKS)
    fd: int = _libc.syscall(_SYS_OPENAT2, directory, os.fsencode(path), how, len(how))
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return fd
