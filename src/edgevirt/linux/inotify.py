"""File system events on the event loop (inotify(7) has no binding in the standard library).

Events say that something changed, not what is there now: a callback looks for itself. When the kernel's
queue overflows, every callback is called, as if all had changed.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

IN_MODIFY = 0x2
IN_ATTRIB = 0x4
IN_CLOSE_WRITE = 0x8
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_ONESHOT = 0x80000000
"""Part of a mask: the watch ends with its first event."""
_IN_Q_OVERFLOW = 0x4000
_IN_IGNORED = 0x8000
_HEADER = struct.Struct("iIII")
_BUFFER = 64 * 1024
_libc = ctypes.CDLL(None, use_errno=True)

Callback = Callable[[str], None]
"""Gets the entry's name; "" for the watched file itself, or when it is not known which."""


class Watcher:
    """One inotify instance. Callbacks run on the loop of its creator. Close it, or use it in `with`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._callbacks: dict[int, Callback] = {}
        self._fd = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._loop.add_reader(self._fd, self._drain)

    def __enter__(self) -> Watcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, path: Path, mask: int, callback: Callback) -> int:
        """Watch `path`; returns a handle for `remove`, the same one for the same file. Raises OSError."""
        handle = _checked(_libc.inotify_add_watch(self._fd, os.fsencode(path), mask))
        self._callbacks[handle] = callback
        return handle

    def remove(self, handle: int) -> None:
        """Stop watching; harmless if the watched file is gone already."""
        if self._callbacks.pop(handle, None):
            _libc.inotify_rm_watch(self._fd, handle)

    def close(self) -> None:
        """End all watches."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _drain(self) -> None:
        try:
            data = os.read(self._fd, _BUFFER)
        except BlockingIOError:
            return
        offset = 0
        while offset < len(data):
            handle, mask, _, length = _HEADER.unpack_from(data, offset)
            offset += _HEADER.size
            name = data[offset : offset + length].rstrip(b"\0").decode(errors="surrogateescape")
            offset += length
            self._dispatch(handle, mask, name)

    def _dispatch(self, handle: int, mask: int, name: str) -> None:
        if mask & _IN_Q_OVERFLOW:
            for callback in tuple(self._callbacks.values()):
                callback("")
        elif mask & _IN_IGNORED:
            self._callbacks.pop(handle, None)
        elif concerned := self._callbacks.get(handle):
            concerned(name)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"inotify: {os.strerror(code)}")
    return result
