"""Which nodes a DaemonSet's pods belong on, and which pods to make and delete for it. Pure.

A node is meant if the pod may be placed there (node name, selector, affinity, taints that keep pods off); a
pod stays on a node whose taints only keep new pods off. Updates replace as many pods at a time as
`maxUnavailable` allows, or, with `maxSurge`, put the new pod beside the old one first.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Sequence

import msgspec

from edgevirt.api.apps import DaemonSet, DaemonSetSpec, DaemonSetStatus
from edgevirt.api.core import (
    Affinity,
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Pod,
    PodSpec,
    Toleration,
)
from edgevirt.engine.controllers.workloads import pod_state
from edgevirt.engine.controllers.workloads.numbers import resolve, some
from edgevirt.engine.scheduler.affinity import matches_pod
from edgevirt.engine.scheduler.taints import effective_taints, tolerated

REVISION_LABEL = "controller-revision-hash"
_FIELD = "metadata.name"
_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """`make`: names of nodes."""

    make: tuple[str, ...]
    delete: tuple[Pod, ...]
    look_again: float | None = None


def with_tolerations(spec: PodSpec) -> PodSpec:
    """A daemon's pod stays where others may not."""
    wanted = list(_TOLERATED)
    if spec.host_network:
        wanted.append(("node.kubernetes.io/network-unavailable", "NoSchedule"))
    added = tuple(
        Toleration(key=key, operator="Exists", effect=effect)
        for key, effect in wanted
        if not any(one.key == key and one.effect == effect for one in spec.tolerations)
    )
    return msgspec.structs.replace(spec, tolerations=(*spec.tolerations, *added))


def placed(spec: PodSpec, node: str) -> PodSpec:
    """The pod's spec, bound to one node by affinity: the scheduler binds it, quotas and taints included."""
    requirement = NodeSelectorRequirement(key=_FIELD, operator="In", values=(node,))
    affinity = spec.affinity or Affinity()
    of_node = affinity.node_affinity or NodeAffinity()
    required = of_node.required_during_scheduling_ignored_during_execution
    terms = required.node_selector_terms if required else ()
    # The terms of the template decided about the node already; what is left to say is which one it is.
    named = tuple(msgspec.structs.replace(term, match_fields=(requirement,)) for term in terms) or (
        NodeSelectorTerm(match_fields=(requirement,)),
    )
    replaced = msgspec.structs.replace(
        of_node, required_during_scheduling_ignored_during_execution=NodeSelector(node_selector_terms=named)
    )
    return msgspec.structs.replace(spec, affinity=msgspec.structs.replace(affinity, node_affinity=replaced))


def target_of(pod: Pod) -> str:
    """The node a pod runs on or is meant for."""
    spec = pod.spec
    if spec is None:
        return ""
    if spec.node_name:
        return spec.node_name
    required = (
        spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution
        if spec.affinity and spec.affinity.node_affinity
        else None
    )
    for term in required.node_selector_terms if required else ():
        for field in term.match_fields:
            if field.key == _FIELD and field.operator == "In" and len(field.values) == 1:
                return field.values[0]
    return ""


def placement(spec: PodSpec, node: Node) -> tuple[bool, bool]:
    """(a pod should be there, a pod that is there may stay)."""
    wanted = with_tolerations(spec)
    if wanted.node_name and wanted.node_name != node.metadata.name:
        return False, False
    if not matches_pod(node, wanted):
        return False, False
    against = [t for t in effective_taints(node) if not tolerated(t, wanted.tolerations)]
    run = not any(taint.effect in ("NoSchedule", "NoExecute") for taint in against)
    stay = not any(taint.effect == "NoExecute" for taint in against)
    return run, stay


def by_node(pods: Iterable[Pod]) -> dict[str, list[Pod]]:
    found: dict[str, list[Pod]] = {}
    for pod in sorted(pods, key=lambda one: one.metadata.creation_timestamp):
        found.setdefault(target_of(pod), []).append(pod)
    return found


