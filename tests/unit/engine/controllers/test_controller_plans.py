"""The pure halves of the namespace, pod and node controllers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgevirt.api.core import Node, Pod
from edgevirt.api.meta import KubeObject, Resource
from edgevirt.engine.controllers import namespace, node_lifecycle, pod_gc
from edgevirt.engine.controllers.namespace import Remainder, Survey
from edgevirt.kube.discovery import ServedResource

pytestmark = pytest.mark.unit

VMS = Resource("kubevirt.io", "v1", "virtualmachines", "VirtualMachine", KubeObject)
PODS = Resource("", "v1", "pods", "Pod", KubeObject)


def said(survey: Survey) -> dict[str, tuple[str, str, str]]:
    return {one.type: (one.status, one.reason, one.message) for one in namespace.conditions(survey)}


def test_a_namespace_that_is_held_says_by_what() -> None:
    survey = Survey(
        remaining=(Remainder(VMS, 2, (("kubevirt.io/vm", 2),)), Remainder(PODS, 1)),
        failures=("secrets: not allowed",),
        undiscovered=frozenset({"subresources.kubevirt.io/v1"}),
    )
    assert said(survey) == {
        "NamespaceDeletionDiscoveryFailure": (
            "True",
            "DiscoveryFailed",
            "Discovery failed for some groups, 1 failing: subresources.kubevirt.io/v1",
        ),
        "NamespaceDeletionContentFailure": (
            "True",
            "ContentDeletionFailed",
            "Failed to delete all resource types, 1 remaining: secrets: not allowed",
        ),
        "NamespaceContentRemaining": (
            "True",
            "SomeResourcesRemain",
            "Some resources are remaining: pods has 1 resource instances, "
            "virtualmachines.kubevirt.io has 2 resource instances",
        ),
        "NamespaceFinalizersRemaining": (
            "True",
            "SomeFinalizersRemain",
            "Some content in the namespace has finalizers remaining: kubevirt.io/vm in 2 resource instances",
        ),
    }
    assert not survey.empty


def test_an_empty_namespace_is_proven_empty() -> None:
    assert Survey().empty
    assert {status for status, _, _ in said(Survey()).values()} == {"False"}
    assert not Survey(undiscovered=frozenset({"a/v1"})).empty, "what cannot be asked may still be there"


def test_pods_go_first_and_what_cannot_be_deleted_is_not_tried() -> None:
    def kind(plural: str, verbs: str, namespaced: bool = True) -> ServedResource:
        return ServedResource(
            Resource("", "v1", plural, plural, KubeObject, namespaced), frozenset(verbs.split())
        )

    maps, pods = kind("configmaps", "list delete"), kind("pods", "list delete")
    served = (maps, pods, kind("bindings", "create"), kind("nodes", "list delete", namespaced=False))
    assert namespace.phases(served) == ((pods,), (maps,))


def pod(name: str, node: str = "", phase: str = "Running", **meta: Any) -> Pod:
    return msgspec.convert(
        {
            "metadata": {"name": name, "namespace": "ns", **meta},
            "spec": {"nodeName": node},
            "status": {"phase": phase},
        },
        Pod,
    )


def removed(plan: pod_gc.Plan) -> list[tuple[str, pod_gc.Cause]]:
    return [(one.pod.metadata.name, one.cause) for one in plan.removals]


def test_pods_of_a_node_that_is_missing_for_long_are_removed() -> None:
    pods = (pod("here", "n1"), pod("lost", "n2"), pod("fresh", "n3"), pod("unbound"))
    plan = pod_gc.plan(pods, {"n1"}, {"n2": 40.0, "n3": 15.0}, 10)
    assert removed(plan) == [("lost", pod_gc.Cause.ORPHANED)]
    assert plan.look_again == 25.0


def test_a_pod_deleted_before_it_was_bound_is_removed() -> None:
    plan = pod_gc.plan((pod("a", deletionTimestamp="2026-01-01T00:00:00Z"), pod("b")), set(), {}, 10)
    assert removed(plan) == [("a", pod_gc.Cause.NEVER_BOUND)]
    assert plan.look_again is None


def test_of_ended_pods_the_newest_are_kept() -> None:
    pods = tuple(
        pod(f"p{day}", "n1", phase, creationTimestamp=f"2026-01-{day:02}T00:00:00Z")
        for day, phase in ((3, "Failed"), (1, "Succeeded"), (2, "Failed"), (4, "Running"))
    )
    assert removed(pod_gc.plan(pods, {"n1"}, {}, 2)) == [("p1", pod_gc.Cause.SURPLUS)]
    assert removed(pod_gc.plan(pods, {"n1"}, {}, 3)) == []


def node(ready: str = "True", taints: tuple[dict[str, str], ...] = (), **more: Any) -> Node:
    pressures = more.pop("conditions", ())
    conditions = [{"type": "Ready", "status": ready}] if ready else []
    return msgspec.convert(
        {
            "metadata": {"name": "n1"},
            "spec": {"taints": list(taints), **more},
            "status": {"conditions": [*conditions, *pressures]},
        },
        Node,
    )


def taints(plan: node_lifecycle.Plan) -> list[tuple[str, str]] | None:
    return None if plan.taints is None else [(one.key, one.effect) for one in plan.taints]


OTHER = {"key": "dedicated", "value": "db", "effect": "NoExecute"}
NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
NOT_READY_EVICTS = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("observed", "silent", "expected"),
    [
        (node(), 5, None),
        (node("False"), 5, [("node.kubernetes.io/not-ready", "NoSchedule")]),
        (node(""), 5, [("node.kubernetes.io/not-ready", "NoSchedule")]),
        (node("False", (NOT_READY,)), 5, None),
        (node("True", (NOT_READY, OTHER)), 5, [("dedicated", "NoExecute")]),
        (node(), 40, [("node.kubernetes.io/unreachable", "NoSchedule")]),
        (node("False", (NOT_READY,)), 40, [("node.kubernetes.io/unreachable", "NoSchedule")]),
        (node(unschedulable=True), 5, [("node.kubernetes.io/unschedulable", "NoSchedule")]),
        (
            node(conditions=({"type": "DiskPressure", "status": "True"},)),
            5,
            [("node.kubernetes.io/disk-pressure", "NoSchedule")],
        ),
    ],
)
def test_taints_say_what_state_a_node_is_in(
    observed: Node, silent: float, expected: list[tuple[str, str]] | None
) -> None:
    assert taints(node_lifecycle.plan(observed, silent, 40.0)) == expected


@pytest.mark.parametrize("silent", [0.0, 40.0, 1e9])
@pytest.mark.parametrize("ready", ["True", "False", "Unknown", ""])
def test_a_node_that_was_away_never_costs_a_running_pod(ready: str, silent: float) -> None:
    plan = node_lifecycle.plan(node(ready, (NOT_READY_EVICTS,)), silent, 40.0)
    assert all(effect == "NoSchedule" for _, effect in taints(plan) or ())


def test_conditions_of_a_silent_node_become_unknown_once() -> None:
    observed = node("True", conditions=({"type": "MemoryPressure", "status": "False"},))
    changed = node_lifecycle.plan(observed, 41, 40).conditions
    assert {one.type: (one.status, one.reason) for one in changed} == {
        "Ready": ("Unknown", "NodeStatusUnknown"),
        "MemoryPressure": ("Unknown", "NodeStatusUnknown"),
        "DiskPressure": ("Unknown", "NodeStatusNeverUpdated"),
        "PIDPressure": ("Unknown", "NodeStatusNeverUpdated"),
    }
    silent = msgspec.convert({"status": {"conditions": [msgspec.to_builtins(one) for one in changed]}}, Node)
    assert node_lifecycle.plan(silent, 100, 40).conditions == ()
