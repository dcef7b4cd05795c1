"""Recorded conversations with a real Kubernetes API server, replayed against ours.

Needs EDGEVIRT_REFERENCE, the folder that holds kubernetes/recordings. PASSING is what is equal in every
step; PARTLY is how many steps of a scenario are equal at least, with the reason for the rest.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from conftest import Running
from replay import Replay, load

REFERENCE = os.environ.get("EDGEVIRT_REFERENCE", "")

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(not REFERENCE, reason="EDGEVIRT_REFERENCE is not set"),
]

PASSING: tuple[str, ...] = ()

PARTLY: dict[str, tuple[int, str]] = {}


async def replayed(api: Running, name: str) -> Replay:
    replay = Replay(api.client)
    async with asyncio.timeout(90):
        await replay.run(load(Path(REFERENCE) / "kubernetes", name))
    return replay


@pytest.mark.parametrize("name", PASSING)
async def test_scenario_is_answered_as_kubernetes_does(api: Running, name: str) -> None:
    replay = await replayed(api, name)
    assert not replay.mismatches, "\n".join(map(str, replay.mismatches[:5]))


@pytest.mark.parametrize("name", PARTLY)
async def test_known_part_of_a_scenario_stays_equal(api: Running, name: str) -> None:
    replay = await replayed(api, name)
    equal = replay.steps - len(replay.failed_steps)
    least, reason = PARTLY[name]
    assert equal >= least, f"{equal} of {replay.steps} steps ({reason})\n" + "\n".join(
        map(str, replay.mismatches[:5])
    )
