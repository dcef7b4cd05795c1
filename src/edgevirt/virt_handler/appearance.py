"""Waiting for a file to appear below a directory, driven by inotify.

The directories on the way may not exist yet either; the deepest one that does is watched. They belong to a
tenant, so they are opened like everything of a tenant's, and watched through their descriptor.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from edgevirt.virt_handler.safe_open import open_beneath, open_trusted

T = TypeVar("T")

_IN_ATTRIB = 0x4
_IN_MOVED_TO = 0x80
_IN_CREATE = 0x100
_IN_DELETE_SELF = 0x400
_IN_MOVE_SELF = 0x800
_CHANGES = _IN_ATTRIB | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE_SELF | _IN_MOVE_SELF
_BUFFER = 64 * 1024
_libc = ctypes.CDLL(None, use_errno=True)


async def once_present(directory: str, path: str, attempt: Callable[[], T]) -> T:
    """Call `attempt` until it stops raising FileNotFoundError, again after every change on the way to `path`.

    `directory` is trusted and must exist; `path` is relative to it. Waits for ever; every other error of
    `attempt` is passed on.
    """
    with _Watch() as watch:
        while True:
            watched = watch.deepest(directory, path)
            try:
                return attempt()
            except FileNotFoundError:
                # A directory made between the watch and the attempt sends its own event only if it was
                # made in the watched one; look whether there is a deeper one by now.
                if watch.deepest(directory, path) == watched:
                    await watch.change()


class _Watch:
    """One inotify instance that watches one directory at a time."""

    def __init__(self) -> None:
        fd: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"inotify: {os.strerror(code)}")
        self._fd = fd
        self._watched = -1
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(fd, self._drain)

    def __enter__(self) -> _Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def deepest(self, directory: str, path: str) -> str:
        """Watch the deepest existing directory on the way from `directory` to `path`, and say which it is."""
        parts = path.split("/")[:-1]
        root = open_trusted(directory)
        try:
            for count in range(len(parts), 0, -1):
                below = "/".join(parts[:count])
                try:
                    fd = open_beneath(root, below)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                try:
                    self._follow(fd)
                finally:
                    os.close(fd)
                return below
            self._follow(root)
            return ""
        finally:
            os.close(root)

    def _follow(self, fd: int) -> None:
        self._changed.clear()
        handle: int = _libc.inotify_add_watch(self._fd, os.fsencode(f"/proc/self/fd/{fd}"), _CHANGES)
        if handle < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"inotify: {os.strerror(code)}")
        if self._watched not in (-1, handle):
            _libc.inotify_rm_watch(self._fd, self._watched)
        self._watched = handle

    async def change(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    def _drain(self) -> None:
        try:
            os.read(self._fd, _BUFFER)
        except BlockingIOError:
            return
        self._changed.set()
