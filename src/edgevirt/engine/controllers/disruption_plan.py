"""How many pods a PodDisruptionBudget lets go now. Pure.

Healthy are pods that are ready, not being deleted and not evicted a moment ago (their end may not show yet).
Percentages, and `maxUnavailable`, are of what the pods' controllers want, not of what happens to run.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

import msgspec

from edgevirt.api.core import Pod
from edgevirt.api.meta import Condition
from edgevirt.api.policy import PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus
from edgevirt.engine.controllers.workloads import pod_state
from edgevirt.engine.controllers.workloads.numbers import resolve
from edgevirt.kube.clock import timestamp

DELETION_TIMEOUT = 120.0
"""Seconds after which an evicted pod that is still there was not evicted after all."""
ALLOWED = "DisruptionAllowed"


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    status: PodDisruptionBudgetStatus
    look_again: float | None = None


def needs_scale(spec: PodDisruptionBudgetSpec) -> bool:
    """Whether the wanted size of the pods' controllers matters."""
    return spec.max_unavailable is not None or isinstance(spec.min_available, str)


def desired(spec: PodDisruptionBudgetSpec, pods: int, wanted: int) -> tuple[int, int]:
    """(pods expected, pods that must stay healthy); `wanted` is what the pods' controllers want."""
    if spec.max_unavailable is not None:
        return wanted, max(0, wanted - resolve(spec.max_unavailable, wanted, up=True))
    if isinstance(spec.min_available, str):
        return wanted, resolve(spec.min_available, wanted, up=True)
    return pods, spec.min_available if spec.min_available is not None else 0


def outcome(budget: PodDisruptionBudget, pods: Sequence[Pod], wanted: int, now: datetime.datetime) -> Outcome:
    """`pods` are those the budget selects."""
    spec = budget.spec or PodDisruptionBudgetSpec()
    before = budget.status or PodDisruptionBudgetStatus()
    disrupted, look_again = _disrupted(before, pods, now)
    living = [pod for pod in pods if pod_state.phase(pod) not in pod_state.ENDED]
    healthy = sum(
        1
        for pod in living
        if pod_state.is_ready(pod)
        and not pod_state.is_terminating(pod)
        and pod.metadata.name not in disrupted
    )
    expected, must_stay = desired(spec, len(living), wanted)
    allowed = max(0, healthy - must_stay) if expected > 0 else 0
    status = PodDisruptionBudgetStatus(
        observed_generation=budget.metadata.generation,
        current_healthy=healthy,
        desired_healthy=must_stay,
        expected_pods=expected,
        disruptions_allowed=allowed,
        disrupted_pods=disrupted,
        conditions=_conditions(before, _condition(budget, allowed), now),
    )
    return Outcome(status, look_again)


def failed(budget: PodDisruptionBudget, words: str, now: datetime.datetime) -> PodDisruptionBudgetStatus:
    """Nothing may be disrupted while it is not known what may."""
    before = budget.status or PodDisruptionBudgetStatus()
    condition = Condition(
        type=ALLOWED,
        status="False",
        reason="SyncFailed",
        message=words,
        observed_generation=budget.metadata.generation,
    )
    return msgspec.structs.replace(
        before,
        disruptions_allowed=0,
        observed_generation=budget.metadata.generation,
        conditions=_conditions(before, condition, now),
    )


def _disrupted(
    before: PodDisruptionBudgetStatus, pods: Sequence[Pod], now: datetime.datetime
) -> tuple[dict[str, str], float | None]:
    present = {pod.metadata.name: pod for pod in pods}
    kept: dict[str, str] = {}
    waits: list[float] = []
    for name, at in before.disrupted_pods.items():
        pod, moment = present.get(name), pod_state.parse_time(at)
        if pod is None or pod_state.is_terminating(pod) or moment is None:
            continue
        left = DELETION_TIMEOUT - (now - moment).total_seconds()
        if left > 0:
            kept[name] = at
            waits.append(left)
    return kept, min(waits, default=None)


def _condition(budget: PodDisruptionBudget, allowed: int) -> Condition:
    return Condition(
        type=ALLOWED,
        status="True" if allowed > 0 else "False",
        reason="SufficientPods" if allowed > 0 else "InsufficientPods",
        observed_generation=budget.metadata.generation,
    )


def _conditions(
    before: PodDisruptionBudgetStatus, wanted: Condition, now: datetime.datetime
) -> tuple[Condition, ...]:
    current = next((one for one in before.conditions if one.type == wanted.type), None)
    same = current is not None and current.status == wanted.status
    since = current.last_transition_time if same and current is not None else timestamp(now)
    others = tuple(one for one in before.conditions if one.type != wanted.type)
    return (*others, msgspec.structs.replace(wanted, last_transition_time=since))
