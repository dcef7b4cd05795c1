"""Making room for a pod by ending pods of lower priority (pure).

For every node on which other pods are all that is in the way, the victims are the fewest and least important
whose absence lets the pod in; pods that a disruption budget protects are spared where possible. The node that
costs least is chosen. Order and texts are those of kube-scheduler's DefaultPreemption.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from edgevirt.api.core import Pod
from edgevirt.api.policy import PodDisruptionBudget
from edgevirt.engine.scheduler import interpod, spread
from edgevirt.engine.scheduler.node_view import Candidate, NamespaceLabels
from edgevirt.engine.scheduler.plan import Unschedulable, Wish, none_of, obstacles
from edgevirt.engine.selection import selects

_NOT_HELPFUL = "Preemption is not helpful for scheduling"
_NOBODY = "No preemption victims found for incoming pod"
_PREFIX = "no new claims to deallocate, preemption: "
"""The answer of the plugin that kube-scheduler asks before (dynamic resource claims) belongs to the text."""


@dataclasses.dataclass(frozen=True, slots=True)
class Preemption:
    """End `victims`, then the pod fits on `node`."""

    node: str
    victims: tuple[Pod, ...]
    violations: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class NoPreemption:
    """`message` is the last part of the PodScheduled condition's."""

    message: str


def priority_of(pod: Pod) -> int:
    return (pod.spec.priority if pod.spec else None) or 0


def plan(
    wish: Wish,
    why: Unschedulable,
    candidates: Sequence[Candidate],
    namespaces: NamespaceLabels,
    budgets: Sequence[PodDisruptionBudget] = (),
    nominated: str = "",
) -> Preemption | NoPreemption:
    """Whom to end for the pod, or why nobody. `nominated`: the node that was cleared for it before."""
    if wish.spec.preemption_policy == "Never":
        return NoPreemption(f"{_PREFIX}not eligible due to preemptionPolicy=Never.")
    if _is_being_cleared(wish.pod, candidates, nominated):
        return NoPreemption(f"{_PREFIX}not eligible due to a terminating pod on the nominated node.")
    movable = frozenset(why.movable or ())
    reasons: list[str] = []
    found: list[Preemption] = []
    for candidate in candidates:
        if candidate.name not in movable:
            reasons.append(_NOT_HELPFUL)
            continue
        result = _victims(wish, candidate, candidates, namespaces, budgets)
        if isinstance(result, Preemption):
            found.append(result)
        else:
            reasons += result
    if not found:
        return NoPreemption(_PREFIX + none_of(len(candidates), reasons))
    return min(found, key=_cost)


def _is_being_cleared(pod: Pod, candidates: Sequence[Candidate], nominated: str) -> bool:
    return any(
        other.metadata.deletion_timestamp and priority_of(other) < priority_of(pod)
        for candidate in candidates
        if candidate.name == nominated
        for other in candidate.usage.pods.values()
    )


def _victims(
    wish: Wish,
    candidate: Candidate,
    candidates: Sequence[Candidate],
    namespaces: NamespaceLabels,
    budgets: Sequence[PodDisruptionBudget],
) -> Preemption | list[str]:
    lower = {
        uid: pod for uid, pod in candidate.usage.pods.items() if priority_of(pod) < priority_of(wish.pod)
    }
    if not lower:
        return [_NOBODY]
    gone = set(lower)
    if against := _against(wish, candidate, candidates, namespaces, gone):
        return against
    protected = _protected(tuple(lower.values()), budgets)
    spared = sorted(
        lower.values(),
        key=lambda pod: (pod.metadata.uid not in protected, -priority_of(pod), _started(pod)),
    )
    for pod in spared:
        uid = pod.metadata.uid
        if _against(wish, candidate, candidates, namespaces, gone - {uid}):
            continue
        gone.remove(uid)
    victims = sorted((lower[uid] for uid in gone), key=lambda pod: (-priority_of(pod), _started(pod)))
    return Preemption(candidate.name, tuple(victims), len(gone & protected))


def _against(
    wish: Wish,
    candidate: Candidate,
    candidates: Sequence[Candidate],
    namespaces: NamespaceLabels,
    gone: set[str],
) -> list[str]:
    """What is against the pod on the node without the pods that are `gone`."""
    emptier = Candidate(candidate.node, candidate.usage.changed(without=gone))
    others = [emptier if other is candidate else other for other in candidates]
    neighbours = interpod.survey(wish.pod, others, namespaces)
    against = obstacles(emptier, wish, neighbours, spread.survey(wish.pod, others))
    return [obstacle.reason for obstacle in against]


def _protected(pods: Sequence[Pod], budgets: Sequence[PodDisruptionBudget]) -> frozenset[str]:
    """The uids of pods whose end would break a budget, when all of them end, the least important first."""
    remaining = [(budget.status.disruptions_allowed if budget.status else None) or 0 for budget in budgets]
    found: set[str] = set()
    for pod in sorted(pods, key=priority_of):
        for number, budget in enumerate(budgets):
            if budget.metadata.namespace != pod.metadata.namespace or budget.spec is None:
                continue
            if pod.metadata.labels and selects(budget.spec.selector, pod.metadata.labels):
                remaining[number] -= 1
                if remaining[number] < 0:
                    found.add(pod.metadata.uid)
    return frozenset(found)


def _cost(choice: Preemption) -> tuple[object, ...]:
    """Broken budgets, then the most important victim, then all of them, then how many; later starts first."""
    priorities = [priority_of(pod) for pod in choice.victims]
    most = max(priorities)
    oldest = min(_started(pod) for pod in choice.victims if priority_of(pod) == most)
    shifted = sum(priority + (1 << 31) for priority in priorities)
    return choice.violations, most, shifted, len(priorities), _Reversed(oldest), choice.node


@dataclasses.dataclass(frozen=True, slots=True)
class _Reversed:
    text: str

    def __lt__(self, other: _Reversed) -> bool:
        return self.text > other.text


def _started(pod: Pod) -> str:
    return (pod.status.start_time if pod.status else "") or pod.metadata.creation_timestamp
