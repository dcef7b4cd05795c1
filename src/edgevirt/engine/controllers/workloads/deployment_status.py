"""The status of a Deployment: counters, and the conditions Available, Progressing and ReplicaFailure. Pure.

Reasons and messages are the ones `kubectl rollout status` and `kubectl wait` look for. A rollout that makes
no progress for `progressDeadlineSeconds` has timed out; `look_again` is when that will be.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

import msgspec

from edgevirt.api.apps import (
    Deployment,
    DeploymentCondition,
    DeploymentSpec,
    DeploymentStatus,
    ReplicaSet,
)
from edgevirt.engine.controllers.workloads.deployment_plan import available, fenceposts, is_complete
from edgevirt.engine.controllers.workloads.numbers import some
from edgevirt.engine.controllers.workloads.pod_state import parse_time
from edgevirt.kube.clock import timestamp

_NO_DEADLINE = 2**31 - 1
TIMED_OUT = "ProgressDeadlineExceeded"


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    status: DeploymentStatus
    look_again: float | None = None


def outcome(
    deployment: Deployment,
    new: ReplicaSet | None,
    old: Sequence[ReplicaSet],
    made: str,
    collision_count: int | None,
    now: datetime.datetime,
) -> Outcome:
    """`made` is the name of a replica set that was just created, "" if none was."""
    spec = deployment.spec or DeploymentSpec()
    before = deployment.status or DeploymentStatus()
    everything = [one for one in (*old, new) if one is not None]
    total = sum(_count(one, "replicas") for one in everything)
    ready = sum(_count(one, "ready_replicas") for one in everything)
    working = sum(available(one) for one in everything)
    counters = DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=some(total),
        updated_replicas=some(_count(new, "replicas") if new is not None else 0),
        ready_replicas=some(ready),
        available_replicas=some(working),
        unavailable_replicas=some(max(0, total - working)),
        collision_count=collision_count,
    )
    conditions = {one.type: one for one in before.conditions}
    _set(conditions, _availability(spec, working), now)
    progressing, look_again = _progress(deployment, spec, before, counters, new, old, made, conditions, now)
    if progressing is not None:
        _set(conditions, progressing, now, always="Progressing" if _moved(before, counters) else "")
    failure = next(
        (
            condition
            for one in (new, *old)
            if one is not None and one.status is not None
            for condition in one.status.conditions
            if condition.type == "ReplicaFailure"
        ),
        None,
    )
    if failure is not None:
        _set(
            conditions,
            DeploymentCondition(
                type="ReplicaFailure", status=failure.status, reason=failure.reason, message=failure.message
            ),
            now,
        )
    else:
        conditions.pop("ReplicaFailure", None)
    return Outcome(msgspec.structs.replace(counters, conditions=tuple(conditions.values())), look_again)


def _count(one: ReplicaSet, field: str) -> int:
    return (getattr(one.status, field) if one.status is not None else 0) or 0


def _moved(before: DeploymentStatus, now: DeploymentStatus) -> bool:
    """More pods of the new template, or fewer of old ones, or more ready or available ones."""
    old_before = (before.replicas or 0) - (before.updated_replicas or 0)
    old_now = (now.replicas or 0) - (now.updated_replicas or 0)
    return (
        (now.updated_replicas or 0) > (before.updated_replicas or 0)
        or old_now < old_before
        or (now.ready_replicas or 0) > (before.ready_replicas or 0)
        or (now.available_replicas or 0) > (before.available_replicas or 0)
    )


def _availability(spec: DeploymentSpec, working: int) -> DeploymentCondition:
    _, unavailable = fenceposts(spec)
    if working >= (spec.replicas or 0) - unavailable:
        return DeploymentCondition(
            type="Available",
            status="True",
            reason="MinimumReplicasAvailable",
            message="Deployment has minimum availability.",
        )
    return DeploymentCondition(
        type="Available",
        status="False",
        reason="MinimumReplicasUnavailable",
        message="Deployment does not have minimum availability.",
    )


def _progress(
    deployment: Deployment,
    spec: DeploymentSpec,
    before: DeploymentStatus,
    counters: DeploymentStatus,
    new: ReplicaSet | None,
    old: Sequence[ReplicaSet],
    made: str,
    conditions: dict[str, DeploymentCondition],
    now: datetime.datetime,
) -> tuple[DeploymentCondition | None, float | None]:
    deadline = spec.progress_deadline_seconds
    if deadline is None or deadline == _NO_DEADLINE:
        conditions.pop("Progressing", None)
        return None, None
    current = conditions.get("Progressing")
    if spec.paused:
        if current is not None and current.reason == TIMED_OUT:
            return None, None
        return _progressing("Unknown", "DeploymentPaused", "Deployment is paused"), None
    if current is not None and current.reason == "DeploymentPaused":
        return _progressing("Unknown", "DeploymentResumed", "Deployment is resumed"), float(deadline)
    if made:
        return _progressing("True", "NewReplicaSetCreated", f'Created new replica set "{made}"'), float(
            deadline
        )
    name = (
        f'ReplicaSet "{new.metadata.name}"' if new is not None else f'Deployment "{deployment.metadata.name}"'
    )
    finished = (
        current is not None
        and current.reason == "NewReplicaSetAvailable"
        and counters.replicas == (counters.updated_replicas)
    )
    if finished and not (new is None or counters.updated_replicas != before.updated_replicas):
        return None, None
    if is_complete(deployment, new, old):
        return _progressing("True", "NewReplicaSetAvailable", f"{name} has successfully progressed."), None
    if _moved(before, counters):
        return _progressing("True", "ReplicaSetUpdated", f"{name} is progressing."), float(deadline)
    if current is None:
        if new is None:
            return None, None
        return _progressing(
            "True", "FoundNewReplicaSet", f'Found new replica set "{new.metadata.name}"'
        ), float(deadline)
    if current.reason == TIMED_OUT:
        return None, None
    since = parse_time(current.last_update_time) or now
    left = deadline - (now - since).total_seconds()
    if left <= 0:
        return _progressing("False", TIMED_OUT, f"{name} has timed out progressing."), None
    return None, left + 1.0


def _progressing(status: str, reason: str, message: str) -> DeploymentCondition:
    return DeploymentCondition(type="Progressing", status=status, reason=reason, message=message)


def _set(
    conditions: dict[str, DeploymentCondition],
    wanted: DeploymentCondition,
    now: datetime.datetime,
    always: str = "",
) -> None:
    """Put a condition in; one that says the same stays as it is, unless progress of its kind is renewed."""
    current = conditions.get(wanted.type)
    moment = timestamp(now)
    if current is not None and current.status == wanted.status and current.reason == wanted.reason:
        if wanted.type != always:
            return
        transition = current.last_transition_time
    elif current is not None and current.status == wanted.status:
        transition = current.last_transition_time
    else:
        transition = moment
    conditions[wanted.type] = msgspec.structs.replace(
        wanted, last_update_time=moment, last_transition_time=transition
    )
