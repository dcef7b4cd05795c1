"""Reading and writing pipes and terminals without a buffer of our own in between.

Whoever reads waits for the process, whoever writes waits for its reader; the only buffer is the kernel's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from edgevirt.linux.readiness import readable, writable

CHUNK = 32 * 1024


async def chunks(fd: int, ended: asyncio.Event) -> AsyncIterator[bytes]:
    """What comes out of the non-blocking `fd`, to its end.

    Once `ended` is set, what is there is still given, and nothing is waited for: a process that has ended has
    written all it will, and what its children hold open does not count.
    """
    while True:
        over = ended.is_set()
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            if over:
                return
            await _either(fd, ended)
            continue
        except OSError:  # EIO: nobody has the other end of the terminal open any more
            return
        if not data:
            return
        yield data


async def write_all(fd: int, data: bytes) -> None:
    """Write all of `data` to the non-blocking `fd`. Raises OSError, BrokenPipeError if nobody reads."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await writable(fd)


async def _either(fd: int, ended: asyncio.Event) -> None:
    tasks = [asyncio.ensure_future(readable(fd)), asyncio.ensure_future(ended.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
