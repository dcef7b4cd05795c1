"""What a ReplicaSet needs: how many pods more, or which of them to delete; and its status. Pure.

The order of deletion is Kubernetes': pods that are not placed, not running or not ready go first, then
cheaper ones, those that became ready last, those that restarted most, and the youngest.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

from edgevirt.api.apps import ReplicaSet, ReplicaSetCondition, ReplicaSetStatus
from edgevirt.api.core import Pod
from edgevirt.engine.controllers.workloads import pod_state
from edgevirt.engine.controllers.workloads.numbers import some

BURST = 500
"""Pods made or deleted in one go."""

_PHASES = {"Pending": 0, "": 0, "Unknown": 1, "Running": 2}


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """`look_again`: seconds until a pod that is ready will have been so for long enough."""

    create: int
    delete: tuple[Pod, ...]
    look_again: float | None


def plan(replica_set: ReplicaSet, pods: Sequence[Pod], now: datetime.datetime) -> Plan:
    """`pods` are the active ones it owns."""
    spec = replica_set.spec
    wanted = spec.replicas if spec and spec.replicas is not None else 1
    wait = (spec.min_ready_seconds if spec else 0) or 0
    waits = [left for pod in pods if (left := pod_state.available_in(pod, wait, now))]
    look_again = min(waits, default=None)
    if replica_set.metadata.deletion_timestamp:
        return Plan(0, (), look_again)
    surplus = len(pods) - wanted
    if surplus > 0:
        ranked = sorted(pods, key=lambda pod: _keep_rank(pod, pods))
        return Plan(0, tuple(ranked[: min(surplus, BURST)]), look_again)
    return Plan(min(-surplus, BURST), (), look_again)


def _keep_rank(pod: Pod, pods: Sequence[Pod]) -> tuple[object, ...]:
    """Lower goes first."""
    ready = pod_state.condition(pod, "Ready")
    node = pod.spec.node_name if pod.spec else ""
    together = sum(1 for other in pods if other.spec and node and other.spec.node_name == node)
    return (
        bool(node),
        _PHASES.get(pod_state.phase(pod), 2),
        pod_state.is_ready(pod),
        _deletion_cost(pod),
        -together,
        _reversed((ready.last_transition_time or "") if ready and ready.status == "True" else ""),
        -pod_state.restarts(pod),
        _reversed(pod.metadata.creation_timestamp),
    )


def _deletion_cost(pod: Pod) -> int:
    try:
        return int(pod.metadata.annotations.get(pod_state.DELETION_COST, "0"))
    except ValueError:
        return 0


def _reversed(time: str) -> tuple[int, ...]:
    """Sorts later times first, and no time before all."""
    return tuple(-ord(character) for character in time) if time else (-(2**31),)


def status(
    replica_set: ReplicaSet,
    pods: Sequence[Pod],
    failure: str,
    failure_reason: str,
    now: datetime.datetime,
    timestamp: str,
) -> ReplicaSetStatus:
    """`pods` are the active ones as they were before anything was done about them."""
    spec = replica_set.spec
    wait = (spec.min_ready_seconds if spec else 0) or 0
    template = spec.template.metadata if spec and spec.template else None
    labels = (template.labels if template else {}).items()
    before = replica_set.status
    conditions = tuple(one for one in (before.conditions if before else ()) if one.type != "ReplicaFailure")
    previous = next((c for c in (before.conditions if before else ()) if c.type == "ReplicaFailure"), None)
    if failure:
        same = previous is not None and previous.reason == failure_reason
        moment = previous.last_transition_time if same and previous is not None else timestamp
        conditions = (
            *conditions,
            ReplicaSetCondition(
                type="ReplicaFailure",
                status="True",
                reason=failure_reason,
                message=failure,
                last_transition_time=moment,
            ),
        )
    return ReplicaSetStatus(
        replicas=len(pods),
        fully_labeled_replicas=some(sum(1 for pod in pods if labels <= pod.metadata.labels.items())),
        ready_replicas=some(sum(1 for pod in pods if pod_state.is_ready(pod))),
        available_replicas=some(sum(1 for pod in pods if pod_state.is_available(pod, wait, now))),
        observed_generation=replica_set.metadata.generation,
        conditions=conditions,
    )
