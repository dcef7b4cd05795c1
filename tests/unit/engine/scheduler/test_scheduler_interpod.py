"""Affinity and anti-affinity between pods."""

from __future__ import annotations

from typing import Any

import pytest
from cluster_on_paper import node, pod, verdict

pytestmark = pytest.mark.unit

HOST = "kubernetes.io/hostname"
N1 = node("n1", labels={"zone": "a"})
N2 = node("n2", labels={"zone": "a"})
N3 = node("n3", labels={"zone": "b"})
NODES = (N1, N2, N3)
NO_AFFINITY = "0/3 nodes are available: 3 node(s) didn't match pod affinity rules."


def term(key: str = HOST, app: str = "db", **more: Any) -> dict[str, Any]:
    return {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}, **more}


def near(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def apart(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


DB = pod("db", labels={"app": "db"})


def test_affinity_follows_the_pod_to_its_place() -> None:
    assert verdict(pod(affinity=near(term())), NODES, {"n2": (DB,)}) == "n2"
    assert verdict(pod(affinity=near(term("zone"))), NODES, {"n3": (DB,)}) == "n3"
    assert verdict(pod(affinity=near(term("zone"))), NODES, {"n2": (DB,)}) in ("n1", "n2")


def test_affinity_to_nobody_is_not_fulfilled() -> None:
    assert verdict(pod(affinity=near(term())), NODES, {}) == NO_AFFINITY
    assert verdict(pod(affinity=near(term(app="web"))), NODES, {"n1": (DB,)}) == NO_AFFINITY


def test_first_of_its_kind_may_go_anywhere_the_second_joins_it() -> None:
    first = pod("a", labels={"app": "db"}, affinity=near(term()))
    assert verdict(first, NODES, {}) == "n1"
    second = pod("b", labels={"app": "db"}, affinity=near(term()))
    assert verdict(second, NODES, {"n3": (first,)}) == "n3"


def test_node_without_the_topology_label_is_no_place() -> None:
    bare = (node("n1"),)
    lonely = pod(labels={"app": "db"}, affinity=near(term("rack")))
    assert "didn't match pod affinity rules" in verdict(lonely, bare, {})
    assert verdict(pod(affinity=apart(term("rack"))), bare, {"n1": (DB,)}) == "n1"


def test_all_terms_have_to_be_fulfilled_by_one_pod() -> None:
    both = near(term(app="db"), {"topologyKey": HOST, "labelSelector": {"matchLabels": {"tier": "x"}}})
    half = pod("half", labels={"tier": "x"})
    assert verdict(pod(affinity=both), NODES, {"n1": (DB, half)}) == NO_AFFINITY
    whole = pod("whole", labels={"app": "db", "tier": "x"})
    assert verdict(pod(affinity=both), NODES, {"n1": (DB, half), "n2": (whole,)}) == "n2"


def test_anti_affinity_keeps_away() -> None:
    wanted = pod(affinity=apart(term("zone")))
    assert verdict(wanted, NODES, {"n1": (DB,)}) == "n3"
    assert verdict(wanted, (N1, N2), {"n1": (DB,)}) == (
        "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."
    )


def test_replicas_that_shun_each_other_take_a_node_each() -> None:
    def replica(name: str) -> Any:
        return pod(name, labels={"app": "db"}, affinity=apart(term()))

    there = {"n1": (replica("a"),), "n2": (replica("b"),)}
    assert verdict(replica("c"), NODES, there) == "n3"
    full = {**there, "n3": (replica("c"),)}
    assert verdict(replica("d"), NODES, full) == (
        "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules."
    )


def test_pods_that_are_there_keep_out_whom_they_do_not_want() -> None:
    shy = pod("shy", affinity=apart(term(app="web")))
    web = pod("web", labels={"app": "web"})
    assert verdict(web, (N1, N2), {"n1": (shy,)}) == "n2"
    assert verdict(web, (N1,), {"n1": (shy,)}) == (
        "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules."
    )


@pytest.mark.parametrize(
    ("more", "kept_away"),
    [
        ({}, False),
        ({"namespaces": ["other"]}, True),
        ({"namespaceSelector": {}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "blue"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "red"}}}, False),
        ({"namespaces": ["third"], "namespaceSelector": {"matchLabels": {"team": "blue"}}}, True),
    ],
)
def test_terms_reach_into_the_namespaces_they_name(more: dict[str, Any], kept_away: bool) -> None:
    other = pod("db", namespace="other", labels={"app": "db"})
    labels = {"other": {"team": "blue"}}
    decided = verdict(pod(affinity=apart(term(**more))), (N1,), {"n1": (other,)}, labels)
    assert (decided != "n1") is kept_away


def test_label_keys_compare_the_two_pods() -> None:
    old = pod("old", labels={"app": "db", "hash": "1"})
    wish = apart(term(matchLabelKeys=["hash"]))
    assert verdict(pod(labels={"hash": "2"}, affinity=wish), (N1,), {"n1": (old,)}) == "n1"
    assert verdict(pod(labels={"hash": "1"}, affinity=wish), (N1,), {"n1": (old,)}) != "n1"
    unlike = apart(term(mismatchLabelKeys=["hash"]))
    assert verdict(pod(labels={"hash": "1"}, affinity=unlike), (N1,), {"n1": (old,)}) == "n1"


def test_preferences_decide_among_the_nodes_left() -> None:
    def wish(kind: str) -> dict[str, Any]:
        weighted = {"weight": 50, "podAffinityTerm": term()}
        return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [weighted]}}

    there = {"n1": (DB,)}
    assert verdict(pod(affinity=wish("podAntiAffinity")), (N1, N2), there) == "n2"
    busy = pod("db", labels={"app": "db"}, requests={"cpu": "1"})
    assert verdict(pod(affinity=wish("podAffinity")), (N1, N2), {"n2": (busy,)}) == "n2"
