from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cluster_on_paper import node, pod

from edgevirt.api.core import Node, NodeSelector, Pod
from edgevirt.engine.scheduler import requests
from edgevirt.engine.scheduler.ledger import Ledger, Usage
from edgevirt.engine.scheduler.node_view import Candidate
from edgevirt.engine.scheduler.plan import Placement, Unschedulable, plan

pytestmark = pytest.mark.unit


def verdict(wanted: Pod, *nodes: Node, taken: tuple[Pod, ...] = (), on: str = "n1") -> str:
    ledger = Ledger()
    for other in taken:
        ledger.assume(other, on)
    decision = plan(wanted, [Candidate(n, ledger.usage(n.metadata.name)) for n in nodes])
    return decision.node if isinstance(decision, Placement) else decision.message


@pytest.mark.parametrize(
    ("wanted", "nodes", "expected"),
    [
        (pod(), (), "no nodes available to schedule pods"),
        (pod(), (node(),), "n1"),
        (pod(requests={"memory": "2Gi"}), (node(),), "n1"),
        (pod(requests={"memory": "3Gi"}), (node(),), "0/1 nodes are available: 1 Insufficient memory."),
        (
            pod(requests={"memory": "3Gi", "cpu": "2001m"}),
            (node(), node("n2")),
            "0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient memory.",
        ),
        (
            pod(requests={"devices.kubevirt.io/kvm": "1"}),
            (node(size={"cpu": "1", "memory": "1Gi", "pods": "1"}),),
            "0/1 nodes are available: 1 Insufficient devices.kubevirt.io/kvm.",
        ),
        (pod(requests={"devices.kubevirt.io/kvm": "1"}), (node(),), "n1"),
        (pod(), (node(size={"pods": "0"}),), "0/1 nodes are available: 1 Too many pods."),
        (pod(), (node(unschedulable=True),), "0/1 nodes are available: 1 node(s) were unschedulable."),
        (
            pod(),
            (node(ready="False"), node("n2", ready="Unknown")),
            "0/2 nodes are available: 2 node(s) had untolerated taint(s).",
        ),
        (
            pod(),
            (node(taints=[{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]),),
            "0/1 nodes are available: 1 node(s) had untolerated taint(s).",
        ),
        (
            pod(nodeSelector={"disk": "ssd"}),
            (node(), node("n2", labels={"disk": "hdd"})),
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
        ),
        (pod(nodeSelector={"disk": "ssd"}), (node(), node("n2", labels={"disk": "ssd"})), "n2"),
        (
            pod(requests={"memory": "much"}),
            (node(),),
            "the pod's resource requests cannot be read: 'much' is not a quantity; write a number with an "
            "optional suffix, such as 512Mi, 2Gi, 500m or 1.5",
        ),
    ],
)
def test_the_verdict_reads_as_users_of_kubernetes_know_it(
    wanted: Pod, nodes: tuple[Node, ...], expected: str
) -> None:
    assert verdict(wanted, *nodes) == expected


@pytest.mark.parametrize(
    ("toleration", "taint", "tolerated"),
    [
        (
            {"key": "k", "operator": "Equal", "value": "v"},
            {"key": "k", "value": "v", "effect": "NoSchedule"},
            True,
        ),
        ({"key": "k", "value": "v"}, {"key": "k", "value": "v", "effect": "NoExecute"}, True),
        ({"key": "k", "value": "w"}, {"key": "k", "value": "v", "effect": "NoSchedule"}, False),
        ({"key": "k", "operator": "Exists"}, {"key": "k", "value": "v", "effect": "NoSchedule"}, True),
        ({"operator": "Exists"}, {"key": "k", "value": "v", "effect": "NoExecute"}, True),
        ({"operator": "Equal"}, {"key": "k", "effect": "NoSchedule"}, False),
        (
            {"key": "k", "operator": "Exists", "effect": "NoExecute"},
            {"key": "k", "effect": "NoSchedule"},
            False,
        ),
        ({"key": "other", "operator": "Exists"}, {"key": "k", "effect": "PreferNoSchedule"}, True),
    ],
)
def test_tolerations(toleration: dict[str, str], taint: dict[str, str], tolerated: bool) -> None:
    decided = verdict(pod(tolerations=[toleration]), node(taints=[taint]))
    assert (decided == "n1") is tolerated


def test_a_pod_that_tolerates_it_may_go_to_a_node_that_is_not_ready_or_cordoned() -> None:
    tolerations = [
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists"},
        {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"},
    ]
    assert verdict(pod(tolerations=tolerations), node(ready="False", unschedulable=True)) == "n1"
    only_seconds = [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}]
    assert "untolerated" in verdict(pod(tolerations=only_seconds), node(ready="False"))


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ({"key": "zone", "operator": "In", "values": ["a", "b"]}, True),
        ({"key": "zone", "operator": "In", "values": ["c"]}, False),
        ({"key": "zone", "operator": "NotIn", "values": ["c"]}, True),
        ({"key": "absent", "operator": "NotIn", "values": ["c"]}, True),
        ({"key": "zone", "operator": "Exists"}, True),
        ({"key": "absent", "operator": "Exists"}, False),
        ({"key": "absent", "operator": "DoesNotExist"}, True),
        ({"key": "cores", "operator": "Gt", "values": ["7"]}, True),
        ({"key": "cores", "operator": "Lt", "values": ["8"]}, False),
        ({"key": "zone", "operator": "Gt", "values": ["1"]}, False),
        ({"key": "zone", "operator": "Like", "values": ["a"]}, False),
    ],
)
def test_affinity_operators(expression: dict[str, Any], matches: bool) -> None:
    terms = [{"matchExpressions": [expression]}]
    affinity = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    }
    decided = verdict(pod(affinity=affinity), node(labels={"zone": "a", "cores": "8"}))
    assert (decided == "n1") is matches


