"""Time as a dependency: the clock of the machine, and one that tests turn by hand.

Everything here that waits (back-off, requeue, leases) takes a `Clock`. `FakeClock` runs the same code in
virtual time: nothing sleeps, timers fire in the order of their deadlines when a test advances the clock.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

T = TypeVar("T")


class Timer(Protocol):
    def cancel(self) -> None:
        """Prevent the callback; harmless after it ran."""


class Clock(Protocol):
    def now(self) -> datetime:
        """Wall clock in UTC; may jump. Only for timestamps that others read."""

    def monotonic(self) -> float:
        """Seconds that never go back; for measuring durations."""

    async def sleep(self, seconds: float) -> None:
        """Wait at least `seconds`; 0 or less only yields."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` on the event loop once `seconds` have passed."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(max(0.0, seconds), callback)


class _FakeTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """A clock that stands still until `advance`; for tests.

    `advance` fires due timers in order and lets the event loop settle after each, so code woken by one timer
    runs, and may set further timers, before the next one fires.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _FakeTimer]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        timer = self.call_later(seconds, lambda: None if woken.done() else woken.set_result(None))
        try:
            await woken
        finally:
            timer.cancel()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = _FakeTimer(callback)
        heapq.heappush(self._timers, (self._elapsed + max(0.0, seconds), next(self._order), timer))
        return timer

    @property
    def pending(self) -> tuple[float, ...]:
        """Seconds until each timer that is still to fire, nearest first."""
        return tuple(when - self._elapsed for when, _, timer in sorted(self._timers) if timer.callback)

    async def advance(self, seconds: float) -> None:
        """Move time forward, firing what becomes due."""
        target = self._elapsed + seconds
        await settle()
        while self._timers and self._timers[0][0] <= target:
            when, _, timer = heapq.heappop(self._timers)
            if timer.callback is None:
                continue
            self._elapsed = max(self._elapsed, when)
            callback, timer.callback = timer.callback, None
            callback()
            await settle()
        self._elapsed = target
        await settle()


async def settle(rounds: int = 25) -> None:
    """Let everything that can run without time or input/output run."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def within(clock: Clock, seconds: float, work: Awaitable[T]) -> T:
    """Await `work`, cancelling it and raising TimeoutError after `seconds` of `clock`'s time."""
    task = asyncio.ensure_future(work)
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        task.cancel()

    timer = clock.call_later(seconds, expire)
    try:
        return await task
    except asyncio.CancelledError:
        if expired and task.cancelled() and not _being_cancelled():
            raise TimeoutError(f"not finished within {seconds:g} s") from None
        task.cancel()
        raise
    finally:
        timer.cancel()


def _being_cancelled() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with second resolution, as metav1.Time is written."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds, as metav1.MicroTime is written."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_timestamp(text: str) -> datetime:
    """The moment of an RFC 3339 text, with or without fractions. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
