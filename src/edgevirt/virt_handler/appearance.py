"""Waiting for a file to appear below a directory, driven by inotify.

The directories on the way may not exist yet either; the deepest one that does is watched. They belong to a
tenant, so they are opened like everything of a tenant's, and watched through their descriptor.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edgevirt.linux.inotify import (
    IN_ATTRIB,
    IN_CREATE,
    IN_DELETE_SELF,
    IN_MOVE_SELF,
    IN_MOVED_TO,
    Watcher,
)
from edgevirt.virt_handler.safe_open import open_beneath, open_trusted

T = TypeVar("T")

_CHANGES = IN_ATTRIB | IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF


async def once_present(directory: str, path: str, attempt: Callable[[], T]) -> T:
    """Call `attempt` until it stops raising FileNotFoundError, again after every change on the way to `path`.

    `directory` is trusted and must exist; `path` is relative to it. Waits for ever; every other error of
    `attempt` is passed on.
    """
    with Watcher() as watcher:
        watch = _Watch(watcher)
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
    """Watches one directory at a time."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._watched = -1
        self._changed = asyncio.Event()

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
        handle = self._watcher.add(Path(f"/proc/self/fd/{fd}"), _CHANGES, lambda _: self._changed.set())
        if self._watched != handle:
            self._watcher.remove(self._watched)
        self._watched = handle

    async def change(self) -> None:
        await self._changed.wait()
        self._changed.clear()
