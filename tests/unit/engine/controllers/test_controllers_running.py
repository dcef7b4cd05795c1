"""The controllers against the in-memory API, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fake_api import FakeApi, InMemoryClient, failure

from edgevirt.engine.controllers.garbage_collector import GarbageCollector
from edgevirt.engine.controllers.informers import SharedInformers
from edgevirt.engine.controllers.kinds import Kinds
from edgevirt.engine.controllers.namespace import NamespaceController
from edgevirt.engine.controllers.node_lifecycle import NodeLifecycleController
from edgevirt.engine.controllers.pod_gc import PodCollector
from edgevirt.engine.controllers.service_accounts import ServiceAccountController
from edgevirt.kube.clock import FakeClock, settle
from edgevirt.kube.events import EventRecorder

pytestmark = pytest.mark.unit

PODS = "/api/v1/namespaces/ns/pods"
MAPS = "/api/v1/namespaces/ns/configmaps"
NODES = "/api/v1/nodes"
NAMESPACES = "/api/v1/namespaces"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
DELETED = "2026-01-01T00:00:00Z"


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


class World:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.clock = FakeClock()
        self.client = InMemoryClient(self.api, self.clock)
        self.recorder = EventRecorder(self.client, component="test", random_=lambda: 0.0)
        self.kinds = Kinds(self.client)
        self.collector = GarbageCollector(self.client, self.kinds)
        self.informers = SharedInformers(self.client)

    def has(self, path: str) -> bool:
        return path in self.api.objects

    def owned(self, collection: str, name: str, owner: dict[str, Any], **meta: Any) -> dict[str, Any]:
        reference = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": True,
        }
        return self.api.put(collection, name, metadata={"ownerReferences": [reference], **meta})

    def delete(self, path: str, propagation: str = "") -> None:
        """As a user would: through the API."""
        from fake_api import Call

        code, _ = self.api.handle(Call("DELETE", path, {}, {}, {"propagationPolicy": propagation}))
        assert code == 200
        self.api.calls.pop()


@contextlib.asynccontextmanager
async def running(world: World, *parts: Any) -> AsyncIterator[World]:
    tasks = [asyncio.create_task(world.recorder.run()), asyncio.create_task(world.kinds.run())]
    tasks.append(asyncio.create_task(world.informers.run()))
    for part in parts:
        started = asyncio.Event()
        tasks.append(asyncio.create_task(part.run(started)))
        async with asyncio.timeout(5):
            await started.wait()
    await settle(200)
    try:
        yield world
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks), [task for task in tasks if not task.cancelled()]


async def test_dependents_follow_their_owner_across_kinds_and_generations() -> None:
    world = World()
    owner = world.api.put(MAPS, "owner")
    child = world.owned(PODS, "child", owner)
    world.api.put(
        MAPS,
        "grandchild",
        metadata={
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": "child", "uid": child["metadata"]["uid"]}
            ]
        },
    )
    world.api.put(MAPS, "bystander")
    async with running(world, world.collector):
        assert world.api.writes() == []
        world.delete(f"{MAPS}/owner")
        await settle(300)
        assert sorted(world.api.objects) == [f"{MAPS}/bystander"]


async def test_an_owner_that_vanished_while_we_were_away_is_noticed_at_start() -> None:
    world = World()
    world.owned(PODS, "child", {"metadata": {"name": "owner", "uid": "gone"}})
    async with running(world, world.collector):
        assert not world.has(f"{PODS}/child")


async def test_a_namesake_of_the_owner_is_not_the_owner() -> None:
    world = World()
    world.api.put(MAPS, "owner", metadata={"uid": "second"})
    world.owned(PODS, "child", {"metadata": {"name": "owner", "uid": "first"}})
    async with running(world, world.collector):
        assert not world.has(f"{PODS}/child")


async def test_an_owner_of_a_kind_nobody_serves_proves_nothing() -> None:
    world = World()
    reference = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": "vm", "uid": "u"}
    world.api.put(PODS, "child", metadata={"ownerReferences": [reference]})
    async with running(world, world.collector):
        assert world.has(f"{PODS}/child")


async def test_an_api_server_that_cannot_answer_proves_nothing() -> None:
    world = World()
    owner = world.api.put(MAPS, "owner")
    async with running(world, world.collector):
        world.api.objects.pop(f"{MAPS}/owner")  # gone, but the watch has not told
        world.owned(PODS, "fine", owner)
        world.owned(PODS, "child", {"metadata": {"name": "other", "uid": "other"}})
        world.api.fail_next("GET", *(failure(500, "InternalError") for _ in range(3)))
        await settle(100)
        assert world.has(f"{PODS}/fine")
        assert world.has(f"{PODS}/child")
        await world.clock.advance(1)
        assert not world.has(f"{PODS}/child")


async def test_a_foreground_deletion_ends_with_the_owner() -> None:
    world = World()
    owner = world.api.put(MAPS, "owner")
    world.owned(PODS, "child", owner, finalizers=["slow/stop"])
    async with running(world, world.collector):
        world.delete(f"{MAPS}/owner", "Foreground")
        await settle(200)
        assert world.has(f"{MAPS}/owner"), "it waits for the child"
        assert world.api.objects[f"{PODS}/child"]["metadata"]["deletionTimestamp"]
        world.api.remove(f"{PODS}/child")
        await settle(200)
        assert not world.has(f"{MAPS}/owner")


async def test_orphans_stay_and_forget_their_owner() -> None:
    world = World()
    owner = world.api.put(MAPS, "owner")
    world.owned(PODS, "child", owner)
    async with running(world, world.collector):
        world.delete(f"{MAPS}/owner", "Orphan")
        await settle(300)
        assert not world.has(f"{MAPS}/owner")
        assert world.api.objects[f"{PODS}/child"]["metadata"]["ownerReferences"] == []


async def test_a_kind_that_appears_takes_part_and_one_that_disappears_deletes_nothing() -> None:
    world = World()
    vms = "/apis/kubevirt.io/v1/namespaces/ns/virtualmachines"
    async with running(world, world.collector):
        world.api.kinds["kubevirt.io/v1"] = [("virtualmachines", "VirtualMachine", True)]
        world.api.put(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "virtualmachines.kubevirt.io"
        )
        await world.clock.advance(1)
        await settle(200)
        for name in ("vm", "other"):
            machine = world.api.put(vms, name)
            reference = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": name}
            world.api.put(
                PODS,
                f"launcher-{name}",
                metadata={"ownerReferences": [{**reference, "uid": machine["metadata"]["uid"]}]},
            )
        world.delete(f"{vms}/vm")
        await settle(200)
        assert not world.has(f"{PODS}/launcher-vm")
        del world.api.kinds["kubevirt.io/v1"]
        world.api.put("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "another")
        await world.clock.advance(60)
        await settle(200)
        assert world.has(f"{PODS}/launcher-other")


async def test_a_namespace_is_emptied_pods_first_and_then_released() -> None:
    world = World()
    world.api.put(NAMESPACES, "ns", spec={"finalizers": ["kubernetes"]})
    world.api.put(PODS, "p", metadata={"finalizers": ["slow/stop"]})
    world.api.put(MAPS, "m")
    world.api.put("/api/v1/namespaces/other/configmaps", "m")
    controller = NamespaceController(world.client, world.kinds, world.collector)
    async with running(world, world.collector, controller):
        world.delete(f"{NAMESPACES}/ns")
        await settle(300)
        assert world.has(f"{MAPS}/m"), "pods first"
        said = {one["type"]: one for one in world.api.objects[f"{NAMESPACES}/ns"]["status"]["conditions"]}
        assert said["NamespaceContentRemaining"]["status"] == "True"
        assert "slow/stop in 1 resource instances" in said["NamespaceFinalizersRemaining"]["message"]
        world.api.remove(f"{PODS}/p")
        await settle(600)
        assert sorted(world.api.objects) == ["/api/v1/namespaces/other/configmaps/m"]
        assert world.clock.monotonic() == 0, "no timer was needed"


async def test_every_namespace_has_its_account_and_the_ca_again_and_again(tmp_path: Path) -> None:
    world = World()
    ca_file = tmp_path / "ca.crt"
    ca_file.write_text("THE CA")
    accounts = "/api/v1/namespaces/ns/serviceaccounts"
    async with running(world, ServiceAccountController(world.client, ca_file)):
        world.api.put(NAMESPACES, "ns", spec={"finalizers": ["kubernetes"]})
        await settle(200)
        assert world.has(f"{accounts}/default")
        assert world.api.objects[f"{MAPS}/kube-root-ca.crt"]["data"] == {"ca.crt": "THE CA"}
        world.api.remove(f"{accounts}/default")
        world.api.put(MAPS, "kube-root-ca.crt", data={"ca.crt": "forged", "more": "x"})
        await settle(200)
        assert world.has(f"{accounts}/default")
        assert world.api.objects[f"{MAPS}/kube-root-ca.crt"]["data"] == {"ca.crt": "THE CA"}
        writes = len(world.api.writes())
        world.delete(f"{NAMESPACES}/ns")
        world.api.remove(f"{accounts}/default")
        await settle(200)
        assert len(world.api.writes()) == writes, "nothing is made in a namespace that goes away"


async def test_pods_of_a_deleted_node_go_when_it_stays_away() -> None:
    world = World()
    world.api.put(NODES, "n1")
    for name, node in (("here", "n1"), ("lost", "n2")):
        world.api.put(PODS, name, spec={"nodeName": node}, status={"phase": "Running"})
    async with running(world, PodCollector(world.informers, world.recorder, 10)):
        await world.clock.advance(39)
        assert world.has(f"{PODS}/lost")
        await world.clock.advance(2)
        await settle(200)
        assert not world.has(f"{PODS}/lost")
        assert world.has(f"{PODS}/here")
        failed = [obj for _, path, _, obj in world.api.log if path == f"{PODS}/lost"]
        assert [one["status"]["phase"] for one in failed] == ["Running", "Failed", "Failed"]


async def test_a_node_that_registers_late_keeps_its_pods() -> None:
    world = World()
    world.api.put(PODS, "p", spec={"nodeName": "n1"}, status={"phase": "Running"})
    async with running(world, PodCollector(world.informers, world.recorder, 10)):
        await world.clock.advance(30)
        world.api.put(NODES, "n1")
        await world.clock.advance(100)
        assert world.has(f"{PODS}/p")


def ready_node(world: World, heartbeat: str, status: str = "True") -> None:
    known = world.api.objects.get(f"{NODES}/n1", {})
    condition = {"type": "Ready", "status": status, "lastHeartbeatTime": heartbeat}
    world.api.put(NODES, "n1", spec=known.get("spec", {}), status={"conditions": [condition]})


def taint_keys(world: World) -> list[str]:
    spec = world.api.objects[f"{NODES}/n1"].get("spec", {})
    return [one["key"].rpartition("/")[2] for one in spec.get("taints", ())]


async def test_a_silent_node_is_marked_and_forgiven_when_it_speaks_again() -> None:
    world = World()
    ready_node(world, "2026-01-01T00:00:00Z")
    async with running(world, NodeLifecycleController(world.client, world.recorder, 40.0)):
        await world.clock.advance(39)
        assert taint_keys(world) == []
        await world.clock.advance(2)
        await settle(200)
        assert taint_keys(world) == ["unreachable"]
        conditions = world.api.objects[f"{NODES}/n1"]["status"]["conditions"]
        assert {one["status"] for one in conditions} == {"Unknown"}
        ready_node(world, "2026-01-01T00:01:00Z")
        await settle(200)
        assert taint_keys(world) == []
        await world.clock.advance(41)
        await settle(200)
        assert taint_keys(world) == ["unreachable"], "it is watched again"


async def test_a_lease_alone_keeps_a_node_alive() -> None:
    world = World()
    ready_node(world, "2026-01-01T00:00:00Z")
    async with running(world, NodeLifecycleController(world.client, world.recorder, 40.0)):
        for second in range(10, 200, 10):
            world.api.put(
                LEASES, "n1", spec={"renewTime": f"1970-01-01T00:{second // 60:02}:{second % 60:02}Z"}
            )
            await world.clock.advance(10)
        assert taint_keys(world) == []
        await world.clock.advance(41)
        await settle(200)
        assert taint_keys(world) == ["unreachable"]


async def test_the_first_object_of_a_kind_is_noticed_but_for_the_clusters_own_service() -> None:
    world = World()
    world.api.put(PODS, "here already")
    async with running(world, world.collector):
        assert world.collector.appearance("", "pods").is_set()
        waiting = world.collector.appearance("", "configmaps")
        assert not waiting.is_set()
        world.api.put("/api/v1/namespaces/default/configmaps", "kubernetes")
        await settle(200)
        assert not waiting.is_set(), "it is in every cluster and nobody's work"
        world.api.put(MAPS, "first")
        await settle(200)
        assert waiting.is_set()