def test_terms_are_alternatives_and_an_empty_one_matches_nothing() -> None:
    def decided(*terms: dict[str, Any]) -> str:
        required = {"nodeSelectorTerms": list(terms)}
        return verdict(
            pod(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}),
            node(),
        )

    named = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    assert decided({}, named) == "n1"
    assert "affinity/selector" in decided({})


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"resourceClaims": [{"name": "gpu"}]}, "spec.resourceClaims"),
    ],
)
def test_what_is_not_implemented_is_refused_by_name(spec: dict[str, Any], field: str) -> None:
    assert f"{field} is not supported by this scheduler" in verdict(pod(**spec), node())


def test_pods_of_a_daemon_set_do_not_ask_other_nodes() -> None:
    mine = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    affinity = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [mine]}}
    }
    full = pod("x", requests={"memory": "2Gi"})
    wanted = pod(requests={"memory": "1Gi"}, affinity=affinity)
    assert verdict(wanted, node("n1"), node("n2"), taken=(full,)) == (
        "0/2 nodes are available: 1 Insufficient memory, 1 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )


def test_what_is_taken_counts() -> None:
    big = pod("big", requests={"memory": "1536Mi"})
    assert "Insufficient memory" in verdict(pod(requests={"memory": "1Gi"}), node(), taken=(big,))
    assert verdict(pod(requests={"memory": "1Gi"}), node(), node("n2"), taken=(big,)) == "n2"
    assert verdict(pod(requests={"memory": "512Mi"}), node(), taken=(big,)) == "n1"


@pytest.mark.parametrize(
    ("wanted", "taken", "clash"),
    [
        ({"hostPort": 80}, {"hostPort": 80}, True),
        ({"hostPort": 80}, {"hostPort": 81}, False),
        ({"hostPort": 80, "protocol": "UDP"}, {"hostPort": 80}, False),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80}, True),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80, "hostIP": "10.0.0.2"}, False),
        ({"containerPort": 80}, {"containerPort": 80}, False),
    ],
)
def test_host_ports_are_not_shared(wanted: dict[str, Any], taken: dict[str, Any], clash: bool) -> None:
    def with_port(name: str, port: dict[str, Any]) -> Pod:
        return pod(name, containers=[{"name": "c", "ports": [port]}])

    decided = verdict(with_port("a", wanted), node(), taken=(with_port("b", taken),))
    assert ("free ports" in decided) is clash


