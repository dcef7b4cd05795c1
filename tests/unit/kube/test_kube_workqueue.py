from __future__ import annotations

import asyncio

import pytest

from edgevirt.kube.clock import FakeClock, settle
from edgevirt.kube.workqueue import QueueClosed, WorkQueue

pytestmark = pytest.mark.unit


async def test_a_key_added_twice_is_taken_once() -> None:
    queue: WorkQueue[str] = WorkQueue(clock=FakeClock())
    queue.add("a")
    queue.add("b")
    queue.add("a")
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_added_while_processed_comes_back_only_after_done() -> None:
    queue: WorkQueue[str] = WorkQueue(clock=FakeClock())
    queue.add("a")
    await queue.get()
    queue.add("a")
    assert len(queue) == 0, "one key must never be with two workers"
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_of_two_delays_the_nearer_one_counts() -> None:
    clock = FakeClock()
    queue: WorkQueue[str] = WorkQueue(clock=clock)
    queue.add_after("a", 10)
    queue.add_after("a", 3)
    queue.add_after("a", 30)
    await clock.advance(2.9)
    assert len(queue) == 0
    await clock.advance(0.2)
    assert await queue.get() == "a"
    queue.done("a")
    await clock.advance(100)
    assert len(queue) == 0, "the later delays were dropped"


async def test_failures_of_a_key_double_its_delay_up_to_a_minute() -> None:
    clock = FakeClock()
    queue: WorkQueue[str] = WorkQueue(clock=clock)
    delays = []
    for _ in range(16):
        delays.append(queue.add_rate_limited("a"))
        await clock.advance(60)
        queue.done(await queue.get())
    assert delays[:4] == [0.005, 0.01, 0.02, 0.04]
    assert delays[-1] == 60.0
    assert queue.failures("b") == 0
    queue.forget("a")
    assert queue.add_rate_limited("a") == 0.005


async def test_a_cancelled_worker_leaves_its_key_to_another() -> None:
    queue: WorkQueue[str] = WorkQueue(clock=FakeClock())
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await settle()
    queue.add("a")
    first.cancel()
    await settle()
    assert first.cancelled()
    assert second.done()
    assert second.result() == "a"


async def test_closing_wakes_all_waiting_workers_and_stops_delayed_keys() -> None:
    clock = FakeClock()
    queue: WorkQueue[str] = WorkQueue(clock=clock)
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await settle()
    queue.add_after("a", 1)
    queue.close()
    await clock.advance(2)
    assert all(isinstance(worker.exception(), QueueClosed) for worker in workers)
    assert clock.pending == ()
