"""Emptying the node before `down`, against the in-memory API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fake_api import FakeApi, InMemoryClient, failure

from edgevirt.install.standalone.shutdown import CORDONED_BY_DOWN, drain, uncordon
from edgevirt.kube import errors
from edgevirt.kube.clock import SystemClock, settle

pytestmark = pytest.mark.unit

NODE = "/api/v1/nodes/edge"
PODS = "/api/v1/namespaces/ns/pods"


class Box:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.client = InMemoryClient(self.api, SystemClock())
        self.api.put("/api/v1/nodes", "edge", spec={})

    def pod(self, name: str, node: str = "edge", *, slow: bool = False) -> None:
        held = {"finalizers": ["test/ending"]} if slow else {}
        self.api.put(PODS, name, metadata=held, spec={"nodeName": node})

    def end(self, name: str) -> None:
        self.api.remove(f"{PODS}/{name}")

    @property
    def node(self) -> dict[str, Any]:
        return self.api.objects[NODE]


async def test_pods_of_the_node_and_no_others_are_ended() -> None:
    box = Box()
    box.pod("here")
    box.pod("there", node="other")
    assert await drain(box.client, "edge", 5) == []
    assert [path for path in box.api.objects if "/pods/" in path] == [f"{PODS}/there"]


async def test_node_is_cordoned_before_the_first_pod_is_ended() -> None:
    box = Box()
    box.pod("here")
    await drain(box.client, "edge", 5)
    assert box.api.writes() == [f"PATCH {NODE}", f"DELETE {PODS}/here"]
    assert box.node["spec"]["unschedulable"] is True


async def test_drain_returns_only_when_the_slowest_pod_is_gone() -> None:
    box = Box()
    box.pod("slow", slow=True)
    draining = asyncio.ensure_future(drain(box.client, "edge", 5))
    await settle(200)
    assert not draining.done()
    box.end("slow")
    assert await draining == []


async def test_pods_that_do_not_end_in_time_are_named() -> None:
    box = Box()
    box.pod("stuck", slow=True)
    assert await drain(box.client, "edge", 0.05) == ["ns/stuck"]


async def test_pod_bound_just_before_the_cordon_was_seen_is_ended_too() -> None:
    box = Box()
    box.pod("first", slow=True)
    draining = asyncio.ensure_future(drain(box.client, "edge", 5))
    await settle(200)
    box.pod("late")
    box.end("first")
    assert await draining == []
    assert f"DELETE {PODS}/late" in box.api.writes()


async def test_each_pod_is_asked_to_end_only_once() -> None:
    box = Box()
    for name in ("first", "second"):
        box.pod(name, slow=True)
    draining = asyncio.ensure_future(drain(box.client, "edge", 5))
    await settle(200)
    box.end("first")
    box.end("second")
    await draining
    assert box.api.writes().count(f"DELETE {PODS}/first") == 1


async def test_pod_that_ends_meanwhile_is_no_error() -> None:
    box = Box()
    box.pod("here")
    box.api.fail_next("DELETE", failure(404, "NotFound"))
    draining = asyncio.ensure_future(drain(box.client, "edge", 5))
    await settle(200)
    box.end("here")
    assert await draining == []


async def test_refused_delete_is_an_error() -> None:
    box = Box()
    box.pod("here")
    box.api.fail_next("DELETE", failure(403, "Forbidden"))
    with pytest.raises(errors.ApiError):
        await drain(box.client, "edge", 5)


async def test_empty_machine_without_a_node_object_is_drained() -> None:
    box = Box()
    box.api.remove(NODE)
    assert await drain(box.client, "edge", 5) == []


async def test_up_lifts_the_cordon_of_down() -> None:
    box = Box()
    await drain(box.client, "edge", 5)
    await uncordon(box.client, "edge")
    assert "unschedulable" not in box.node["spec"]
    assert CORDONED_BY_DOWN not in box.node["metadata"].get("annotations", {})


async def test_cordon_of_an_administrator_stays() -> None:
    box = Box()
    box.api.put("/api/v1/nodes", "edge", spec={"unschedulable": True})
    await drain(box.client, "edge", 5)
    await uncordon(box.client, "edge")
    assert box.node["spec"]["unschedulable"] is True
