"""Keeping a running process's leaf fresh: re-issue after two thirds of its life, or when the clock jumps.

Waiting uses a kernel timer on the wall clock (timerfd with TFD_TIMER_CANCEL_ON_SET, see
timerfd_create(2)): it fires at the wanted wall time even after a suspend, and is cancelled, which wakes
us, when somebody sets the clock. So a box whose clock starts in 1970 gets leaves with honest lifetimes
as soon as it learns the time. Python has timerfd from 3.13 only, hence ctypes.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from edgevirt.engine.pki.authority import EARLIEST_PLAUSIBLE_TIME, utc_now

_CLOCK_REALTIME = 0
_TFD_TIMER_ABSTIME = 1
_TFD_TIMER_CANCEL_ON_SET = 2


class Expiring(Protocol):
    """A leaf, or several that are issued together and end together."""

    @property
    def not_after(self) -> datetime:
        """When the first of them ends."""


E = TypeVar("E", bound=Expiring)


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


def renewal_time(leaf: Expiring, issued: datetime) -> datetime:
    """When `leaf`, issued at `issued`, should be replaced: after two thirds of its life.

    A leaf issued by an implausible clock has no meaningful life; it is kept until the clock is set.
    """
    if issued < EARLIEST_PLAUSIBLE_TIME:
        return leaf.not_after
    return issued + (leaf.not_after - issued) * 2 / 3


async def until_wall_time_or_clock_set(when: datetime) -> None:
    """Returns at wall time `when` (at once if it is past) or as soon as the system clock is set."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.timerfd_create(_CLOCK_REALTIME, os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create failed")
    loop = asyncio.get_running_loop()
    fired: asyncio.Future[None] = loop.create_future()

    def on_readable() -> None:
        try:
            os.read(descriptor, 8)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ECANCELED:  # ECANCELED is how the kernel says "the clock was set"
                loop.remove_reader(descriptor)
                fired.set_exception(error)
                return
        loop.remove_reader(descriptor)
        fired.set_result(None)

    try:
        seconds = max(1, int(when.timestamp()))
        spec = _TimerSpec(_Timespec(0, 0), _Timespec(seconds, 0))
        flags = _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
        if libc.timerfd_settime(descriptor, flags, ctypes.byref(spec), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")
        loop.add_reader(descriptor, on_readable)
        await fired
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def keep_fresh(
    issue: Callable[[], E],
    apply: Callable[[E], Awaitable[None]],
    clock: Callable[[], datetime] = utc_now,
    wait: Callable[[datetime], Awaitable[None]] = until_wall_time_or_clock_set,
) -> None:
    """Issues a leaf and hands it to `apply`, for ever; never returns except by cancellation or error.

    The first leaf is issued at once. `apply` typically writes the files and calls `load_cert_chain` on
    the live SSL context, which new connections then use.
    """
    while True:
        issued = clock()
        leaf = issue()
        await apply(leaf)
        await wait(renewal_time(leaf, issued).astimezone(UTC))
