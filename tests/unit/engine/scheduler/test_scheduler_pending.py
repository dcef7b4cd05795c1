from __future__ import annotations

import asyncio

import pytest

from edgevirt.api.core import Pod, PodSpec
from edgevirt.api.meta import ObjectMeta
from edgevirt.engine.scheduler.pending import PendingPods
from edgevirt.kube.clock import settle

pytestmark = pytest.mark.unit


def pod(name: str, created: str = "", priority: int | None = None, version: str = "") -> Pod:
    meta = ObjectMeta(name=name, namespace="ns", creation_timestamp=created, resource_version=version)
    return Pod(metadata=meta, spec=PodSpec(priority=priority))


async def test_high_priority_goes_first_then_first_come() -> None:
    pending = PendingPods()
    for one in (pod("late", "2026-01-02"), pod("early", "2026-01-01"), pod("urgent", "2026-01-03", 1000)):
        pending.add(one)
    assert [(await pending.next()).metadata.name for _ in range(3)] == ["urgent", "early", "late"]


async def test_a_pod_set_aside_waits_for_a_reason() -> None:
    pending = PendingPods()
    one = pod("a")
    pending.add(one)
    pending.set_aside(await pending.next())
    waiting = asyncio.create_task(pending.next())
    await settle()
    assert not waiting.done()
    pending.retry_all()
    assert (await waiting) is one


async def test_the_newest_version_of_a_pod_is_looked_at_and_only_once() -> None:
    pending = PendingPods()
    pending.add(pod("a", version="1"))
    pending.add(pod("a", version="2"))
    taken = await pending.next()
    assert taken.metadata.resource_version == "2"
    pending.add(pod("a", version="3"))
    pending.set_aside(taken)
    pending.retry_all()
    assert (await pending.next()).metadata.resource_version == "3"
    waiting = asyncio.create_task(pending.next())
    await settle()
    assert not waiting.done()
    waiting.cancel()


async def test_a_pod_that_is_gone_is_not_looked_at() -> None:
    pending = PendingPods()
    pending.add(pod("a"))
    pending.remove(("ns", "a"))
    pending.add(pod("b"))
    assert (await pending.next()).metadata.name == "b"