def test_the_emptier_node_is_preferred_and_ties_go_by_name() -> None:
    assert verdict(pod(), node("b"), node("a")) == "a"
    assert verdict(pod(), node("a"), node("b"), taken=(pod("x", requests={"cpu": "1"}),), on="a") == "b"


def test_preferred_affinity_outweighs_free_space() -> None:
    term = {"weight": 10, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
    wish = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}
    full = pod("x", requests={"cpu": "1900m", "memory": "1Gi"})
    nodes = (node("a", labels={"disk": "ssd"}), node("b"))
    assert verdict(pod(affinity=wish), *nodes, taken=(full,), on="a") == "a"


def test_soft_taints_are_avoided_where_possible() -> None:
    soft = node("a", taints=[{"key": "k", "effect": "PreferNoSchedule"}])
    assert verdict(pod(), soft, node("b")) == "b"
    assert verdict(pod(), soft) == "a"


def test_a_volume_keeps_its_pod_on_its_node() -> None:
    here = msgspec.convert(
        {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2"]}]}
            ]
        },
        NodeSelector,
    )
    nodes = [Candidate(node("n1"), Usage()), Candidate(node("n2"), Usage())]
    assert plan(pod(), nodes, (here,)) == Placement("n2")
    assert plan(pod(), nodes[:1], (here,)) == Unschedulable(
        "0/1 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity.", ()
    )


def container(cpu: str, **more: Any) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [container("1"), container("500m")]}, 1500),
        ({"containers": [container("1")], "initContainers": [container("3"), container("2")]}, 3000),
        (
            {
                "containers": [container("1")],
                "initContainers": [container("2", restartPolicy="Always"), container("3")],
            },
            5000,
        ),
        (
            {
                "containers": [container("1")],
                "initContainers": [container("3"), container("2", restartPolicy="Always")],
            },
            3000,
        ),
        ({"containers": [container("1")], "overhead": {"cpu": "250m"}}, 1250),
        ({"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}]}, 2000),
        ({"containers": [container("1")], "resources": {"requests": {"cpu": "4"}}}, 4000),
    ],
)
def test_what_a_pod_needs_is_added_up_as_kubernetes_does(spec: dict[str, Any], cpu: int) -> None:
    assert requests.pod_requests(pod(**spec))["cpu"] == cpu


def test_an_assumed_pod_counts_until_it_is_released_and_only_once() -> None:
    ledger = Ledger()
    one = pod("one", requests={"memory": "1Gi"}, nodeName="")
    ledger.assume(one, "n1")
    ledger.observe(one)  # the watch still shows it unbound
    assert ledger.usage("n1").amounts == {"memory": 1 << 30, "pods": 1}
    bound = pod("one", requests={"memory": "1Gi"}, nodeName="n1")
    ledger.observe(bound)
    assert ledger.usage("n1").amounts == {"memory": 1 << 30, "pods": 1}
    ended = msgspec.convert({**msgspec.to_builtins(bound), "status": {"phase": "Succeeded"}}, Pod)
    ledger.observe(ended)
    assert ledger.usage("n1").amounts == {}
    assert not ledger.release("uid-one")


def test_a_pod_bound_elsewhere_than_assumed_moves() -> None:
    ledger = Ledger()
    ledger.assume(pod("one", requests={"cpu": "1"}), "n1")
    ledger.observe(pod("one", requests={"cpu": "1"}, nodeName="n2"))
    assert ledger.usage("n1").amounts == {}
    assert ledger.usage("n2").amounts == {"cpu": 1000, "pods": 1}
