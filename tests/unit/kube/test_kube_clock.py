from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from edgevirt.kube.backoff import Backoff, BackoffPolicy
from edgevirt.kube.clock import FakeClock, micro_timestamp, parse_timestamp, settle, timestamp, within

pytestmark = pytest.mark.unit


async def test_timers_fire_in_the_order_of_their_deadlines() -> None:
    clock = FakeClock()
    fired: list[tuple[str, float]] = []
    clock.call_later(2, lambda: fired.append(("b", clock.monotonic())))
    clock.call_later(1, lambda: fired.append(("a", clock.monotonic())))
    clock.call_later(3, lambda: fired.append(("c", clock.monotonic()))).cancel()
    await clock.advance(5)
    assert fired == [("a", 1), ("b", 2)]
    assert clock.monotonic() == 5


async def test_work_that_takes_too_long_is_cancelled() -> None:
    clock = FakeClock()
    task = asyncio.create_task(within(clock, 3, clock.sleep(10)))
    await clock.advance(4)
    assert isinstance(task.exception(), TimeoutError)
    assert clock.pending == ()


async def test_work_in_time_returns_its_value_and_leaves_no_timer() -> None:
    clock = FakeClock()

    async def answer() -> int:
        await clock.sleep(1)
        return 42

    task = asyncio.create_task(within(clock, 3, answer()))
    await clock.advance(1)
    assert task.result() == 42
    assert clock.pending == ()


async def test_cancelling_the_caller_is_not_mistaken_for_the_deadline() -> None:
    clock = FakeClock()
    task = asyncio.create_task(within(clock, 3, clock.sleep(10)))
    await settle()
    task.cancel()
    await settle()
    assert task.cancelled()


def test_times_survive_being_written_and_read() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    assert timestamp(moment) == "2026-01-02T03:04:05Z"
    assert micro_timestamp(moment) == "2026-01-02T03:04:05.678901Z"
    assert parse_timestamp(micro_timestamp(moment)) == moment
    assert parse_timestamp("2026-01-02T05:04:05+02:00") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_backoff_grows_to_its_cap_and_starts_over() -> None:
    backoff = Backoff(BackoffPolicy(base=1, factor=2, cap=10, jitter=0.5), random_=lambda: 1.0)
    assert [backoff.next() for _ in range(6)] == [1.5, 3, 6, 12, 15, 15]
    backoff.reset()
    assert backoff.next() == 1.5


def test_backoff_survives_any_number_of_failures() -> None:
    assert BackoffPolicy(cap=30, jitter=0).delay(10**6) == 30
