"""Nodes and pods on paper, for the pure decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from edgevirt.api.core import Node, Pod
from edgevirt.engine.scheduler.ledger import Ledger
from edgevirt.engine.scheduler.node_view import Candidate
from edgevirt.engine.scheduler.plan import Placement, Unschedulable, plan

SIZE = {"cpu": "2", "memory": "2Gi", "pods": "110", "devices.kubevirt.io/kvm": "1k"}


def node(name: str = "n1", *, ready: str = "True", size: dict[str, Any] | None = None, **spec: Any) -> Node:
    labels = spec.pop("labels", {})
    return msgspec.convert(
        {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}},
            "spec": spec,
            "status": {"allocatable": size or SIZE, "conditions": [{"type": "Ready", "status": ready}]},
        },
        Node,
    )


def pod(name: str = "p", **spec: Any) -> Pod:
    wanted = spec.pop("requests", None)
    metadata = {"name": name, "namespace": spec.pop("namespace", "ns"), "uid": f"uid-{name}"}
    metadata |= {"labels": spec.pop("labels", {}), **spec.pop("metadata", {})}
    containers = spec.pop("containers", [{"name": "c", "resources": {"requests": wanted or {}}}])
    status = spec.pop("status", {})
    return msgspec.convert(
        {"metadata": metadata, "spec": {"containers": containers, **spec}, "status": status}, Pod
    )


def cluster(nodes: tuple[Node, ...], there: Mapping[str, tuple[Pod, ...]]) -> list[Candidate]:
    """The nodes with the pods that are on them."""
    ledger = Ledger()
    for where, pods in there.items():
        for one in pods:
            ledger.assume(one, where)
    return [Candidate(one, ledger.usage(one.metadata.name)) for one in nodes]


def decide(
    wanted: Pod,
    nodes: tuple[Node, ...],
    there: Mapping[str, tuple[Pod, ...]],
    namespaces: Mapping[str, Mapping[str, str]] | None = None,
) -> Placement | Unschedulable:
    known = namespaces or {}
    return plan(wanted, cluster(nodes, there), namespaces=lambda name: known.get(name, {}))


def verdict(
    wanted: Pod,
    nodes: tuple[Node, ...],
    there: Mapping[str, tuple[Pod, ...]],
    namespaces: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """The node's name, or why there is none."""
    decision = decide(wanted, nodes, there, namespaces)
    return decision.node if isinstance(decision, Placement) else decision.message
