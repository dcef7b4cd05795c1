"""What a Deployment needs next: a replica set for its template, other sizes, old ones removed. Pure.

One call is one step; the change it makes wakes the controller for the next. The arithmetic of rolling
updates, of proportional scaling and of revisions is Kubernetes'; kubectl's `rollout` reads the annotations
written here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from edgevirt.api.apps import Deployment, DeploymentSpec, ReplicaSet
from edgevirt.engine.controllers.workloads.numbers import resolve
from edgevirt.engine.controllers.workloads.template import template_hash, without_label

HASH_LABEL = "pod-template-hash"
_PREFIX = "deployment.kubernetes.io/"
REVISION = _PREFIX + "revision"
HISTORY = _PREFIX + "revision-history"
DESIRED = _PREFIX + "desired-replicas"
MAXIMUM = _PREFIX + "max-replicas"
_NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        HISTORY,
        DESIRED,
        MAXIMUM,
        "deprecated.deployment.rollback.to",
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Create:
    """A new replica set for the present template."""

    name: str
    hash: str
    replicas: int
    annotations: dict[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Resize:
    replica_set: ReplicaSet
    replicas: int
    annotations: dict[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Annotate:
    """`min_ready_seconds` is carried along: it belongs to the deployment, not to the template."""

    replica_set: ReplicaSet
    annotations: dict[str, str]
    min_ready_seconds: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Remove:
    replica_set: ReplicaSet


Action = Create | Resize | Annotate | Remove


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """`revision` is what the deployment's own annotation should say; "" leaves it alone."""

    actions: tuple[Action, ...]
    revision: str = ""


def replicas_of(one: ReplicaSet) -> int:
    return one.spec.replicas if one.spec and one.spec.replicas is not None else 1


def available(one: ReplicaSet) -> int:
    return (one.status.available_replicas if one.status else 0) or 0


def revision_of(one: ReplicaSet) -> int:
    text = one.metadata.annotations.get(REVISION, "0")
    return int(text) if text.isdecimal() else 0


def split(
    deployment: Deployment, sets: Iterable[ReplicaSet]
) -> tuple[ReplicaSet | None, tuple[ReplicaSet, ...]]:
    """The replica set of the present template (the oldest, if several), and all others, oldest first."""
    ordered = sorted(sets, key=lambda one: (one.metadata.creation_timestamp, one.metadata.name))
    wanted = without_label(deployment.spec.template if deployment.spec else None, HASH_LABEL)
    new = next(
        (
            one
            for one in ordered
            if without_label(one.spec.template if one.spec else None, HASH_LABEL) == wanted
        ),
        None,
    )
    return new, tuple(one for one in ordered if one is not new)


def fenceposts(spec: DeploymentSpec) -> tuple[int, int]:
    """(surge, unavailable) in pods; at least one of them is not zero."""
    wanted = spec.replicas or 0
    strategy = spec.strategy
    if strategy is None or strategy.type == "Recreate" or strategy.rolling_update is None:
        return 0, wanted if strategy is not None and strategy.type == "Recreate" else 0
    surge = resolve(strategy.rolling_update.max_surge, wanted, up=True)
    unavailable = resolve(strategy.rolling_update.max_unavailable, wanted, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, wanted) if wanted else unavailable


def plan(deployment: Deployment, sets: Sequence[ReplicaSet], old_pods: bool) -> Plan:
    """`sets` are those it owns; `old_pods`: a pod of another template still runs."""
    spec = deployment.spec
    if spec is None or deployment.metadata.deletion_timestamp:
        return Plan(())
    new, old = split(deployment, sets)
    if spec.paused:
        return Plan(_resizing(spec, new, old, scaled=True) or _cleaning(deployment, old))
    if new is not None and _was_scaled(spec, (new, *old)):
        return Plan(_resizing(spec, new, old, scaled=True), revision=str(revision_of(new)))
    recreate = spec.strategy is not None and spec.strategy.type == "Recreate"
    revision = str(max((revision_of(one) for one in old), default=0) + 1)
    if recreate:
        down = tuple(Resize(one, 0, _sizes(spec)) for one in old if replicas_of(one) > 0)
        if down or old_pods:
            kept = revision_of(new) if new is not None else 0
            return Plan(down, str(kept) if kept else "")
    if new is None:
        return Plan((_creation(deployment, spec, old, revision),), revision)
    annotations = _annotations(deployment, new, revision)
    revision = annotations.get(REVISION, new.metadata.annotations.get(REVISION, revision))
    if annotations or (new.spec and (new.spec.min_ready_seconds or 0) != (spec.min_ready_seconds or 0)):
        return Plan((Annotate(new, annotations, spec.min_ready_seconds or 0),), revision)
    actions: tuple[Action, ...] = _resizing(spec, new, old, scaled=False)
    if not actions and is_complete(deployment, new, old):
        actions = _cleaning(deployment, old)
    return Plan(actions, revision)


