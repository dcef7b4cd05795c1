"""Removes pods that nobody else will: those of nodes that are gone, and too many that have ended.

* A pod bound to a node that does not exist is marked Failed and deleted without grace, once the node has been
  missing for a while (it may be about to register) and the API server confirms that there is no such node.
* A pod that is being deleted but was never bound has no kubelet to finish it.
* Of ended pods the newest are kept for inspection; beyond the threshold the oldest are deleted.

Pods on a node that merely does not answer are left alone, see `node_lifecycle`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import logging
from collections.abc import Iterable, Mapping, Set

from edgevirt.api.core import Node, Pod
from edgevirt.api.resources import NODES, PODS
from edgevirt.engine.controllers.informers import SharedInformers
from edgevirt.kube import errors
from edgevirt.kube.client import PatchType
from edgevirt.kube.clock import timestamp
from edgevirt.kube.controller import Controller, Result
from edgevirt.kube.events import EventRecorder
from edgevirt.kube.objects import key_text

log = logging.getLogger("edgevirt.engine.controllers.pod_gc")

QUARANTINE = 40.0
"""Seconds a node has to be missing before its pods are."""

ENDED = frozenset({"Succeeded", "Failed"})
_EVERYTHING = "all"


class Cause(enum.Enum):
    ORPHANED = "its node does not exist"
    NEVER_BOUND = "it was deleted before it was bound"
    SURPLUS = "too many ended pods are kept"


@dataclasses.dataclass(frozen=True, slots=True)
class Removal:
    pod: Pod
    cause: Cause


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """`look_again` in seconds: when a node will have been missing for long enough; None = no need."""

    removals: tuple[Removal, ...]
    look_again: float | None


def plan(pods: Iterable[Pod], nodes: Set[str], missing_for: Mapping[str, float], keep_ended: int) -> Plan:
    """`missing_for`: seconds since a node that pods refer to was first found missing."""
    removals: list[Removal] = []
    ended: list[Pod] = []
    waits: list[float] = []
    for pod in pods:
        node = pod.spec.node_name if pod.spec else ""
        if not node:
            if pod.metadata.deletion_timestamp:
                removals.append(Removal(pod, Cause.NEVER_BOUND))
                continue
        elif node not in nodes:
            left = QUARANTINE - missing_for.get(node, 0.0)
            if left <= 0:
                removals.append(Removal(pod, Cause.ORPHANED))
                continue
            waits.append(left)
        if pod.status is not None and pod.status.phase in ENDED and not pod.metadata.deletion_timestamp:
            ended.append(pod)
    ended.sort(key=lambda one: (one.metadata.creation_timestamp, one.metadata.namespace, one.metadata.name))
    removals += [Removal(pod, Cause.SURPLUS) for pod in ended[: max(0, len(ended) - keep_ended)]]
    return Plan(tuple(removals), min(waits, default=None))


class PodCollector:
    """Reads pods and nodes from the shared caches."""

    def __init__(self, informers: SharedInformers, recorder: EventRecorder, keep_ended: int) -> None:
        client = self._client = informers.client
        self._recorder = recorder
        self._keep_ended = keep_ended
        self._pods = informers.of(PODS)
        self._nodes = informers.of(NODES)
        self._missing_since: dict[str, float] = {}
        self._controller = Controller("pod-gc", self._reconcile, workers=1, clock=client.clock)
        self._pods.add_handler(self._pod_changed)
        self._nodes.add_handler(self._node_changed)

    async def run(self, started: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            await self._pods.synced()
            await self._nodes.synced()
            self._controller.enqueue(_EVERYTHING)
            group.create_task(self._controller.run(), name="pod-gc")
            started.set()

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None:
            return
        node = new.spec.node_name if new.spec else ""
        unknown_node = bool(node) and self._nodes.get(node) is None
        never_bound = not node and bool(new.metadata.deletion_timestamp)
        if unknown_node or never_bound or (_ended(new) and not (old is not None and _ended(old))):
            self._controller.enqueue(_EVERYTHING)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None or old is None:
            self._controller.enqueue(_EVERYTHING)

    async def _reconcile(self, key: str) -> Result | None:
        nodes = {node.metadata.name for node in self._nodes.items()}
        pods = tuple(self._pods.items())
        now = self._client.clock.monotonic()
        referred = {pod.spec.node_name for pod in pods if pod.spec and pod.spec.node_name} - nodes
        self._missing_since = {node: self._missing_since.get(node, now) for node in referred}
        missing_for = {node: now - since for node, since in self._missing_since.items()}
        planned = plan(pods, nodes, missing_for, self._keep_ended)
        confirmed: dict[str, bool] = {}
        for removal in planned.removals:
            if removal.cause is Cause.ORPHANED:
                node = removal.pod.spec.node_name if removal.pod.spec else ""
                if node not in confirmed:
                    confirmed[node] = await self._is_gone(node)
                if not confirmed[node]:
                    continue
            await self._remove(removal)
        return Result(requeue_after=planned.look_again)

    async def _is_gone(self, node: str) -> bool:
        try:
            await self._client.get(NODES, node)
        except errors.NotFound:
            return True
        return False

    async def _remove(self, removal: Removal) -> None:
        pod, meta = removal.pod, removal.pod.metadata
        about = {"pod": key_text(pod), "uid": meta.uid, "cause": removal.cause.value}
        try:
            if removal.cause is Cause.ORPHANED and not _ended(pod):
                await self._fail(pod)
            await self._client.delete(
                PODS, meta.name, namespace=meta.namespace, grace_period_seconds=0, uid=meta.uid
            )
        except (errors.NotFound, errors.Conflict):
            return
        log.info("removed a pod", extra=about)
        if removal.cause is Cause.ORPHANED:
            self._recorder.normal(pod, "DeletingOrphanedPod", f"Deleted the pod: {removal.cause.value}")

    async def _fail(self, pod: Pod) -> None:
        """Whoever owns the pod shall see that it ended badly, not only that it vanished."""
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists",
            "lastTransitionTime": timestamp(self._client.clock.now()),
        }
        patch = {
            "metadata": {"uid": pod.metadata.uid},
            "status": {"phase": "Failed", "conditions": [condition]},
        }
        await self._client.patch(
            PODS,
            pod.metadata.name,
            patch,
            namespace=pod.metadata.namespace,
            type=PatchType.STRATEGIC,
            subresource="status",
        )


def _ended(pod: Pod) -> bool:
    return pod.status is not None and pod.status.phase in ENDED
