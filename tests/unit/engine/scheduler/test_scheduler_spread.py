"""Topology spread constraints."""

from __future__ import annotations

from typing import Any

import pytest
from cluster_on_paper import node, pod, verdict

from edgevirt.api.core import Node, Pod

pytestmark = pytest.mark.unit

HOST = "kubernetes.io/hostname"
UNEVEN = "node(s) didn't match pod topology spread constraints"


def constraint(key: str = HOST, **more: Any) -> dict[str, Any]:
    usual = {"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    return {"topologyKey": key, "labelSelector": {"matchLabels": {"app": "web"}}, **usual, **more}


def web(name: str = "p", *constraints: dict[str, Any], **more: Any) -> Pod:
    wanted = constraints or (constraint(),)
    return pod(name, labels={"app": "web"}, topologySpreadConstraints=list(wanted), **more)


def crowd(count: int, on: str) -> tuple[Pod, ...]:
    return tuple(web(f"{on}-{number}") for number in range(count))


NODES = (node("n1"), node("n2"))


def test_pods_go_where_fewest_of_their_kind_are() -> None:
    assert verdict(web(), NODES, {"n1": crowd(1, "n1")}) == "n2"
    assert verdict(web(), NODES, {"n1": crowd(1, "n1"), "n2": crowd(1, "n2")}) in ("n1", "n2")


def test_difference_larger_than_allowed_keeps_the_pod_waiting() -> None:
    tainted = node("n2", taints=[{"key": "k", "effect": "NoSchedule"}])
    said = verdict(web(), (NODES[0], tainted), {"n1": crowd(1, "n1")})
    assert said == f"0/2 nodes are available: 1 {UNEVEN}, 1 node(s) had untolerated taint(s)."
    wide = web("p", constraint(maxSkew=2))
    assert verdict(wide, (NODES[0], tainted), {"n1": crowd(1, "n1")}) == "n1"
    honest = web("p", constraint(nodeTaintsPolicy="Honor"))
    assert verdict(honest, (NODES[0], tainted), {"n1": crowd(1, "n1")}) == "n1"


def test_single_node_takes_all() -> None:
    assert verdict(web(), NODES[:1], {"n1": crowd(5, "n1")}) == "n1"


def test_fewer_places_than_wanted_count_as_an_empty_one() -> None:
    wish = web("p", constraint(minDomains=2))
    assert verdict(wish, NODES[:1], {"n1": crowd(1, "n1")}) == f"0/1 nodes are available: 1 {UNEVEN}."


def test_node_without_the_key_is_named() -> None:
    said = verdict(web("p", constraint("zone")), NODES[:1], {})
    assert said == f"0/1 nodes are available: 1 {UNEVEN} (missing required label)."


def test_nodes_the_pod_may_not_use_are_no_places_unless_it_says_so() -> None:
    nodes: tuple[Node, ...] = (node("n1", labels={"disk": "ssd"}), node("n2"))
    there = {"n1": crowd(3, "n1")}
    assert verdict(web("p", nodeSelector={"disk": "ssd"}), nodes, there) == "n1"
    ignoring = web("p", constraint(nodeAffinityPolicy="Ignore"), nodeSelector={"disk": "ssd"})
    assert UNEVEN in verdict(ignoring, nodes, there)


def test_who_is_leaving_or_of_another_namespace_does_not_count() -> None:
    leaving = web("leaving", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    foreign = web("foreign", namespace="other")
    nodes = (node("n1"), node("n2", size={"pods": "0"}))
    assert verdict(web(), nodes, {"n1": (leaving, foreign)}) == "n1"


def test_label_keys_tell_revisions_apart() -> None:
    def of(revision: str, name: str) -> Pod:
        labels = {"app": "web", "hash": revision}
        return pod(name, labels=labels, topologySpreadConstraints=[constraint(matchLabelKeys=["hash"])])

    nodes = (node("n1"), node("n2", size={"pods": "0"}))
    there = {"n1": (of("1", "a"),)}
    assert verdict(of("2", "b"), nodes, there) == "n1"
    assert UNEVEN in verdict(of("1", "c"), nodes, there)


def test_soft_constraint_only_prefers() -> None:
    soft = constraint(whenUnsatisfiable="ScheduleAnyway")
    assert verdict(web("p", soft), NODES, {"n1": crowd(2, "n1")}) == "n2"
    assert verdict(web("p", soft), NODES[:1], {"n1": crowd(2, "n1")}) == "n1"