def plan(
    one: DaemonSet, nodes: Sequence[Node], pods: Sequence[Pod], revision: str, now: datetime.datetime
) -> Plan:
    """`pods` are all it owns; `revision` is the hash of the present template."""
    spec = one.spec
    if spec is None or one.metadata.deletion_timestamp:
        return Plan((), ())
    template = (spec.template.spec if spec.template else None) or PodSpec()
    here = by_node(pods)
    known = {node.metadata.name for node in nodes}
    make: list[str] = []
    delete = [pod for name, there in here.items() if name not in known for pod in there if not _going(pod)]
    running: dict[str, list[Pod]] = {}
    for node in nodes:
        name = node.metadata.name
        run, stay = placement(template, node)
        there = here.get(name, [])
        living = [pod for pod in there if not _going(pod)]
        if not stay or (not run and not living):
            delete.extend(living)
            continue
        failed = [pod for pod in living if pod_state.phase(pod) in pod_state.ENDED]
        delete.extend(failed)
        alive = [pod for pod in living if pod not in failed]
        if run and not there:
            make.append(name)
        elif alive and run:
            running[name] = alive
    update = _update(spec, running, revision, len(make), now)
    waits = [left for pod in pods if (left := pod_state.available_in(pod, spec.min_ready_seconds or 0, now))]
    return Plan((*make, *update.make), (*delete, *update.delete), min(waits, default=None))


def _going(pod: Pod) -> bool:
    return pod_state.is_terminating(pod)


def _update(
    spec: DaemonSetSpec, running: dict[str, list[Pod]], revision: str, missing: int, now: datetime.datetime
) -> Plan:
    wait = spec.min_ready_seconds or 0
    make: list[str] = []
    delete: list[Pod] = []
    rolling = spec.update_strategy.rolling_update if spec.update_strategy else None
    on_delete = spec.update_strategy is not None and spec.update_strategy.type == "OnDelete"
    surge = resolve(rolling.max_surge, len(running), up=True) if rolling else 0
    allowed = resolve(rolling.max_unavailable, len(running), up=True) if rolling else 1
    unavailable = missing
    candidates: list[Pod] = []
    surging = 0
    for name, alive in running.items():
        new = [pod for pod in alive if _revision(pod) == revision]
        old = [pod for pod in alive if _revision(pod) != revision]
        # Of each side one is enough; whatever else is there was made twice.
        delete.extend(new[1:])
        delete.extend(old[1:])
        ready_new = bool(new) and pod_state.is_available(new[0], wait, now)
        ready_old = bool(old) and pod_state.is_available(old[0], wait, now)
        if new and old:
            surging += 1
            if ready_new or not ready_old:
                delete.append(old[0])
        elif old and not on_delete:
            if surge and ready_old:
                make.append(name)
            elif not ready_old:
                delete.append(old[0])
            else:
                candidates.append(old[0])
        if not ready_new and not ready_old:
            unavailable += 1
    delete.extend(candidates[: max(0, allowed - unavailable)])
    return Plan(tuple(make[: max(0, surge - surging)]), tuple(delete))


def _revision(pod: Pod) -> str:
    return pod.metadata.labels.get(REVISION_LABEL, "")


def status(
    one: DaemonSet,
    nodes: Sequence[Node],
    pods: Sequence[Pod],
    revision: str,
    collisions: int | None,
    now: datetime.datetime,
) -> DaemonSetStatus:
    spec = one.spec or DaemonSetSpec()
    template = (spec.template.spec if spec.template else None) or PodSpec()
    wait = spec.min_ready_seconds or 0
    here = by_node(pods)
    desired = current = wrong = ready = available = updated = 0
    for node in nodes:
        run, _ = placement(template, node)
        there = [pod for pod in here.get(node.metadata.name, []) if not _going(pod)]
        if run:
            desired += 1
            current += bool(there)
            newest = there[-1] if there else None
            ready += any(pod_state.is_ready(pod) for pod in there)
            available += any(pod_state.is_available(pod, wait, now) for pod in there)
            updated += newest is not None and _revision(newest) == revision
        else:
            wrong += bool(there)
    return DaemonSetStatus(
        observed_generation=one.metadata.generation,
        desired_number_scheduled=desired,
        current_number_scheduled=current,
        number_misscheduled=wrong,
        number_ready=ready,
        number_available=some(available),
        number_unavailable=some(desired - available),
        updated_number_scheduled=some(updated),
        collision_count=collisions,
        conditions=one.status.conditions if one.status else (),
    )
