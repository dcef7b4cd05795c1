"""When virt-launcher ends, and with which exit code.

It stays as long as its guest runs, then until virt-handler has taken note of the end (Delete), so that how
the guest ended is not lost; but not for ever, because a node whose handler is away must still be able to
finish its pods. A pod that is told to terminate asks its guest to power off, repeats that (a booting guest
misses the first), and ends it after the grace period.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from edgevirt.virt_launcher.board import StatusBoard
from edgevirt.virt_launcher.errors import RequestFailed
from edgevirt.virt_launcher.guest import Guest
from edgevirt.virt_launcher.status import FAILURES

ASK_AGAIN_SECONDS: Final = 5.0
ACKNOWLEDGE_SECONDS: Final = 45.0
ACKNOWLEDGE_TERMINATING_SECONDS: Final = 10.0

_log = logging.getLogger("edgevirt.virt_launcher")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things may take, in seconds."""

    start: float
    grace: float
    ask_again: float = ASK_AGAIN_SECONDS
    acknowledge: float = ACKNOWLEDGE_SECONDS
    acknowledge_terminating: float = ACKNOWLEDGE_TERMINATING_SECONDS


async def live(guest: Guest, board: StatusBoard, terminate: asyncio.Event, patience: Patience) -> int:
    """Return the exit code once the launcher has nothing left to do.

    0: deleted, or ended in an orderly way; 1: never started in time, or failed and nobody took note.
    """
    if not await _first_of(patience.start, guest.started, guest.deleted, terminate):
        _log.error("No VM was started in time, giving up", extra={"seconds": patience.start})
        return 1
    if terminate.is_set():
        guest.refuse_start("the pod is terminating")
    if not guest.started.is_set():
        return 0
    await _first_of(None, guest.ended, guest.deleted, terminate)
    if terminate.is_set() and not guest.ended.is_set():
        await _stop(guest, patience)
    wait = patience.acknowledge_terminating if terminate.is_set() else patience.acknowledge
    if await _first_of(wait, guest.deleted):
        return 0
    status = board.status
    _log.warning(
        "The guest ended and virt-handler has not taken note",
        extra={"state": status.state.value, "reason": status.reason.value},
    )
    return 1 if status.reason in FAILURES else 0


async def _stop(guest: Guest, patience: Patience) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience.grace
    while (left := deadline - loop.time()) > 0:
        await _try(guest.shutdown())
        if await _first_of(min(left, patience.ask_again), guest.ended, guest.deleted):
            return
    _log.warning("The guest did not power off in time, ending it", extra={"seconds": patience.grace})
    await _try(guest.kill())


async def _try(request: Awaitable[object]) -> None:
    try:
        await request
    except RequestFailed as error:
        _log.warning("Stopping the guest", extra={"error": error.message})


async def _first_of(timeout: float | None, *events: asyncio.Event) -> bool:
    """True as soon as one of `events` is set, False after `timeout` seconds."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        done, _ = await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for task in waiting:
            task.cancel()
