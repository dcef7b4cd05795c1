from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_api import FakeApi, InMemoryClient, failure

from edgevirt.engine.scheduler.scheduler import Scheduler
from edgevirt.kube.clock import FakeClock, settle
from edgevirt.kube.events import EventRecorder

pytestmark = pytest.mark.unit

PODS = "/api/v1/namespaces/ns/pods"
NODES = "/api/v1/nodes"
EVENTS = "/api/v1/namespaces/ns/events"


class Cluster:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.clock = FakeClock()
        self.client = InMemoryClient(self.api, self.clock)

    def node(self, name: str = "n1", memory: str = "1Gi", **status: Any) -> None:
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": status.pop("heartbeat", "")}
        self.api.put(
            NODES,
            name,
            status={"allocatable": {"cpu": "4", "memory": memory, "pods": "110"}, "conditions": [ready]},
        )

    def pod(self, name: str, memory: str = "600Mi", **spec: Any) -> None:
        containers = [{"name": "c", "resources": {"requests": {"memory": memory}}}]
        self.api.put(PODS, name, spec={"containers": containers, **spec}, status={"phase": "Pending"})

    def where(self, name: str) -> str:
        return str(self.api.objects[f"{PODS}/{name}"]["spec"].get("nodeName", ""))

    def condition(self, name: str) -> dict[str, Any]:
        status = self.api.objects[f"{PODS}/{name}"]["status"]
        found: dict[str, Any] = next(iter(status.get("conditions", ())), {})
        return found

    def event_reasons(self) -> list[str]:
        return [obj["reason"] for path, obj in self.api.objects.items() if path.startswith(EVENTS)]


@contextlib.asynccontextmanager
async def scheduling() -> AsyncIterator[Cluster]:
    cluster = Cluster()
    recorder = EventRecorder(cluster.client, component="default-scheduler", random_=lambda: 0.0)
    started = asyncio.Event()
    tasks = [
        asyncio.create_task(recorder.run()),
        asyncio.create_task(Scheduler(cluster.client, recorder).run(started)),
    ]
    await started.wait()
    try:
        yield cluster
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


async def test_a_pod_is_bound_and_an_event_says_so() -> None:
    async with scheduling() as it:
        it.node()
        it.pod("a")
        await settle(100)
        assert it.where("a") == "n1"
        assert it.event_reasons() == ["Scheduled"]


async def test_two_pods_at_once_do_not_share_memory_that_is_there_only_once() -> None:
    async with scheduling() as it:
        it.node()
        it.pod("a")
        it.pod("b")
        await settle(100)
        assert [it.where("a"), it.where("b")] == ["n1", ""]
        assert it.condition("b")["reason"] == "Unschedulable"
        assert it.condition("b")["message"] == (
            "0/1 nodes are available: 1 Insufficient memory. no new claims to deallocate, preemption: "
            "0/1 nodes are available: 1 No preemption victims found for incoming pod."
        )


async def test_a_pod_without_a_place_gets_the_one_that_another_leaves() -> None:
    async with scheduling() as it:
        it.node()
        it.pod("a")
        it.pod("b")
        await settle(100)
        it.api.remove(f"{PODS}/a")
        await settle(100)
        assert it.where("b") == "n1"


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_a_pod_that_ended_frees_its_place(phase: str) -> None:
    async with scheduling() as it:
        it.node()
        it.pod("a")
        it.pod("b")
        await settle(100)
        it.api.put(PODS, "a", spec=it.api.objects[f"{PODS}/a"]["spec"], status={"phase": phase})
        await settle(100)
        assert it.where("b") == "n1"


async def test_a_node_that_comes_or_grows_helps_and_a_heartbeat_does_not_matter() -> None:
    async with scheduling() as it:
        it.pod("a")
        await settle(100)
        assert it.condition("a")["message"] == "no nodes available to schedule pods"
        it.node(memory="100Mi")
        await settle(100)
        before = len(it.api.writes())
        it.node(memory="100Mi", heartbeat="2026-01-01T00:00:10Z")
        await settle(100)
        assert len(it.api.writes()) == before, "nothing new was said"
        it.node(memory="2Gi")
        await settle(100)
        assert it.where("a") == "n1"


async def test_a_pod_of_another_scheduler_or_with_gates_is_left_alone() -> None:
    async with scheduling() as it:
        it.node()
        it.pod("theirs", schedulerName="other")
        it.pod("gated", schedulingGates=[{"name": "wait"}])
        await settle(100)
        assert [it.where("theirs"), it.where("gated")] == ["", ""]
        assert it.condition("theirs") == {}
        assert it.condition("gated")["reason"] == "SchedulingGated"
        assert it.event_reasons() == []
        it.pod("gated", schedulingGates=[])
        await settle(100)
        assert it.where("gated") == "n1"


async def test_a_binding_that_fails_gives_the_place_back_and_is_tried_again() -> None:
    async with scheduling() as it:
        it.node()
        it.api.fail_next("POST", failure(500, "InternalError", "webhook is away"))
        it.pod("a")
        await settle(100)
        assert it.where("a") == ""
        await it.clock.advance(1)
        assert it.where("a") == "n1"
        it.pod("b", memory="500Mi")
        await settle(100)
        assert it.condition("b")["reason"] == "Unschedulable", "the place is counted once, not never"


async def test_an_unbound_claim_holds_the_pod_until_it_is_bound() -> None:
    claims = "/api/v1/namespaces/ns/persistentvolumeclaims"
    async with scheduling() as it:
        it.node()
        it.api.put(claims, "disk", spec={}, status={"phase": "Pending"})
        it.pod("a", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "disk"}}])
        await settle(100)
        assert it.condition("a")["message"] == (
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. "
            "no new claims to deallocate, preemption: "
            "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        )
        it.api.put("/api/v1/persistentvolumes", "pv", spec={})
        it.api.put(claims, "disk", spec={"volumeName": "pv"}, status={"phase": "Bound"})
        await settle(100)
        assert it.where("a") == "n1"


async def test_a_pod_of_higher_priority_ends_another_and_gets_its_place() -> None:
    async with scheduling() as it:
        it.node()
        it.pod("low", priority=0)
        await settle(100)
        it.pod("high", priority=1000)
        it.pod("middle", priority=500)
        await settle(200)
        assert f"{PODS}/low" not in it.api.objects
        assert [it.where("high"), it.where("middle")] == ["n1", ""]
        assert "Preempted" in it.event_reasons()
        assert "No preemption victims found" in it.condition("middle")["message"]


async def test_room_made_for_a_pod_is_not_given_to_a_lesser_one() -> None:
    async with scheduling() as it:
        it.node()
        it.pod("top", memory="500Mi", priority=2000)
        it.pod("high", memory="600Mi", priority=1000)
        await settle(100)
        spec = it.api.objects[f"{PODS}/high"]["spec"]
        it.api.put(PODS, "high", spec=spec, status={"phase": "Pending", "nominatedNodeName": "n1"})
        it.pod("low", memory="200Mi", priority=0)
        await settle(100)
        assert [it.where(name) for name in ("top", "high", "low")] == ["n1", "", ""]
        it.api.remove(f"{PODS}/high")
        await settle(100)
        assert it.where("low") == "n1"
