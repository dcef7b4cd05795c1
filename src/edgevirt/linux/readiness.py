"""Waiting for a descriptor: a pidfd becomes readable when its process ends, a pipe when it has data."""

from __future__ import annotations

import asyncio


async def readable(fd: int) -> None:
    """Return when `fd` can be read without blocking. Nobody else may wait for it on this loop meanwhile."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
