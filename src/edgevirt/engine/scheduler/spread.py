"""Topology spread: pods of a kind evenly over places.

The most and the least crowded place may differ by `maxSkew`. Which nodes count as places, and which pods as
of a kind, follows kube-scheduler's PodTopologySpread: nodes that have all the topology keys and that the
pod's node affinity admits (unless its policies say otherwise), pods of its namespace that are not on
their way out.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

from edgevirt.api.core import Node, Pod, PodSpec, TopologySpreadConstraint
from edgevirt.engine.scheduler import affinity, taints
from edgevirt.engine.scheduler.node_view import Candidate, Obstacle
from edgevirt.engine.selection import selects

_MISMATCH = "node(s) didn't match pod topology spread constraints"


@dataclasses.dataclass(frozen=True, slots=True)
class Census:
    """How many pods of the kind are in each place. `own`: 1 if the pod itself is of the kind."""

    constraint: TopologySpreadConstraint
    counts: dict[str, int]
    own: int

    @property
    def least(self) -> int:
        """The number in the emptiest place; 0 while there are fewer places than there should be."""
        if len(self.counts) < (self.constraint.min_domains or 1):
            return 0
        return min(self.counts.values(), default=0)

    def here(self, node: Node) -> int:
        """The number in the node's place."""
        return self.counts.get(node.metadata.labels.get(self.constraint.topology_key, ""), 0)


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """The pod's constraints that must hold, and those that should."""

    hard: tuple[Census, ...]
    soft: tuple[Census, ...]

    def obstacle(self, node: Node) -> Obstacle | None:
        """Why the pod would crowd the node's place too much."""
        for census in self.hard:
            if census.constraint.topology_key not in node.metadata.labels:
                return Obstacle(f"{_MISMATCH} (missing required label)", fixed=True)
            if census.here(node) + census.own - census.least > (census.constraint.max_skew or 1):
                return Obstacle(_MISMATCH)
        return None

    def crowd(self, node: Node) -> int:
        """How many pods of a kind are where the node is, by the constraints that should hold."""
        return sum(census.here(node) for census in self.soft)


def survey(pod: Pod, candidates: Sequence[Candidate]) -> Spread:
    """Count for every constraint of the pod."""
    constraints = pod.spec.topology_spread_constraints if pod.spec else ()
    hard = tuple(c for c in constraints if c.when_unsatisfiable != "ScheduleAnyway")
    soft = tuple(c for c in constraints if c.when_unsatisfiable == "ScheduleAnyway")
    return Spread(
        tuple(_census(c, hard, pod, candidates) for c in hard),
        tuple(_census(c, soft, pod, candidates) for c in soft),
    )


def _census(
    constraint: TopologySpreadConstraint,
    together: Sequence[TopologySpreadConstraint],
    pod: Pod,
    candidates: Sequence[Candidate],
) -> Census:
    counts: collections.Counter[str] = collections.Counter()
    for candidate in candidates:
        if _counts(candidate.node, constraint, together, pod.spec or PodSpec()):
            place = candidate.node.metadata.labels[constraint.topology_key]
            counts[place] += sum(
                1 for other in candidate.usage.pods.values() if _of_a_kind(constraint, pod, other)
            )
    return Census(constraint, dict(counts), int(_of_a_kind(constraint, pod, pod)))


def _counts(
    node: Node,
    constraint: TopologySpreadConstraint,
    together: Sequence[TopologySpreadConstraint],
    spec: PodSpec,
) -> bool:
    """Whether the node is (part of) a place."""
    if any(other.topology_key not in node.metadata.labels for other in together):
        return False
    if constraint.node_affinity_policy != "Ignore" and not affinity.matches_pod(node, spec):
        return False
    return constraint.node_taints_policy != "Honor" or not taints.first_untolerated(
        taints.effective_taints(node), spec.tolerations
    )


def _of_a_kind(constraint: TopologySpreadConstraint, pod: Pod, other: Pod) -> bool:
    if other.metadata.namespace != pod.metadata.namespace or other.metadata.deletion_timestamp:
        return False
    mine, theirs = pod.metadata.labels, other.metadata.labels
    if any(key in mine and theirs.get(key) != mine[key] for key in constraint.match_label_keys):
        return False
    return selects(constraint.label_selector, theirs)
