"""Affinity and anti-affinity between pods: who must, must not, or would rather share a place.

A place is all nodes with the same value of the term's topology key. Anti-affinity works both ways: a pod that
is there keeps away whom it does not want. The first pod of a group that wants to be with its own kind may go
anywhere, or it could never start. The rules are those of kube-scheduler's InterPodAffinity.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence

from edgevirt.api.core import Node, Pod, PodAffinityTerm
from edgevirt.engine.scheduler.node_view import Candidate, NamespaceLabels, Obstacle
from edgevirt.engine.selection import selects

Place = tuple[str, str]
"""(topology key, its value)."""

_HARD_WEIGHT = 1
"""What a required affinity of a pod that is there counts among the preferences."""


@dataclasses.dataclass(frozen=True, slots=True)
class Neighbours:
    """What the pods that are there mean for `pod`.

    `wanted`: how many there are in each place that fulfil all its required terms at once; `shunned`: places
    its anti-affinity excludes; `closed`: places that others keep it out of; `liked`: weights of places.
    """

    pod: Pod
    alone: bool
    wanted: frozenset[Place]
    shunned: frozenset[Place]
    closed: frozenset[Place]
    liked: dict[Place, int]

    def obstacle(self, node: Node) -> Obstacle | None:
        """Why the pod cannot be on this node because of other pods."""
        labels = node.metadata.labels
        terms = _required(self.pod)
        here = [(term.topology_key, labels.get(term.topology_key)) for term in terms]
        if any(value is None for _, value in here):
            return Obstacle("node(s) didn't match pod affinity rules", fixed=True)
        if not self.alone and any(place not in self.wanted for place in here):
            return Obstacle("node(s) didn't match pod affinity rules", fixed=True)
        if any(labels.get(key) == value for key, value in self.shunned):
            return Obstacle("node(s) didn't match pod anti-affinity rules")
        if any(labels.get(key) == value for key, value in self.closed):
            return Obstacle("node(s) didn't satisfy existing pods anti-affinity rules")
        return None

    def preference(self, node: Node) -> int:
        """How much is for the node (or, below zero, against it)."""
        labels = node.metadata.labels
        return sum(weight for (key, value), weight in self.liked.items() if labels.get(key) == value)


def survey(pod: Pod, candidates: Sequence[Candidate], namespaces: NamespaceLabels) -> Neighbours:
    """Look at all pods there are."""
    wanted: set[Place] = set()
    shunned: set[Place] = set()
    closed: set[Place] = set()
    liked: collections.Counter[Place] = collections.Counter()
    required, anti = _required(pod), _required_anti(pod)
    found = False
    asks = bool(required or anti or _has_preferences(pod))
    for candidate in candidates:
        labels = candidate.node.metadata.labels
        for other in candidate.usage.pods.values():
            if not (asks or _has_terms(other)):
                continue
            if required and all(_matches(term, pod, other, namespaces) for term in required):
                found = True
                wanted.update(_places(required, labels))
            shunned.update(_places((t for t in anti if _matches(t, pod, other, namespaces)), labels))
            theirs = (t for t in _required_anti(other) if _matches(t, other, pod, namespaces))
            closed.update(_places(theirs, labels))
            _weigh(liked, pod, other, labels, namespaces)
    alone = not found and all(_matches(term, pod, pod, namespaces) for term in required)
    return Neighbours(pod, alone, frozenset(wanted), frozenset(shunned), frozenset(closed), dict(liked))


def _weigh(
    liked: collections.Counter[Place],
    pod: Pod,
    other: Pod,
    labels: dict[str, str],
    namespaces: NamespaceLabels,
) -> None:
    """Add what the two pods would like of each other."""
    for owner, one in ((pod, other), (other, pod)):
        for sign, weight, term in _preferred(owner):
            if _matches(term, owner, one, namespaces):
                for place in _places((term,), labels):
                    liked[place] += sign * weight
    for term in _required(other):
        if _matches(term, other, pod, namespaces):
            for place in _places((term,), labels):
                liked[place] += _HARD_WEIGHT


def _places(terms: Iterable[PodAffinityTerm], labels: dict[str, str]) -> Iterable[Place]:
    for term in terms:
        if term.topology_key in labels:
            yield term.topology_key, labels[term.topology_key]


def _matches(term: PodAffinityTerm, owner: Pod, other: Pod, namespaces: NamespaceLabels) -> bool:
    """Whether `other` is meant by a term of `owner`."""
    namespace = other.metadata.namespace
    if not term.namespaces and term.namespace_selector is None:
        if namespace != owner.metadata.namespace:
            return False
    elif namespace not in term.namespaces and not (
        term.namespace_selector is not None and selects(term.namespace_selector, namespaces(namespace))
    ):
        return False
    mine, theirs = owner.metadata.labels, other.metadata.labels
    if any(key in mine and theirs.get(key) != mine[key] for key in term.match_label_keys):
        return False
    if any(key in mine and theirs.get(key) == mine[key] for key in term.mismatch_label_keys):
        return False
    return selects(term.label_selector, theirs)


def _required(pod: Pod) -> tuple[PodAffinityTerm, ...]:
    affinity = pod.spec.affinity if pod.spec else None
    within = affinity.pod_affinity if affinity else None
    return within.required_during_scheduling_ignored_during_execution if within else ()


def _required_anti(pod: Pod) -> tuple[PodAffinityTerm, ...]:
    affinity = pod.spec.affinity if pod.spec else None
    within = affinity.pod_anti_affinity if affinity else None
    return within.required_during_scheduling_ignored_during_execution if within else ()


def _preferred(pod: Pod) -> Iterable[tuple[int, int, PodAffinityTerm]]:
    """(1 for affinity or -1, weight, term)."""
    affinity = pod.spec.affinity if pod.spec else None
    for sign, within in (
        (1, affinity.pod_affinity if affinity else None),
        (-1, affinity.pod_anti_affinity if affinity else None),
    ):
        for weighted in within.preferred_during_scheduling_ignored_during_execution if within else ():
            if weighted.pod_affinity_term is not None:
                yield sign, weighted.weight or 0, weighted.pod_affinity_term


def _has_preferences(pod: Pod) -> bool:
    return next(iter(_preferred(pod)), None) is not None


def _has_terms(pod: Pod) -> bool:
    affinity = pod.spec.affinity if pod.spec else None
    return affinity is not None and bool(affinity.pod_affinity or affinity.pod_anti_affinity)
