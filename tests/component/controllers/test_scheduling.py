"""Where pods go on a real API server: apart, by turns, and in somebody's place."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from small_cluster import NODE, SmallCluster

from edgevirt.api.core import Event, Pod
from edgevirt.api.resources import EVENTS, PODS

pytestmark = [
    pytest.mark.component,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl"),
]


def pod(name: str, cpu: str = "1m", **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "nginx", "resources": {"requests": {"cpu": cpu}}}
    labels = spec.pop("labels", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
    }


def bound(one: Pod | None) -> bool:
    return one is not None and one.spec is not None and one.spec.node_name == NODE


def why_not(one: Pod | None) -> str:
    conditions = one.status.conditions if one is not None and one.status else ()
    return next((c.message for c in conditions if c.type == "PodScheduled" and c.status == "False"), "")


async def test_replicas_that_shun_each_other_wait_for_another_node(cluster: SmallCluster) -> None:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "db"}}}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    for name in ("db-0", "db-1"):
        await cluster.client.create(
            PODS, pod(name, labels={"app": "db"}, affinity=apart), namespace="default"
        )
    await cluster.until(PODS, "db-0", bound)
    second = await cluster.until(PODS, "db-1", lambda one: bool(why_not(one)))
    assert why_not(second) == (
        "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules. "
        "no new claims to deallocate, preemption: "
        "0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )
    assert "FailedScheduling" in await cluster.kubectl("describe", "pod", "db-1")
    await cluster.kubectl("delete", "pod", "db-0")
    await cluster.until(PODS, "db-1", bound)
    await cluster.kubectl("delete", "pod", "db-1")


async def test_important_pod_takes_the_place_of_a_lesser_one(cluster: SmallCluster) -> None:
    await cluster.kubectl("create", "priorityclass", "urgent", "--value=1000")
    await cluster.client.create(PODS, pod("low", "40"), namespace="default")
    await cluster.until(PODS, "low", bound)
    urgent = {"priorityClassName": "urgent", "priority": 1000}
    await cluster.client.create(PODS, pod("high", "40", **urgent), namespace="default")
    high = await cluster.until(PODS, "high", bound)
    assert high is not None
    assert high.status is not None
    assert high.status.nominated_node_name == ""
    await cluster.until(PODS, "low", lambda one: one is None)

    def told(events: tuple[Event, ...]) -> bool:
        wanted = f"Preempted by pod {high.metadata.uid} on node {NODE}"
        return any((event.reason, event.message) == ("Preempted", wanted) for event in events)

    await cluster.until_all(EVENTS, told)
    await cluster.kubectl("delete", "pod", "high")


async def test_gated_pod_waits_for_its_gates(cluster: SmallCluster) -> None:
    await cluster.client.create(PODS, pod("gated", schedulingGates=[{"name": "wait"}]), namespace="default")
    gated = await cluster.until(PODS, "gated", lambda one: bool(why_not(one)))
    assert why_not(gated) == "Scheduling is blocked due to non-empty scheduling gates"
    assert "SchedulingGated" in await cluster.kubectl("get", "pod", "gated")
    await cluster.kubectl("patch", "pod", "gated", "--type=merge", "-p", '{"spec": {"schedulingGates": []}}')
    await cluster.until(PODS, "gated", bound)
    await cluster.kubectl("delete", "pod", "gated")
