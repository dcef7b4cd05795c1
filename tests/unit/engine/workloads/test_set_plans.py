"""ReplicaSets, StatefulSets and DaemonSets: what each does next about the pods that are there."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import pytest
from pod_maker import pod

from edgevirt.api.apps import (
    DaemonSet,
    DaemonSetSpec,
    DaemonSetUpdateStrategy,
    ReplicaSet,
    ReplicaSetSpec,
    RollingUpdateDaemonSet,
    RollingUpdateStatefulSetStrategy,
    StatefulSet,
    StatefulSetSpec,
    StatefulSetStatus,
    StatefulSetUpdateStrategy,
)
from edgevirt.api.core import Node, NodeCondition, NodeSpec, NodeStatus, Pod, PodSpec, PodTemplateSpec, Taint
from edgevirt.api.meta import IntOrString, LabelSelector, ObjectMeta, OwnerReference
from edgevirt.engine.controllers.workloads import (
    claiming,
    daemon_set_plan,
    replica_set_plan,
    stateful_set_plan,
)

pytestmark = pytest.mark.unit

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def replica_set(size: int, wait: int = 0) -> ReplicaSet:
    return ReplicaSet(
        metadata=ObjectMeta(name="r", namespace="n", uid="r", generation=3),
        spec=ReplicaSetSpec(replicas=size, min_ready_seconds=wait, template=PodTemplateSpec()),
    )


# ReplicaSet ---------------------------------------------------------------------------------------------


def test_missing_pods_are_made_and_surplus_ones_deleted() -> None:
    assert replica_set_plan.plan(replica_set(3), [pod("a")], NOW).create == 2
    planned = replica_set_plan.plan(replica_set(1), [pod("a"), pod("b", "Pending")], NOW)
    assert [p.metadata.name for p in planned.delete] == ["b"]
    assert replica_set_plan.plan(replica_set(10_000), [], NOW).create == replica_set_plan.BURST


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (pod("x", node="", phase="Pending"), pod("y", phase="Pending")),
        (pod("x", "Pending"), pod("y", "Unknown")),
        (pod("x", "Unknown"), pod("y", "Running")),
        (pod("x", ready=False), pod("y")),
        (
            pod("x", annotations={"controller.kubernetes.io/pod-deletion-cost": "-5"}),
            pod("y", annotations={"controller.kubernetes.io/pod-deletion-cost": "5"}),
        ),
        (pod("x", since="2025-12-31T02:00:00Z"), pod("y", since="2025-12-31T01:00:00Z")),
        (pod("x", restarts=4), pod("y", restarts=1)),
        (pod("x", created="2025-12-31T02:00:00Z"), pod("y", created="2025-12-31T01:00:00Z")),
    ],
)
def test_the_pod_that_is_missed_least_goes_first(worse: Pod, better: Pod) -> None:
    for pods in ((worse, better), (better, worse)):
        (gone,) = replica_set_plan.plan(replica_set(1), pods, NOW).delete
        assert gone is worse


def test_a_pod_is_available_only_after_it_was_ready_for_long_enough() -> None:
    fresh = pod("a", since="2025-12-31T23:59:50Z")
    planned = replica_set_plan.plan(replica_set(1, wait=30), [fresh], NOW)
    assert planned.look_again == 20.0
    status = replica_set_plan.status(replica_set(1, wait=30), [fresh], "", "", NOW, "t")
    assert (status.replicas, status.ready_replicas, status.available_replicas) == (1, 1, None)
    assert status.observed_generation == 3


def test_a_refusal_shows_as_a_condition_and_goes_when_it_is_over() -> None:
    one = replica_set(1)
    failed = replica_set_plan.status(one, [], "no quota", "FailedCreate", NOW, "t")
    (condition,) = failed.conditions
    assert (condition.type, condition.reason, condition.message) == (
        "ReplicaFailure",
        "FailedCreate",
        "no quota",
    )
    healed = ReplicaSet(metadata=one.metadata, spec=one.spec, status=failed)
    assert replica_set_plan.status(healed, [pod("a")], "", "", NOW, "t").conditions == ()


# Claiming -----------------------------------------------------------------------------------------------


def test_a_controller_adopts_orphans_and_lets_go_of_what_does_not_match() -> None:
    one = replica_set(1)
    selector = LabelSelector(match_labels={"a": "b"})
    mine = (OwnerReference(uid="r", controller=True),)
    other = (OwnerReference(uid="z", controller=True),)
    pods = [
        pod("owned", labels={"a": "b"}, owner_references=mine),
        pod("stray", labels={"a": "z"}, owner_references=mine),
        pod("foreign", labels={"a": "b"}, owner_references=other),
        pod("orphan", labels={"a": "b"}),
        pod("going", labels={"a": "b"}, deleting=True),
        pod("unrelated"),
    ]
    claims = claiming.plan(one, selector, pods)
    assert [p.metadata.name for p in claims.owned] == ["owned"]
    assert [p.metadata.name for p in claims.adopt] == ["orphan"]
    assert [p.metadata.name for p in claims.release] == ["stray"]


# StatefulSet --------------------------------------------------------------------------------------------


def stateful_set(
    size: int = 3, policy: str = "OrderedReady", partition: int = 0, **more: object
) -> StatefulSet:
    strategy = StatefulSetUpdateStrategy(
        type="RollingUpdate", rolling_update=RollingUpdateStatefulSetStrategy(partition=partition)
    )
    return StatefulSet(
        metadata=ObjectMeta(name="s", namespace="n", uid="s", generation=1),
        spec=StatefulSetSpec(replicas=size, pod_management_policy=policy, update_strategy=strategy, **more),  # type: ignore[arg-type]
    )


def member(ordinal: int, revision: str = "new", **more: object) -> Pod:
    return pod(f"s-{ordinal}", labels={"controller-revision-hash": revision}, **more)  # type: ignore[arg-type]


def steps(one: StatefulSet, pods: Sequence[Pod]) -> list[str]:
    planned = stateful_set_plan.plan(one, pods, "new", NOW)
    return [
        f"make {a.ordinal}{' old' if a.current else ''}"
        if isinstance(a, stateful_set_plan.Make)
        else f"delete {a.pod.metadata.name}"
        for a in planned.actions
    ]


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([], ["make 0"]),
        ([member(0, ready=False)], []),
        ([member(0)], ["make 1"]),
        ([member(0), member(1, deleting=True)], []),
        ([member(0, phase="Failed"), member(1)], ["delete s-0"]),
        ([member(0), member(1), member(2)], []),
        ([member(0), member(1), member(2), member(3), member(4)], ["delete s-4"]),
        ([member(0), member(1), member(2), member(3), member(4, deleting=True)], []),
        ([member(0, "old"), member(1, "old"), member(2, "old")], ["delete s-2"]),
        ([member(0, "old"), member(1, "old"), member(2, ready=False)], []),
        ([member(0, "old"), member(1, "old"), member(2)], ["delete s-1"]),
    ],
)
def test_an_ordered_set_takes_one_step_at_a_time(pods: list[Pod], expected: list[str]) -> None:
    assert steps(stateful_set(), pods) == expected


def test_a_parallel_set_takes_all_steps_but_updates_at_once() -> None:
    assert steps(stateful_set(policy="Parallel"), []) == ["make 0", "make 1", "make 2"]
    pods = [member(0), member(1), member(2), member(3), member(4)]
    assert steps(stateful_set(policy="Parallel"), pods) == ["delete s-4", "delete s-3"]
    assert steps(stateful_set(policy="Parallel"), [member(n, "old") for n in range(3)]) == ["delete s-2"]


def test_below_the_partition_the_old_revision_stays_even_when_made_anew() -> None:
    one = stateful_set(partition=2)
    assert steps(one, [member(0, "old"), member(1, "old"), member(2)]) == []
    assert steps(one, []) == ["make 0 old"]


def test_only_a_complete_update_becomes_the_current_revision() -> None:
    one = stateful_set(size=2)
    half = stateful_set_plan.status(one, [member(0, "old"), member(1)], "old", "new", 0, NOW)
    assert (half.current_revision, half.current_replicas, half.updated_replicas) == ("old", 1, 1)
    whole = stateful_set_plan.status(one, [member(0), member(1)], "old", "new", 0, NOW)
    assert (whole.current_revision, whole.current_replicas) == ("new", 2)
    assert isinstance(whole, StatefulSetStatus)


# DaemonSet ----------------------------------------------------------------------------------------------


def node(name: str, *taints: Taint, ready: str = "True", labels: dict[str, str] | None = None) -> Node:
    return Node(
        metadata=ObjectMeta(name=name, labels=labels or {}),
        spec=NodeSpec(taints=taints),
        status=NodeStatus(conditions=(NodeCondition(type="Ready", status=ready),)),
    )


def daemon_set(surge: IntOrString = 0, unavailable: IntOrString = 1, **template: object) -> DaemonSet:
    rolling = RollingUpdateDaemonSet(max_surge=surge, max_unavailable=unavailable)
    return DaemonSet(
        metadata=ObjectMeta(name="ds", namespace="n", uid="ds", generation=1),
        spec=DaemonSetSpec(
            template=PodTemplateSpec(spec=PodSpec(**template)),  # type: ignore[arg-type]
            update_strategy=DaemonSetUpdateStrategy(type="RollingUpdate", rolling_update=rolling),
        ),
    )


def on(name: str, where: str, revision: str = "new", **more: object) -> Pod:
    return pod(name, node=where, labels={"controller-revision-hash": revision}, **more)  # type: ignore[arg-type]


def moves(one: DaemonSet, nodes: list[Node], pods: list[Pod]) -> tuple[list[str], list[str]]:
    planned = daemon_set_plan.plan(one, nodes, pods, "new", NOW)
    return list(planned.make), [p.metadata.name for p in planned.delete]


def test_every_node_that_is_meant_gets_a_pod() -> None:
    nodes = [node("a"), node("b", labels={"disk": "ssd"})]
    assert moves(daemon_set(), nodes, []) == (["a", "b"], [])
    assert moves(daemon_set(node_selector={"disk": "ssd"}), nodes, []) == (["b"], [])
    assert moves(daemon_set(), nodes, [on("x", "a"), on("y", "gone")]) == (["b"], ["y"])


def test_taints_keep_daemons_off_or_drive_them_away() -> None:
    off = node("a", Taint(key="k", effect="NoSchedule"))
    assert moves(daemon_set(), [off], []) == ([], [])
    assert moves(daemon_set(), [off], [on("x", "a")]) == ([], [])
    away = node("a", Taint(key="k", effect="NoExecute"))
    assert moves(daemon_set(), [away], [on("x", "a")]) == ([], ["x"])
    cordoned = node("a", Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule"))
    assert moves(daemon_set(), [cordoned], []) == (["a"], [])


def test_a_failed_daemon_is_deleted_to_be_made_anew() -> None:
    assert moves(daemon_set(), [node("a")], [on("x", "a", phase="Failed")]) == ([], ["x"])
    assert moves(daemon_set(), [node("a")], [on("x", "a", deleting=True)]) == ([], [])


def test_an_update_replaces_as_many_as_may_be_missing() -> None:
    nodes = [node(name) for name in "abc"]
    old = [on(f"p{name}", name, "old") for name in "abc"]
    assert moves(daemon_set(), nodes, old) == ([], ["pa"])
    assert moves(daemon_set(unavailable="67%"), nodes, old) == ([], ["pa", "pb", "pc"])
    busy = [on("pa", "a", ready=False), *old[1:]]
    assert moves(daemon_set(), nodes, busy) == ([], [])


def test_with_a_surge_the_new_pod_comes_before_the_old_one_goes() -> None:
    one, nodes = daemon_set(surge=1, unavailable=0), [node("a"), node("b")]
    old = [on("oa", "a", "old"), on("ob", "b", "old")]
    assert moves(one, nodes, old) == (["a"], [])
    assert moves(one, nodes, [*old, on("na", "a", ready=False)]) == ([], [])
    assert moves(one, nodes, [*old, on("na", "a")]) == ([], ["oa"])


def test_a_daemon_set_counts_nodes_not_pods() -> None:
    nodes = [node("a"), node("b"), node("c", Taint(key="k", effect="NoSchedule"))]
    pods = [on("x", "a"), on("y", "b", "old", ready=False), on("z", "c")]
    found = daemon_set_plan.status(daemon_set(), nodes, pods, "new", None, NOW)
    assert (found.desired_number_scheduled, found.current_number_scheduled) == (2, 2)
    assert (found.number_ready, found.number_available, found.number_unavailable) == (1, 1, 1)
    assert (found.updated_number_scheduled, found.number_misscheduled) == (1, 1)


def test_a_daemons_pod_is_meant_for_its_node_and_no_other() -> None:
    spec = daemon_set_plan.placed(daemon_set_plan.with_tolerations(PodSpec()), "a")
    assert daemon_set_plan.target_of(Pod(spec=spec)) == "a"
    assert {one.key for one in spec.tolerations} >= {"node.kubernetes.io/unschedulable"}
