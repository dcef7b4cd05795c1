"""Where a pod goes: a pure decision from the pod, the nodes and what is taken on them.

Filters run in kube-scheduler's order and the first that fails names the reason, so that messages read as
users know them ("0/3 nodes are available: 1 Insufficient memory, 2 node(s) were unschedulable."). Among the
nodes left the one with the best score wins: preferred node affinity, few soft taints, much free CPU and
memory; on a tie the first by name, so that the same question always has the same answer.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence

from edgevirt.api import quantity
from edgevirt.api.core import Node, NodeSelector, Pod, PodSpec
from edgevirt.engine.scheduler import affinity, requests, taints
from edgevirt.engine.scheduler.ledger import Usage
from edgevirt.engine.scheduler.requests import Amounts

DEFAULT_CPU = 100
DEFAULT_MEMORY = 200 * 1024 * 1024
"""What a container without requests is taken to use, for scoring only."""

AFFINITY_WEIGHT = 2.0
TAINT_WEIGHT = 3.0
FREE_WEIGHT = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A node and what is taken on it."""

    node: Node
    usage: Usage


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    node: str


@dataclasses.dataclass(frozen=True, slots=True)
class Unschedulable:
    """`message` is the PodScheduled condition's."""

    message: str


def plan(
    pod: Pod, candidates: Sequence[Candidate], volume_affinities: tuple[NodeSelector, ...] = ()
) -> Placement | Unschedulable:
    """Choose a node for the pod, or say why there is none."""
    spec = pod.spec or PodSpec()
    refused = unsupported_field(spec)
    if refused:
        return Unschedulable(
            f"0/{len(candidates)} nodes are available: {refused} is not supported by this scheduler; "
            "remove it from the pod."
        )
    try:
        needs = requests.pod_requests(pod)
    except quantity.QuantityError as error:
        return Unschedulable(f"the pod's resource requests cannot be read: {error}")
    if not candidates:
        return Unschedulable("no nodes available to schedule pods")
    reasons: collections.Counter[str] = collections.Counter()
    feasible = []
    for candidate in candidates:
        against = obstacles(candidate, spec, needs, requests.host_ports(pod), volume_affinities)
        reasons.update(against)
        if not against:
            feasible.append(candidate)
    if feasible:
        return Placement(_best(feasible, spec, needs))
    listed = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    return Unschedulable(f"0/{len(candidates)} nodes are available: {listed}.")


def obstacles(
    candidate: Candidate,
    spec: PodSpec,
    needs: Amounts,
    ports: Iterable[requests.HostPort],
    volume_affinities: tuple[NodeSelector, ...],
) -> tuple[str, ...]:
    """Why the pod cannot run on this node, in kube-scheduler's words; () if it can."""
    node = candidate.node
    taint = taints.first_untolerated(taints.effective_taints(node), spec.tolerations)
    if taint is not None:
        if taint.key == taints.UNSCHEDULABLE:
            return ("node(s) were unschedulable",)
        return (f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}",)
    if not affinity.matches_pod(node, spec):
        return ("node(s) didn't match Pod's node affinity/selector",)
    if requests.ports_clash(ports, candidate.usage.taken_ports()):
        return ("node(s) didn't have free ports for the requested pod ports",)
    lacking = _lacking(candidate, needs)
    if lacking:
        return lacking
    if not all(affinity.matches_selector(node, selector) for selector in volume_affinities):
        return ("node(s) had volume node affinity conflict",)
    return ()


def unsupported_field(spec: PodSpec) -> str:
    """The first field that asks for something this scheduler does not do; "" if there is none."""
    within = spec.affinity
    if (
        within
        and within.pod_affinity
        and within.pod_affinity.required_during_scheduling_ignored_during_execution
    ):
        return "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution"
    anti = within.pod_anti_affinity if within else None
    if anti and anti.required_during_scheduling_ignored_during_execution:
        return "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution"
    for number, constraint in enumerate(spec.topology_spread_constraints):
        if constraint.when_unsatisfiable != "ScheduleAnyway":
            return f"spec.topologySpreadConstraints[{number}] with whenUnsatisfiable DoNotSchedule"
    if spec.resource_claims:
        return "spec.resourceClaims"
    if spec.scheduling_group is not None:
        return "spec.schedulingGroup"
    return ""


def allocatable(node: Node) -> Amounts:
    """What pods may use on the node; quantities nobody can read count as nothing."""
    found: Amounts = {}
    for name, value in (node.status.allocatable if node.status else {}).items():
        try:
            found.update(requests.amounts({name: value}))
        except quantity.QuantityError:
            found[name] = 0
    return found


def _lacking(candidate: Candidate, needs: Amounts) -> tuple[str, ...]:
    offered = allocatable(candidate.node)
    used = candidate.usage.amounts
    lacking = []
    if used.get("pods", 0) + 1 > offered.get("pods", 0):
        lacking.append("Too many pods")
    lacking.extend(
        f"Insufficient {name}"
        for name, amount in needs.items()
        if amount > 0 and used.get(name, 0) + amount > offered.get(name, 0)
    )
    return tuple(lacking)


def _best(feasible: Sequence[Candidate], spec: PodSpec, needs: Amounts) -> str:
    preferences = [affinity.preference(candidate.node, spec) for candidate in feasible]
    soft = [
        taints.soft_untolerated(taints.effective_taints(candidate.node), spec.tolerations)
        for candidate in feasible
    ]
    most_preferred, most_soft = max(preferences), max(soft)

    def score(number: int) -> float:
        points = FREE_WEIGHT * _free(feasible[number], needs)
        if most_preferred > 0:
            points += AFFINITY_WEIGHT * 100.0 * preferences[number] / most_preferred
        if most_soft > 0:
            points += TAINT_WEIGHT * 100.0 * (1.0 - soft[number] / most_soft)
        return points

    order = sorted(range(len(feasible)), key=lambda n: (-score(n), feasible[n].node.metadata.name))
    return feasible[order[0]].node.metadata.name


def _free(candidate: Candidate, needs: Amounts) -> float:
    """Percent of CPU and memory that stays free, their mean."""
    offered = allocatable(candidate.node)
    total = 0.0
    for name, default in (("cpu", DEFAULT_CPU), ("memory", DEFAULT_MEMORY)):
        have = offered.get(name, 0)
        used = candidate.usage.amounts.get(name, 0) + (needs.get(name) or default)
        total += 100.0 * max(0, have - used) / have if have else 0.0
    return total / 2
