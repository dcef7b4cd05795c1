from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from edgevirt.api.meta import Status
from edgevirt.kube import errors
from edgevirt.kube.clock import FakeClock, settle
from edgevirt.kube.controller import Controller, Result

pytestmark = pytest.mark.unit


@contextlib.asynccontextmanager
async def running(controller: Controller) -> AsyncIterator[None]:
    task = asyncio.create_task(controller.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


class Script:
    """A reconcile function that does, call by call, what it is told."""

    def __init__(self, clock: FakeClock, *steps: Exception | Result | None) -> None:
        self._steps = list(steps)
        self._clock = clock
        self.times: list[float] = []

    async def __call__(self, key: str) -> Result | None:
        self.times.append(self._clock.monotonic())
        step = self._steps.pop(0) if self._steps else None
        if isinstance(step, Exception):
            raise step
        return step


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (lambda: errors.Conflict(Status(reason="Conflict")), [0.0, 0.005, 0.015]),
        (lambda: errors.ConnectionFailed("refused"), [0.0, 0.005, 0.015]),
        (lambda: RuntimeError("a bug"), [0.0, 0.005, 0.015]),
        (lambda: errors.Permanent("cannot be"), [0.0]),
    ],
)
async def test_how_a_reconcile_ends_decides_about_the_next(
    error: Callable[[], Exception], expected: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    clock = FakeClock()
    script = Script(clock, error(), error())
    controller = Controller("test", script, clock=clock)
    async with running(controller):
        controller.enqueue("ns/a")
        await clock.advance(1)
    assert script.times == pytest.approx(expected)


async def test_a_permanent_failure_is_tried_again_on_the_next_event() -> None:
    clock = FakeClock()
    script = Script(clock, errors.Permanent("no"), None)
    controller = Controller("test", script, clock=clock)
    async with running(controller):
        controller.enqueue("ns/a")
        await clock.advance(5)
        controller.enqueue("ns/a")
        await settle()
    assert script.times == [0.0, 5.0]


async def test_a_result_requeues_after_the_time_it_states() -> None:
    clock = FakeClock()
    script = Script(clock, Result(requeue_after=7.5), Result(), None)
    controller = Controller("test", script, clock=clock)
    async with running(controller):
        controller.enqueue("ns/a")
        await clock.advance(100)
    assert script.times == [0.0, 7.5]


async def test_a_reconcile_that_hangs_is_cancelled_and_retried() -> None:
    clock = FakeClock()
    calls = []

    async def hang(key: str) -> None:
        calls.append(clock.monotonic())
        if len(calls) == 1:
            await asyncio.get_running_loop().create_future()

    controller = Controller("test", hang, clock=clock, timeout=30)
    async with running(controller):
        controller.enqueue("ns/a")
        await clock.advance(40)
    assert calls == pytest.approx([0.0, 30.005])


async def test_one_key_is_never_reconciled_twice_at_a_time() -> None:
    clock = FakeClock()
    inside, most = 0, 0

    async def slow(key: str) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await clock.sleep(1)
        inside -= 1

    controller = Controller("test", slow, workers=4, clock=clock)
    async with running(controller):
        for _ in range(5):
            controller.enqueue("ns/a")
            await clock.advance(0.3)
        await clock.advance(5)
    assert most == 1
