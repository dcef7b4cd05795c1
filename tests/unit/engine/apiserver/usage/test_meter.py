from __future__ import annotations

import asyncio

import pytest

from edgevirt.engine.apiserver.usage.meter import WINDOW, Meter
from edgevirt.engine.apiserver.usage.readings import Reading, Sample

pytestmark = pytest.mark.unit


class Kubelet:
    """Answers with the time; the meter's pauses pass at once."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked = 0
        self.meter = Meter(self.fetch, self.sleep)

    async def fetch(self, node: str) -> Reading:
        self.asked += 1
        await asyncio.sleep(0)
        return Reading(Sample(moment=self.now))

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def window(self) -> float:
        before, after = await self.meter.read("n")
        return after.node.moment - before.node.moment


async def test_the_first_question_takes_two_readings() -> None:
    kubelet = Kubelet()
    assert await kubelet.window() == WINDOW
    assert kubelet.asked == 2


async def test_later_questions_compare_with_earlier_readings() -> None:
    kubelet = Kubelet()
    await kubelet.window()
    kubelet.now += 15
    assert await kubelet.window() == 15
    assert kubelet.asked == 3


async def test_a_question_right_after_another_sees_now_and_looks_back_further() -> None:
    """A pod that has started in between is in the answer."""
    kubelet = Kubelet()
    await kubelet.window()
    kubelet.now += WINDOW / 2
    assert await kubelet.window() == WINDOW * 1.5
    assert kubelet.asked == 3


async def test_an_old_reading_is_not_compared_with() -> None:
    kubelet = Kubelet()
    await kubelet.window()
    kubelet.now += 3600
    assert await kubelet.window() == WINDOW


async def test_a_clock_set_back_starts_anew() -> None:
    kubelet = Kubelet()
    await kubelet.window()
    kubelet.now -= 50
    assert await kubelet.window() == WINDOW


async def test_nodes_that_are_gone_are_forgotten() -> None:
    kubelet = Kubelet()
    await kubelet.window()
    kubelet.meter.keep(frozenset())
    kubelet.now += 15
    assert await kubelet.window() == WINDOW
