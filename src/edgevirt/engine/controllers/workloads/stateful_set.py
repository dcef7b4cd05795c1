"""Gives the pods of a StatefulSet names, hosts and claims that stay, in the order of `stateful_set_plan`."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from edgevirt.api.apps import ControllerRevision, StatefulSet
from edgevirt.api.core import (
    PersistentVolumeClaim,
    PersistentVolumeClaimVolumeSource,
    Pod,
    PodSpec,
    Volume,
)
from edgevirt.api.meta import ObjectMeta, OwnerReference
from edgevirt.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from edgevirt.engine.controllers.surroundings import Desk, Shared
from edgevirt.engine.controllers.workloads import claiming
from edgevirt.engine.controllers.workloads.pod_making import make_pods
from edgevirt.engine.controllers.workloads.revisions import Revisions, template_of
from edgevirt.engine.controllers.workloads.stateful_set_plan import (
    REVISION_LABEL,
    Delete,
    Make,
    ordinal_of,
    plan,
    revision_of,
    status,
)
from edgevirt.engine.controllers.workloads.template import pod_from_template
from edgevirt.kube import errors
from edgevirt.kube.controller import Result
from edgevirt.kube.objects import split_key
from edgevirt.kube.ownership import owner_reference

NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"


class StatefulSetController:
    def __init__(self, shared: Shared) -> None:
        self._desk = Desk(shared, "statefulset-controller", self._reconcile)
        self._sets = self._desk.informer(STATEFUL_SETS)
        self._pods = self._desk.informer(PODS)
        self._revisions = Revisions(self._desk, STATEFUL_SETS)
        self._desk.follow(self._sets)
        self._desk.follow_dependents(self._pods, STATEFUL_SETS.kind)
        self._desk.follow_orphans(self._pods, self._sets, lambda one: one.spec.selector if one.spec else None)

    async def run(self, started: asyncio.Event) -> None:
        await self._desk.run(started)

    async def _reconcile(self, key: str) -> Result | None:
        namespace, name = split_key(key)
        one = self._sets.get(name, namespace)
        if one is None or one.spec is None:
            return None
        named = [pod for pod in self._pods.by_index("namespace", namespace) if ordinal_of(pod, name) >= 0]
        claims = claiming.plan(one, one.spec.selector, named)
        pods = await claiming.carry_out(self._desk.client, one, STATEFUL_SETS, PODS, self._pods, claims)
        revisions = await self._revisions.of(one, one.spec.selector)
        collisions = (one.status.collision_count if one.status else 0) or 0
        update = await self._revisions.current(one, one.spec.template, revisions, collisions)
        now = self._desk.clock.now()
        if update is None:
            patched = msgspec.structs.replace(
                one.status or status(one, pods, "", "", 0, now), collision_count=collisions + 1
            )
            await self._desk.write_status(STATEFUL_SETS, self._sets, one, one.status, patched)
            return None
        known = one.status.current_revision if one.status else ""
        current = next((r for r in revisions if r.metadata.name == known), None) or (
            revisions[0] if not known and revisions else update
        )
        planned = plan(one, pods, update.metadata.name, now)
        wanted = status(one, pods, current.metadata.name, update.metadata.name, collisions, now)
        await self._desk.write_status(STATEFUL_SETS, self._sets, one, one.status, wanted)
        for action in planned.actions:
            match action:
                case Make():
                    await self._make(one, action, current if action.current else update)
                case Delete():
                    await self._delete(one, action)
        used = {revision_of(pod) for pod in pods} | {current.metadata.name, update.metadata.name}
        limit = one.spec.revision_history_limit
        await self._revisions.trim(revisions, frozenset(used), 10 if limit is None else limit)
        return Result(requeue_after=planned.look_again)

    async def _make(self, one: StatefulSet, action: Make, revision: ControllerRevision) -> None:
        await self._make_claims(one, action.ordinal)
        pod = pod_of(one, action.ordinal, revision)
        try:
            await make_pods(self._desk, self._pods, one, [pod])
        except errors.AlreadyExists:
            # A namesake that is not ours, or our own of which the cache does not know yet: either's end or
            # arrival wakes us.
            return

    async def _make_claims(self, one: StatefulSet, ordinal: int) -> None:
        spec = one.spec
        for template in spec.volume_claim_templates if spec else ():
            claim = claim_of(one, template, ordinal)
            try:
                await self._desk.client.create(PERSISTENT_VOLUME_CLAIMS, claim)
            except errors.AlreadyExists:
                continue
            text = f"create Claim {claim.metadata.name} Pod {one.metadata.name}-{ordinal} in StatefulSet "
            self._desk.recorder.normal(one, "SuccessfulCreate", f"{text}{one.metadata.name} success")

    async def _delete(self, one: StatefulSet, action: Delete) -> None:
        pod = action.pod
        retention = one.spec.persistent_volume_claim_retention_policy if one.spec else None
        if action.condemned and retention is not None and retention.when_scaled == "Delete":
            await self._give_claims_to(one, pod)
        await self._desk.delete(PODS, pod)
        text = f"delete Pod {pod.metadata.name} in StatefulSet {one.metadata.name} successful"
        self._desk.recorder.normal(one, "SuccessfulDelete", text)

    async def _give_claims_to(self, one: StatefulSet, pod: Pod) -> None:
        """The claims of a pod that is not wanted any more go with it."""
        owner = msgspec.to_builtins(
            OwnerReference(api_version="v1", kind="Pod", name=pod.metadata.name, uid=pod.metadata.uid)
        )
        ordinal = ordinal_of(pod, one.metadata.name)
        for template in one.spec.volume_claim_templates if one.spec else ():
            name = claim_of(one, template, ordinal).metadata.name
            patch: dict[str, Any] = {"metadata": {"ownerReferences": [owner]}}
            try:
                await self._desk.client.patch(
                    PERSISTENT_VOLUME_CLAIMS, name, patch, namespace=one.metadata.namespace
                )
            except errors.NotFound:
                continue


def pod_of(one: StatefulSet, ordinal: int, revision: ControllerRevision) -> Pod:
    """The pod of an ordinal as that revision describes it."""
    name = f"{one.metadata.name}-{ordinal}"
    pod = pod_from_template(template_of(revision), one, STATEFUL_SETS, name)
    spec = pod.spec or PodSpec()
    own = one.spec.volume_claim_templates if one.spec else ()
    claimed = {template.metadata.name for template in own}
    volumes = [volume for volume in spec.volumes if volume.name not in claimed]
    volumes += [
        Volume(
            name=template.metadata.name,
            persistent_volume_claim=PersistentVolumeClaimVolumeSource(
                claim_name=claim_of(one, template, ordinal).metadata.name
            ),
        )
        for template in own
    ]
    labels = {
        **pod.metadata.labels,
        NAME_LABEL: name,
        INDEX_LABEL: str(ordinal),
        REVISION_LABEL: revision.metadata.name,
    }
    return msgspec.structs.replace(
        pod,
        metadata=msgspec.structs.replace(pod.metadata, labels=labels),
        spec=msgspec.structs.replace(
            spec,
            hostname=name,
            subdomain=one.spec.service_name if one.spec else "",
            volumes=tuple(volumes),
        ),
    )


def claim_of(one: StatefulSet, template: PersistentVolumeClaim, ordinal: int) -> PersistentVolumeClaim:
    """The claim of an ordinal; it goes with the set only if the set's retention policy says so."""
    retention = one.spec.persistent_volume_claim_retention_policy if one.spec else None
    delete = retention is not None and retention.when_deleted == "Delete"
    selector = one.spec.selector if one.spec else None
    owners = (owner_reference(one, STATEFUL_SETS, controller=False),) if delete else ()
    return PersistentVolumeClaim(
        metadata=ObjectMeta(
            name=f"{template.metadata.name}-{one.metadata.name}-{ordinal}",
            namespace=one.metadata.namespace,
            labels={**template.metadata.labels, **(selector.match_labels if selector else {})},
            annotations=template.metadata.annotations,
            owner_references=owners,
        ),
        spec=template.spec,
    )
