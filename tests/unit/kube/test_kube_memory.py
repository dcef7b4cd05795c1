"""Freed memory goes back to the system after a burst, once."""

from __future__ import annotations

import pytest

from edgevirt.kube.clock import FakeClock
from edgevirt.kube.memory import AFTER_SECONDS, Trim

pytestmark = pytest.mark.unit


async def test_a_burst_is_followed_by_one_trim() -> None:
    clock = FakeClock()
    trims: list[float] = []
    trim = Trim(clock, lambda: trims.append(clock.monotonic()))
    trim.ask()
    await clock.advance(AFTER_SECONDS / 2)
    trim.ask()
    assert trims == []
    await clock.advance(AFTER_SECONDS)
    assert trims == [AFTER_SECONDS]
    trim.ask()
    await clock.advance(AFTER_SECONDS)
    assert len(trims) == 2


async def test_nothing_is_trimmed_after_closing() -> None:
    clock = FakeClock()
    trims: list[float] = []
    trim = Trim(clock, lambda: trims.append(clock.monotonic()))
    trim.ask()
    trim.close()
    await clock.advance(2 * AFTER_SECONDS)
    assert trims == []
