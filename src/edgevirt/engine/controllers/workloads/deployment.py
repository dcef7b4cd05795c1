"""Rolls a Deployment's pods from template to template through replica sets, as `deployment_plan` says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from edgevirt.api.apps import Deployment, ReplicaSet, ReplicaSetSpec
from edgevirt.api.core import Pod
from edgevirt.api.meta import LabelSelector, ObjectMeta
from edgevirt.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from edgevirt.engine.controllers.surroundings import Desk, Shared
from edgevirt.engine.controllers.workloads import claiming, pod_state
from edgevirt.engine.controllers.workloads.deployment_plan import (
    HASH_LABEL,
    REVISION,
    Annotate,
    Create,
    Plan,
    Remove,
    Resize,
    plan,
    replicas_of,
    split,
)
from edgevirt.engine.controllers.workloads.deployment_status import TIMED_OUT, outcome
from edgevirt.engine.controllers.workloads.template import with_label, without_label
from edgevirt.kube import errors
from edgevirt.kube.controller import Result
from edgevirt.kube.objects import split_key
from edgevirt.kube.ownership import controller_of, is_controlled_by, owner_reference


class DeploymentController:
    def __init__(self, shared: Shared) -> None:
        self._desk = Desk(shared, "deployment-controller", self._reconcile)
        self._deployments = self._desk.informer(DEPLOYMENTS)
        self._sets = self._desk.informer(REPLICA_SETS)
        self._pods = self._desk.informer(PODS)
        self._desk.follow(self._deployments)
        self._desk.follow_dependents(self._sets, DEPLOYMENTS.kind)
        self._desk.follow_orphans(
            self._sets, self._deployments, lambda one: one.spec.selector if one.spec else None
        )
        self._pods.add_handler(self._pod_changed)

    async def run(self, started: asyncio.Event) -> None:
        await self._desk.run(started)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """A deployment that recreates waits for the last pod of the old template."""
        if new is not None and pod_state.phase(new) not in pod_state.ENDED:
            return
        pod = new or old
        reference = controller_of(pod) if pod is not None else None
        if pod is None or reference is None or reference.kind != REPLICA_SETS.kind:
            return
        owner = self._sets.get(reference.name, pod.metadata.namespace)
        above = controller_of(owner) if owner is not None else None
        if above is not None and above.kind == DEPLOYMENTS.kind:
            self._desk.queue.enqueue(f"{pod.metadata.namespace}/{above.name}")

    async def _reconcile(self, key: str) -> Result | None:
        namespace, name = split_key(key)
        one = self._deployments.get(name, namespace)
        if one is None or one.spec is None:
            return None
        claims = claiming.plan(one, one.spec.selector, self._desk.here(self._sets, namespace))
        sets = await claiming.carry_out(self._desk.client, one, DEPLOYMENTS, REPLICA_SETS, self._sets, claims)
        new, old = split(one, sets)
        planned = plan(one, sets, self._has_old_pods(one, new, namespace))
        collisions = one.status.collision_count if one.status else None
        made = ""
        for action in planned.actions:
            match action:
                case Create():
                    created = await self._create(one, action)
                    if created is None:
                        collisions = (collisions or 0) + 1
                    else:
                        new, made = created, created.metadata.name
                case Resize():
                    await self._resize(one, action)
                case Annotate():
                    await self._annotate(action)
                case Remove(replica_set=surplus):
                    await self._desk.delete(REPLICA_SETS, surplus)
        one = await self._write_revision(one, planned)
        result = outcome(one, new, old, made, collisions, self._desk.clock.now())
        await self._desk.write_status(DEPLOYMENTS, self._deployments, one, one.status, result.status)
        self._tell(one, result.status.conditions)
        return Result(requeue_after=result.look_again)

    def _tell(self, one: Deployment, conditions: Sequence[object]) -> None:
        before = {c.type: c.reason for c in (one.status.conditions if one.status else ())}
        for condition in conditions:
            reason = getattr(condition, "reason", "")
            if reason == TIMED_OUT and before.get("Progressing") != TIMED_OUT:
                self._desk.recorder.warning(one, reason, getattr(condition, "message", ""))

    def _has_old_pods(self, one: Deployment, new: ReplicaSet | None, namespace: str) -> bool:
        """A pod of another template that has not ended; only deployments that recreate wait for them."""
        if one.spec is None or one.spec.strategy is None or one.spec.strategy.type != "Recreate":
            return False
        for pod in self._pods.by_index("namespace", namespace):
            reference = controller_of(pod)
            if reference is None or reference.kind != REPLICA_SETS.kind:
                continue
            if new is not None and reference.uid == new.metadata.uid:
                continue
            owner = self._sets.get(reference.name, namespace)
            if owner is None or not is_controlled_by(owner, one):
                continue
            if pod_state.phase(pod) not in pod_state.ENDED:
                return True
        return False

    async def _create(self, one: Deployment, action: Create) -> ReplicaSet | None:
        """The new replica set; None if its name is taken by another, so that the next try uses another."""
        assert one.spec is not None
        template = with_label(one.spec.template, HASH_LABEL, action.hash)
        selector = one.spec.selector or LabelSelector()
        labels = template.metadata.labels if template.metadata else {}
        wanted = ReplicaSet(
            metadata=ObjectMeta(
                name=action.name,
                namespace=one.metadata.namespace,
                labels=labels,
                annotations=action.annotations,
                owner_references=(owner_reference(one, DEPLOYMENTS),),
            ),
            spec=ReplicaSetSpec(
                replicas=action.replicas,
                min_ready_seconds=one.spec.min_ready_seconds,
                selector=msgspec.structs.replace(
                    selector, match_labels={**selector.match_labels, HASH_LABEL: action.hash}
                ),
                template=template,
            ),
        )
        try:
            created = await self._desk.create(REPLICA_SETS, self._sets, wanted)
        except errors.AlreadyExists:
            found = await self._desk.client.get(REPLICA_SETS, action.name, namespace=one.metadata.namespace)
            same = without_label(found.spec.template if found.spec else None, HASH_LABEL)
            if is_controlled_by(found, one) and same == without_label(one.spec.template, HASH_LABEL):
                return found
            return None
        if action.replicas:
            text = f"Scaled up replica set {action.name} from 0 to {action.replicas}"
            self._desk.recorder.normal(one, "ScalingReplicaSet", text)
        return created

    async def _resize(self, one: Deployment, action: Resize) -> None:
        changing = action.replica_set
        before = replicas_of(changing)
        patch = {"metadata": {"annotations": action.annotations}, "spec": {"replicas": action.replicas}}
        await self._desk.patch(REPLICA_SETS, self._sets, changing, patch)
        if before != action.replicas:
            direction = "up" if action.replicas > before else "down"
            name = changing.metadata.name
            text = f"Scaled {direction} replica set {name} from {before} to {action.replicas}"
            self._desk.recorder.normal(one, "ScalingReplicaSet", text)

    async def _annotate(self, action: Annotate) -> None:
        patch = {
            "metadata": {"annotations": action.annotations},
            "spec": {"minReadySeconds": action.min_ready_seconds or None},
        }
        await self._desk.patch(REPLICA_SETS, self._sets, action.replica_set, patch)

    async def _write_revision(self, one: Deployment, planned: Plan) -> Deployment:
        if not planned.revision or one.metadata.annotations.get(REVISION) == planned.revision:
            return one
        patch = {"metadata": {"annotations": {REVISION: planned.revision}}}
        return await self._desk.patch(DEPLOYMENTS, self._deployments, one, patch)
