"""File system events on the event loop (inotify has no binding in the standard library)."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path

IN_MODIFY = 0x2
IN_CLOSE_WRITE = 0x8
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
_IN_IGNORED = 0x8000
_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000
_libc = ctypes.CDLL(None, use_errno=True)


class Watcher:
    """One inotify instance. Callbacks run on the loop and get the entry's name ("" for the file itself)."""

    def __init__(self) -> None:
        self._fd = self._check(_libc.inotify_init1(_NONBLOCK_CLOEXEC))
        self._callbacks: dict[int, Callable[[str], None]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._drain)

    def add(self, path: Path, mask: int, callback: Callable[[str], None]) -> int:
        """Watch `path`; returns a handle for `remove`. OSError if it does not exist."""
        handle = self._check(_libc.inotify_add_watch(self._fd, os.fsencode(path), mask))
        self._callbacks[handle] = callback
        return handle

    def remove(self, handle: int) -> None:
        """Stop watching; harmless if the watched file is gone already."""
        if self._callbacks.pop(handle, None):
            _libc.inotify_rm_watch(self._fd, handle)

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _drain(self) -> None:
        try:
            data = os.read(self._fd, 64 * 1024)
        except BlockingIOError:
            return
        offset = 0
        while offset < len(data):
            handle, mask, _, length = struct.unpack_from("iIII", data, offset)
            name = data[offset + 16 : offset + 16 + length].rstrip(b"\0").decode(errors="surrogateescape")
            offset += 16 + length
            if mask & _IN_IGNORED:
                self._callbacks.pop(handle, None)
            elif callback := self._callbacks.get(handle):
                callback(name)

    @staticmethod
    def _check(result: int) -> int:
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"inotify: {os.strerror(code)}")
        return result
