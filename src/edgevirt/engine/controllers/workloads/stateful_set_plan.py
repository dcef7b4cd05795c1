"""What a StatefulSet does next: make a pod of an ordinal, delete one, or wait. Pure.

Ordered sets take one step at a time and wait until all predecessors run and are ready; parallel ones take
every step that is not an update at once. Updates go from the highest ordinal down to the partition, always
one pod at a time. The rules are those of Kubernetes' StatefulSet controller.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Sequence

from edgevirt.api.apps import StatefulSet, StatefulSetSpec, StatefulSetStatus
from edgevirt.api.core import Pod
from edgevirt.engine.controllers.workloads import pod_state
from edgevirt.engine.controllers.workloads.numbers import some

REVISION_LABEL = "controller-revision-hash"
_ORDINAL = re.compile(r"(.*)-(\d+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Make:
    ordinal: int
    current: bool
    """Of the revision from before the update: below the partition."""


@dataclasses.dataclass(frozen=True, slots=True)
class Delete:
    pod: Pod
    condemned: bool = False
    """It is beyond the wanted replicas, not merely to be made anew."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    actions: tuple[Make | Delete, ...]
    look_again: float | None = None


def ordinal_of(pod: Pod, name: str) -> int:
    """-1 for a pod that is not named after its set."""
    match = _ORDINAL.fullmatch(pod.metadata.name)
    return int(match.group(2)) if match and match.group(1) == name else -1


def revision_of(pod: Pod) -> str:
    return pod.metadata.labels.get(REVISION_LABEL, "")


def first_ordinal(spec: StatefulSetSpec) -> int:
    return (spec.ordinals.start if spec.ordinals else 0) or 0


def plan(one: StatefulSet, pods: Sequence[Pod], update_revision: str, now: datetime.datetime) -> Plan:
    """`pods` are all it owns, also those being deleted."""
    spec = one.spec
    if spec is None or one.metadata.deletion_timestamp:
        return Plan(())
    by_ordinal = {ordinal_of(pod, one.metadata.name): pod for pod in pods}
    start, wanted = first_ordinal(spec), spec.replicas if spec.replicas is not None else 1
    ordinals = range(start, start + wanted)
    ordered = spec.pod_management_policy != "Parallel"
    wait = spec.min_ready_seconds or 0
    waits = [left for pod in pods if (left := pod_state.available_in(pod, wait, now))]
    look_again = min(waits, default=None)
    actions: list[Make | Delete] = []
    for ordinal in ordinals:
        step, settled = _replica(by_ordinal.get(ordinal), ordinal, start, spec, now, update_revision)
        if step is not None:
            actions.append(step)
        if ordered and not settled:
            return Plan(tuple(actions), look_again)
    condemned = sorted((n for n in by_ordinal if n not in ordinals and n >= 0), reverse=True)
    for ordinal in condemned:
        pod = by_ordinal[ordinal]
        if pod_state.is_terminating(pod):
            if ordered:
                return Plan(tuple(actions), look_again)
            continue
        actions.append(Delete(pod, condemned=True))
        if ordered:
            return Plan(tuple(actions), look_again)
    if not actions:
        update = _update(spec, by_ordinal, ordinals, update_revision, now)
        if update is not None:
            actions.append(update)
    return Plan(tuple(actions), look_again)


def _replica(
    pod: Pod | None,
    ordinal: int,
    start: int,
    spec: StatefulSetSpec,
    now: datetime.datetime,
    update_revision: str,
) -> tuple[Make | Delete | None, bool]:
    """What to do about one wanted ordinal, and whether its successors may follow."""
    if pod is None:
        return Make(ordinal, current=ordinal < start + partition_of(spec)), False
    if pod_state.phase(pod) in pod_state.ENDED:
        return (None if pod_state.is_terminating(pod) else Delete(pod)), False
    if pod_state.is_terminating(pod):
        return None, False
    return None, _healthy(pod, spec, now)


def _healthy(pod: Pod, spec: StatefulSetSpec, now: datetime.datetime) -> bool:
    running = pod_state.phase(pod) == "Running" and not pod_state.is_terminating(pod)
    return running and pod_state.is_available(pod, spec.min_ready_seconds or 0, now)


def partition_of(spec: StatefulSetSpec) -> int:
    strategy = spec.update_strategy
    if strategy is None or strategy.type != "RollingUpdate" or strategy.rolling_update is None:
        return 0
    return strategy.rolling_update.partition or 0


def _update(
    spec: StatefulSetSpec,
    by_ordinal: dict[int, Pod],
    ordinals: range,
    update_revision: str,
    now: datetime.datetime,
) -> Delete | None:
    if spec.update_strategy is not None and spec.update_strategy.type == "OnDelete":
        return None
    lowest = ordinals.start + partition_of(spec)
    for ordinal in reversed(ordinals):
        if ordinal < lowest:
            return None
        pod = by_ordinal.get(ordinal)
        if pod is None:
            return None
        if revision_of(pod) != update_revision and not pod_state.is_terminating(pod):
            return Delete(pod)
        if not _healthy(pod, spec, now):
            return None
    return None


def status(
    one: StatefulSet,
    pods: Sequence[Pod],
    current_revision: str,
    update_revision: str,
    collisions: int,
    now: datetime.datetime,
) -> StatefulSetStatus:
    """What is there, as it was before anything was done about it."""
    spec = one.spec or StatefulSetSpec()
    wait = spec.min_ready_seconds or 0
    living = [pod for pod in pods if not pod_state.is_terminating(pod)]
    ready = [p for p in pods if pod_state.phase(p) == "Running" and pod_state.is_ready(p)]
    current = sum(1 for pod in living if revision_of(pod) == current_revision)
    updated = sum(1 for pod in living if revision_of(pod) == update_revision)
    wanted = spec.replicas if spec.replicas is not None else 1
    on_delete = spec.update_strategy is not None and spec.update_strategy.type == "OnDelete"
    complete = updated == len(pods) == len(ready) == wanted
    if not on_delete and partition_of(spec) == 0 and complete and current_revision != update_revision:
        current_revision, current = update_revision, updated
    return StatefulSetStatus(
        observed_generation=one.metadata.generation,
        replicas=len(pods),
        ready_replicas=some(len(ready)),
        available_replicas=sum(1 for pod in ready if pod_state.is_available(pod, wait, now)),
        current_replicas=some(current),
        updated_replicas=some(updated),
        current_revision=current_revision,
        update_revision=update_revision,
        collision_count=collisions,
        conditions=one.status.conditions if one.status else (),
    )