def is_complete(deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> bool:
    """All pods are of the present template, and available."""
    wanted = (deployment.spec.replicas if deployment.spec else 0) or 0
    status = new.status if new is not None else None
    pods = (status.replicas if status else 0) or 0
    others = sum((one.status.replicas if one.status else 0) or 0 for one in old)
    return pods == wanted and others == 0 and new is not None and available(new) == wanted


def _creation(
    deployment: Deployment, spec: DeploymentSpec, old: Sequence[ReplicaSet], revision: str
) -> Create:
    collisions = deployment.status.collision_count if deployment.status else None
    short = template_hash(spec.template, collisions)
    annotations = {
        **{k: v for k, v in deployment.metadata.annotations.items() if k not in _NOT_COPIED},
        **_sizes(spec),
        REVISION: revision,
    }
    name = f"{deployment.metadata.name}-{short}"
    return Create(name, short, _new_size(spec, None, old), annotations)


def _sizes(spec: DeploymentSpec) -> dict[str, str]:
    surge, _ = fenceposts(spec)
    wanted = spec.replicas or 0
    return {DESIRED: str(wanted), MAXIMUM: str(wanted + surge)}


def _annotations(deployment: Deployment, new: ReplicaSet, revision: str) -> dict[str, str]:
    """What the annotations of the new replica set lack."""
    present = new.metadata.annotations
    changes = {
        key: value
        for key, value in deployment.metadata.annotations.items()
        if key not in _NOT_COPIED and present.get(key) != value
    }
    if revision_of(new) < int(revision):
        before = present.get(REVISION, "")
        if before:
            history = [*filter(None, present.get(HISTORY, "").split(",")), before]
            changes[HISTORY] = ",".join(history)
        changes[REVISION] = revision
    sizes = _sizes(deployment.spec) if deployment.spec else {}
    changes.update({key: value for key, value in sizes.items() if present.get(key) != value})
    return changes


def _was_scaled(spec: DeploymentSpec, sets: Iterable[ReplicaSet]) -> bool:
    """Somebody changed the deployment's size since its replica sets were last sized."""
    return any(
        DESIRED in one.metadata.annotations and one.metadata.annotations[DESIRED] != str(spec.replicas or 0)
        for one in sets
        if replicas_of(one) > 0
    )


# Sizes --------------------------------------------------------------------------------------------------


def _new_size(spec: DeploymentSpec, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> int:
    """How large the new replica set may be now."""
    wanted = spec.replicas or 0
    current = replicas_of(new) if new is not None else 0
    if spec.strategy is not None and spec.strategy.type == "Recreate":
        return wanted
    surge, _ = fenceposts(spec)
    total = current + sum(replicas_of(one) for one in old)
    room = wanted + surge - total
    return current + min(room, wanted - current) if room > 0 else current


def _resizing(
    spec: DeploymentSpec, new: ReplicaSet | None, old: Sequence[ReplicaSet], *, scaled: bool
) -> tuple[Action, ...]:
    if scaled:
        return _scaled(spec, new, old)
    assert new is not None
    wanted, size = spec.replicas or 0, replicas_of(new)
    target = wanted if size > wanted else _new_size(spec, new, old)
    if target != size:
        return (Resize(new, target, _sizes(spec)),)
    return _shrink_old(spec, new, old)


def _scaled(spec: DeploymentSpec, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> tuple[Action, ...]:
    """The deployment's size was changed, or it is paused: keep the proportions between its replica sets."""
    wanted, sizes = spec.replicas or 0, _sizes(spec)
    everything = [one for one in (*old, new) if one is not None]
    active = [one for one in everything if replicas_of(one) > 0]
    if len(active) <= 1:
        only = active[0] if active else new
        if only is None or replicas_of(only) == wanted:
            return _resized(only, wanted, sizes) if only is not None and active else ()
        return (Resize(only, wanted, sizes),)
    if new is not None and replicas_of(new) == wanted and available(new) >= wanted:
        return tuple(Resize(one, 0, sizes) for one in old if replicas_of(one) > 0)
    if spec.strategy is None or spec.strategy.type != "RollingUpdate":
        return ()
    surge, _ = fenceposts(spec)
    total = sum(replicas_of(one) for one in active)
    allowed = wanted + surge if wanted > 0 else 0
    missing = allowed - total
    newest = sorted(active, key=lambda one: one.metadata.creation_timestamp, reverse=missing > 0)
    ordered = sorted(newest, key=replicas_of, reverse=True)
    shares: list[int] = []
    given = 0
    for one in ordered:
        share = _share(one, spec, missing, missing - given) if missing else 0
        given += share
        shares.append(replicas_of(one) + share)
    if missing and ordered:
        shares[0] = max(0, shares[0] + missing - given)
    return tuple(
        action for one, size in zip(ordered, shares, strict=True) for action in _resized(one, size, sizes)
    )


def _resized(one: ReplicaSet, size: int, sizes: dict[str, str]) -> tuple[Action, ...]:
    present = one.metadata.annotations
    if replicas_of(one) == size and all(present.get(key) == value for key, value in sizes.items()):
        return ()
    return (Resize(one, size, sizes),)


def _share(one: ReplicaSet, spec: DeploymentSpec, missing: int, left: int) -> int:
    """How much of what is missing this replica set gets, by its share of the size it was planned for."""
    surge, _ = fenceposts(spec)
    text = one.metadata.annotations.get(MAXIMUM, "")
    planned = int(text) if text.isdecimal() and int(text) else (spec.replicas or 0) + surge
    size = replicas_of(one)
    target = (2 * size * ((spec.replicas or 0) + surge) + planned) // (2 * planned) if planned else size
    part = target - size
    return min(part, left) if missing > 0 else max(part, left)


def _shrink_old(spec: DeploymentSpec, new: ReplicaSet, old: Sequence[ReplicaSet]) -> tuple[Action, ...]:
    """Take away from old replica sets what availability allows: broken pods first, then the oldest sets."""
    active = [one for one in old if replicas_of(one) > 0]
    if not active:
        return ()
    _, unavailable = fenceposts(spec)
    wanted = spec.replicas or 0
    least = wanted - unavailable
    total = replicas_of(new) + sum(replicas_of(one) for one in active)
    new_unavailable = replicas_of(new) - available(new)
    removable = total - least - new_unavailable
    if removable <= 0:
        return ()
    sizes = {one.metadata.uid: replicas_of(one) for one in active}
    for one in active:
        broken = max(0, replicas_of(one) - available(one))
        cut = min(removable, broken)
        sizes[one.metadata.uid] -= cut
        removable -= cut
    spare = available(new) + sum(available(one) for one in active) - least
    for one in active:
        cut = min(spare, sizes[one.metadata.uid]) if spare > 0 else 0
        sizes[one.metadata.uid] -= cut
        spare -= cut
    return tuple(
        Resize(one, sizes[one.metadata.uid], _sizes(spec))
        for one in active
        if sizes[one.metadata.uid] != replicas_of(one)
    )


def _cleaning(deployment: Deployment, old: Sequence[ReplicaSet]) -> tuple[Action, ...]:
    """Old replica sets beyond the history that is kept."""
    limit = deployment.spec.revision_history_limit if deployment.spec else None
    if limit is None:
        return ()
    idle = [
        one
        for one in old
        if replicas_of(one) == 0
        and not ((one.status.replicas if one.status else 0) or 0)
        and not one.metadata.deletion_timestamp
        and (one.metadata.generation or 0) <= ((one.status.observed_generation if one.status else 0) or 0)
    ]
    surplus = len([one for one in old if not one.metadata.deletion_timestamp]) - limit
    ordered = sorted(idle, key=revision_of)
    return tuple(Remove(one) for one in ordered[: max(0, surplus)])
