"""Whom a pod of higher priority ends to get its place."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cluster_on_paper import cluster, node, pod

from edgevirt.api.core import Node, Pod
from edgevirt.api.policy import PodDisruptionBudget
from edgevirt.engine.scheduler import preemption
from edgevirt.engine.scheduler.plan import Unschedulable, Wish, no_labels, plan
from edgevirt.engine.scheduler.preemption import NoPreemption, Preemption

pytestmark = pytest.mark.unit

ASKED = "no new claims to deallocate, preemption: "


def sized(name: str, memory: str, priority: int, **more: Any) -> Pod:
    return pod(name, requests={"memory": memory}, priority=priority, **more)


def outcome(
    wanted: Pod,
    nodes: tuple[Node, ...],
    there: dict[str, tuple[Pod, ...]],
    *budgets: PodDisruptionBudget,
    nominated: str = "",
) -> Preemption | NoPreemption:
    candidates = cluster(nodes, there)
    why = plan(wanted, candidates)
    assert isinstance(why, Unschedulable)
    return preemption.plan(Wish.of(wanted), why, candidates, no_labels, budgets, nominated)


def victims(result: Preemption | NoPreemption) -> tuple[str, list[str]]:
    assert isinstance(result, Preemption)
    return result.node, [pod.metadata.name for pod in result.victims]


def message(result: Preemption | NoPreemption) -> str:
    assert isinstance(result, NoPreemption)
    return result.message


def test_the_fewest_and_least_important_pods_make_room() -> None:
    there = {"n1": (sized("low", "1Gi", 1), sized("lower", "512Mi", 0), sized("mid", "512Mi", 5))}
    assert victims(outcome(sized("p", "1Gi", 10), (node(),), there)) == ("n1", ["low"])
    assert victims(outcome(sized("p", "512Mi", 10), (node(),), there)) == ("n1", ["lower"])
    assert victims(outcome(sized("p", "2Gi", 10), (node(),), there)) == ("n1", ["mid", "low", "lower"])


def test_nobody_of_equal_or_higher_priority_is_ended() -> None:
    there = {"n1": (sized("same", "2Gi", 10),)}
    assert message(outcome(sized("p", "1Gi", 10), (node(),), there)) == (
        f"{ASKED}0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )


def test_what_no_victim_could_change_is_said() -> None:
    there = {"n1": (sized("low", "1Gi", 0),)}
    nodes = (node(), node("n2", unschedulable=True))
    assert message(outcome(sized("p", "3Gi", 10), nodes, there)) == (
        f"{ASKED}0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )
    stays = {"n1": (sized("low", "512Mi", 0), sized("high", "1536Mi", 20))}
    assert message(outcome(sized("p", "1Gi", 10), (node(),), stays)) == (
        f"{ASKED}0/1 nodes are available: 1 Insufficient memory."
    )


def test_a_pod_may_be_told_never_to_preempt() -> None:
    there = {"n1": (sized("low", "2Gi", 0),)}
    wanted = sized("p", "1Gi", 10, preemptionPolicy="Never")
    assert message(outcome(wanted, (node(),), there)) == (
        f"{ASKED}not eligible due to preemptionPolicy=Never."
    )


def test_the_node_with_the_least_important_victims_is_chosen() -> None:
    there = {"n1": (sized("a", "2Gi", 5),), "n2": (sized("b", "1Gi", 1), sized("c", "1Gi", 1))}
    assert victims(outcome(sized("p", "2Gi", 10), (node("n1"), node("n2")), there))[0] == "n2"
    equal = {"n1": (sized("a", "1Gi", 1), sized("b", "1Gi", 1)), "n2": (sized("c", "2Gi", 1),)}
    assert victims(outcome(sized("p", "2Gi", 10), (node("n1"), node("n2")), equal)) == ("n2", ["c"])


def test_budgets_are_kept_where_possible() -> None:
    budget = msgspec.convert(
        {
            "metadata": {"name": "b", "namespace": "ns"},
            "spec": {"selector": {"matchLabels": {"app": "db"}}},
            "status": {"disruptionsAllowed": 0},
        },
        PodDisruptionBudget,
    )
    guarded = sized("guarded", "1Gi", 0, labels={"app": "db"})
    there = {"n1": (guarded, sized("other", "1Gi", 3))}
    assert victims(outcome(sized("p", "1Gi", 10), (node(),), there, budget)) == ("n1", ["other"])
    only = {"n1": (sized("guarded", "2Gi", 0, labels={"app": "db"}),)}
    assert victims(outcome(sized("p", "1Gi", 10), (node(),), only, budget)) == ("n1", ["guarded"])


def test_nobody_else_is_ended_while_the_node_is_being_cleared() -> None:
    leaving = sized("leaving", "1Gi", 0, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    there = {"n1": (leaving, sized("low", "1Gi", 0))}
    result = outcome(sized("p", "1Gi", 10), (node(),), there, nominated="n1")
    assert message(result) == f"{ASKED}not eligible due to a terminating pod on the nominated node."


def test_anti_affinity_and_ports_are_resolved_by_ending_who_is_in_the_way() -> None:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "db"}}}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    there = {"n1": (sized("db", "1Mi", 0, labels={"app": "db"}), sized("web", "1Mi", 0))}
    assert victims(outcome(sized("p", "1Mi", 10, affinity=apart), (node(),), there)) == ("n1", ["db"])
    ports = [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]
    taken = {"n1": (pod("a", containers=ports, priority=0),)}
    assert victims(outcome(pod("p", containers=ports, priority=1), (node(),), taken)) == ("n1", ["a"])
