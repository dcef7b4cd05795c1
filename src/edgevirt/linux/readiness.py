"""Waiting for a descriptor: a pidfd can be read when its process ends, a pipe when it has data or room."""

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


async def writable(fd: int) -> None:
    """Return when `fd` can be written without blocking, or would fail at once. One waiter at a time."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(fd)
