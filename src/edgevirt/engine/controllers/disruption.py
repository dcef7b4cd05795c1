"""Keeps the status of PodDisruptionBudgets, which evictions spend; see `disruption_plan`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from edgevirt.api.core import Pod
from edgevirt.api.meta import OwnerReference, Resource
from edgevirt.api.policy import PodDisruptionBudget
from edgevirt.api.resources import POD_DISRUPTION_BUDGETS, PODS
from edgevirt.engine.controllers.disruption_plan import failed, needs_scale, outcome
from edgevirt.engine.controllers.surroundings import Desk, Shared
from edgevirt.engine.selection import selects
from edgevirt.kube import errors
from edgevirt.kube.controller import Result
from edgevirt.kube.objects import key_text, split_key
from edgevirt.kube.ownership import controller_of

Json = dict[str, Any]


class UnknownScale(Exception):
    """It cannot be said how many pods a controller wants; the text is Kubernetes'."""


class DisruptionController:
    def __init__(self, shared: Shared) -> None:
        self._desk = Desk(shared, "disruption-controller", self._reconcile, component="controllermanager")
        self._kinds = shared.kinds
        self._budgets = self._desk.informer(POD_DISRUPTION_BUDGETS)
        self._pods = self._desk.informer(PODS)
        self._desk.follow(self._budgets)
        self._pods.add_handler(self._pod_changed)

    async def run(self, started: asyncio.Event) -> None:
        await self._desk.run(started)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        one = new or old
        if one is None:
            return
        for budget in self._desk.here(self._budgets, one.metadata.namespace):
            selector = budget.spec.selector if budget.spec else None
            if any(each is not None and selects(selector, each.metadata.labels) for each in (old, new)):
                self._desk.queue.enqueue(key_text(budget))

    async def _reconcile(self, key: str) -> Result | None:
        namespace, name = split_key(key)
        budget = self._budgets.get(name, namespace)
        if budget is None or budget.spec is None:
            return None
        selector = budget.spec.selector
        pods = [
            pod
            for pod in self._pods.by_index("namespace", namespace)
            if selects(selector, pod.metadata.labels)
        ]
        now = self._desk.clock.now()
        try:
            wanted = await self._wanted(pods) if needs_scale(budget.spec) else len(pods)
        except UnknownScale as error:
            self._desk.recorder.warning(
                budget,
                "CalculateExpectedPodCountFailed",
                f"Failed to calculate the number of expected pods: {error}",
            )
            await self._write(budget, failed(budget, str(error), now))
            return None
        if not pods:
            self._desk.recorder.normal(budget, "NoPods", "No matching pods found")
        found = outcome(budget, pods, wanted, now)
        await self._write(budget, found.status)
        return Result(requeue_after=found.look_again)

    async def _write(self, budget: PodDisruptionBudget, status: Any) -> None:
        await self._desk.write_status(POD_DISRUPTION_BUDGETS, self._budgets, budget, budget.status, status)

    async def _wanted(self, pods: Sequence[Pod]) -> int:
        """How many pods the controllers of these pods want. Raises UnknownScale."""
        controllers: dict[str, int] = {}
        for pod in pods:
            reference = controller_of(pod)
            if reference is None:
                raise UnknownScale(f'found no controller ref for pod "{pod.metadata.name}"')
            if reference.uid not in controllers:
                uid, replicas = await self._scale(reference, pod.metadata.namespace)
                controllers[uid] = replicas
                if uid != reference.uid:
                    controllers.setdefault(reference.uid, 0)
        return sum(controllers.values())

    async def _scale(self, reference: OwnerReference, namespace: str) -> tuple[str, int]:
        """(uid of the one that decides about the size, the size): of a replica set that is its deployment."""
        owner = await self._get(reference, namespace, "")
        if reference.kind == "ReplicaSet" and reference.api_version.startswith("apps/"):
            above = controller_of(owner)
            if above is not None and above.kind == "Deployment":
                return above.uid, _replicas(await self._get(above, namespace, ""))
        if reference.kind in ("ReplicaSet", "StatefulSet", "Deployment"):
            return reference.uid, _replicas(owner)
        return reference.uid, _replicas(await self._get(reference, namespace, "scale"))

    async def _get(self, reference: OwnerReference, namespace: str, subresource: str) -> Json:
        found = self._kinds.find(reference.api_version, reference.kind)
        plural = reference.kind.lower() + "s"
        problem = (
            f"{plural}.{reference.api_version.rpartition('/')[0]} does not implement the scale subresource"
        )
        if found is None:
            raise UnknownScale(problem)
        resource = Resource(found.group, found.version, found.plural, found.kind, dict, found.namespaced)
        try:
            return await self._desk.client.get(
                resource, reference.name, namespace=namespace, subresource=subresource
            )
        except (errors.NotFound, errors.MethodNotAllowed):
            raise UnknownScale(problem) from None


def _replicas(obj: Json) -> int:
    replicas = (obj.get("spec") or {}).get("replicas")
    return replicas if isinstance(replicas, int) else 0
