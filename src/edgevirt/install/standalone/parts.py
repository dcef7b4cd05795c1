"""Starting the parts of a process one after the other, and finding out why one of them failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger("edgevirt.parts")

LOOPBACK = "127.0.0.1"
START_DEADLINE = 60.0
"""Seconds a part may take to start."""


async def start(
    group: asyncio.TaskGroup, name: str, part: Callable[[asyncio.Event], Awaitable[None]]
) -> None:
    """Run a part in `group` and return when it is started. A part that fails first fails the group."""
    ready = asyncio.Event()

    async def work() -> None:
        await part(ready)

    task = group.create_task(work(), name=name)
    waiting = asyncio.ensure_future(ready.wait())
    done, _ = await asyncio.wait({task, waiting}, timeout=START_DEADLINE, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task in done:
        task.result()
        raise RuntimeError(f"{name} ended while it was starting")
    if not ready.is_set():
        raise TimeoutError(f"{name} was not ready after {START_DEADLINE:.0f} s")
    log.info("started", extra={"part": name})


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first real error within nested groups: what a person should read."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return first_error(error)
        return error
    return group
