"""Where a pod goes: a pure decision from the pod, the nodes and what is taken on them.

Filters run in kube-scheduler's order and the first that fails names the reason, so that messages read as
users know them ("0/3 nodes are available: 1 Insufficient memory, 2 node(s) were unschedulable."). Among the
nodes left the one with the best score wins (`score`); on a tie the first by name, so that the same question
always has the same answer.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from edgevirt.api import quantity
from edgevirt.api.core import NodeSelector, Pod, PodSpec
from edgevirt.engine.scheduler import affinity, interpod, requests, score, spread, taints
from edgevirt.engine.scheduler.node_view import Candidate, NamespaceLabels, Obstacle
from edgevirt.engine.scheduler.requests import Amounts

NO_NODES = "no nodes available to schedule pods"


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    node: str


@dataclasses.dataclass(frozen=True, slots=True)
class Unschedulable:
    """`message` is the first part of the PodScheduled condition's.

    `movable`: the nodes that would do if other pods were not there; None if that is no question, because the
    pod was not compared with nodes at all.
    """

    message: str
    movable: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """A pod, and what it needs of a node."""

    pod: Pod
    spec: PodSpec
    needs: Amounts
    ports: frozenset[requests.HostPort]
    volumes: tuple[NodeSelector, ...]
    names: frozenset[str] | None

    @staticmethod
    def of(pod: Pod, volumes: tuple[NodeSelector, ...] = ()) -> Wish:
        """Raises QuantityError. `volumes`: the node affinities of the pod's volumes."""
        spec = pod.spec or PodSpec()
        needs = requests.pod_requests(pod)
        return Wish(pod, spec, needs, requests.host_ports(pod), volumes, affinity.named_nodes(spec))


def no_labels(namespace: str) -> Mapping[str, str]:
    """For decisions in which no term selects namespaces."""
    return {}


def plan(
    pod: Pod,
    candidates: Sequence[Candidate],
    volume_affinities: tuple[NodeSelector, ...] = (),
    namespaces: NamespaceLabels = no_labels,
) -> Placement | Unschedulable:
    """Choose a node for the pod, or say why there is none."""
    if refused := unsupported_field(pod.spec or PodSpec()):
        return Unschedulable(
            f"0/{len(candidates)} nodes are available: {refused} is not supported by this scheduler; "
            "remove it from the pod."
        )
    try:
        wish = Wish.of(pod, volume_affinities)
    except quantity.QuantityError as error:
        return Unschedulable(f"the pod's resource requests cannot be read: {error}")
    if not candidates:
        return Unschedulable(NO_NODES)
    neighbours, crowd = interpod.survey(pod, candidates, namespaces), spread.survey(pod, candidates)
    reasons: list[str] = []
    feasible, movable = [], []
    for candidate in candidates:
        against = obstacles(candidate, wish, neighbours, crowd)
        reasons += (obstacle.reason for obstacle in against)
        if not against:
            feasible.append(candidate)
        elif not any(obstacle.fixed for obstacle in against):
            movable.append(candidate.name)
    if feasible:
        return Placement(score.best(feasible, pod, wish.needs, neighbours, crowd))
    return Unschedulable(none_of(len(candidates), reasons), tuple(movable))


def none_of(total: int, reasons: Iterable[str]) -> str:
    """The sentence that counts why no node will do."""
    counted = collections.Counter(reasons)
    listed = ", ".join(sorted(f"{count} {reason}" for reason, count in counted.items()))
    return f"0/{total} nodes are available: {listed}."


def obstacles(
    candidate: Candidate, wish: Wish, neighbours: interpod.Neighbours, crowd: spread.Spread
) -> tuple[Obstacle, ...]:
    """Why the pod cannot run on this node; () if it can."""
    node, spec = candidate.node, wish.spec
    if wish.names is not None and candidate.name not in wish.names:
        return (Obstacle("node(s) didn't satisfy plugin(s) [NodeAffinity]", fixed=True),)
    taint = taints.first_untolerated(taints.effective_taints(node), spec.tolerations)
    if taint is not None:
        unschedulable = taint.key == taints.UNSCHEDULABLE
        reason = "node(s) were unschedulable" if unschedulable else "node(s) had untolerated taint(s)"
        return (Obstacle(reason, fixed=True),)
    if not affinity.matches_pod(node, spec):
        return (Obstacle("node(s) didn't match Pod's node affinity/selector", fixed=True),)
    if requests.ports_clash(wish.ports, candidate.usage.taken_ports()):
        return (Obstacle("node(s) didn't have free ports for the requested pod ports"),)
    if lacking := _lacking(candidate, wish.needs):
        return lacking
    if not all(affinity.matches_selector(node, selector) for selector in wish.volumes):
        return (Obstacle("node(s) didn't match PersistentVolume's node affinity", fixed=True),)
    if uneven := crowd.obstacle(node):
        return (uneven,)
    unwelcome = neighbours.obstacle(node)
    return (unwelcome,) if unwelcome else ()


def unsupported_field(spec: PodSpec) -> str:
    """The first field that asks for something this scheduler does not do; "" if there is none."""
    if spec.resource_claims:
        return "spec.resourceClaims"
    if spec.scheduling_group is not None:
        return "spec.schedulingGroup"
    return ""


def _lacking(candidate: Candidate, needs: Amounts) -> tuple[Obstacle, ...]:
    offered = candidate.allocatable
    used = candidate.usage.amounts
    lacking = []
    if used.get("pods", 0) + 1 > offered.get("pods", 0):
        lacking.append(Obstacle("Too many pods", fixed=not offered.get("pods")))
    lacking.extend(
        Obstacle(f"Insufficient {name}", fixed=amount > offered.get(name, 0))
        for name, amount in needs.items()
        if amount > 0 and used.get(name, 0) + amount > offered.get(name, 0)
    )
    return tuple(lacking)
