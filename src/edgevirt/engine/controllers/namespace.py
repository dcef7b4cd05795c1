"""Deletion of namespaces: everything in it first, then its finalizer, and with that itself.

Pods go first and everything else after they are gone, as in Kubernetes: what protects or configures pods must
not vanish under them. Progress is driven by the garbage collector's watches (an object of the namespace is
gone), with a slow timer for kinds nobody can watch. While something is left, the conditions of the namespace
say what, in Kubernetes' words.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

from edgevirt.api.core import Namespace, NamespaceCondition
from edgevirt.api.meta import KubeObject, Resource
from edgevirt.api.resources import NAMESPACES
from edgevirt.engine import failpoints
from edgevirt.engine.controllers.garbage_collector import GarbageCollector
from edgevirt.engine.controllers.kinds import Kinds
from edgevirt.kube import errors
from edgevirt.kube.client import Client, PatchType
from edgevirt.kube.clock import timestamp
from edgevirt.kube.controller import Controller, Result
from edgevirt.kube.discovery import ServedResource
from edgevirt.kube.informer import Informer

log = logging.getLogger("edgevirt.engine.controllers.namespace")

FINALIZER = "kubernetes"
LOOK_AGAIN = 5.0
MAX_LISTED = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Remainder:
    """What is left of one kind: how many objects, and how many of them each finalizer holds."""

    resource: Resource[KubeObject]
    count: int
    finalizers: tuple[tuple[str, int], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Survey:
    """What was found in a namespace that is being deleted."""

    remaining: tuple[Remainder, ...] = ()
    failures: tuple[str, ...] = ()
    undiscovered: frozenset[str] = frozenset()

    @property
    def empty(self) -> bool:
        """Whether it is proven that nothing is left."""
        return not self.remaining and not self.failures and not self.undiscovered


def conditions(survey: Survey) -> tuple[NamespaceCondition, ...]:
    """The conditions that describe what still holds the namespace."""
    holding: collections.Counter[str] = collections.Counter()
    for left in survey.remaining:
        for finalizer, count in left.finalizers:
            holding[finalizer] += count
    groups = ", ".join(sorted(survey.undiscovered))
    counts = ", ".join(
        sorted(
            f"{left.resource.group_resource} has {left.count} resource instances" for left in survey.remaining
        )
    )
    failed = "; ".join(survey.failures)
    finalizers = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(holding.items()))
    return (
        _condition(
            "NamespaceDeletionDiscoveryFailure",
            f"Discovery failed for some groups, {len(survey.undiscovered)} failing: {groups}"
            if groups
            else "",
            ("DiscoveryFailed", "ResourcesDiscovered", "All resources successfully discovered"),
        ),
        _condition(
            "NamespaceDeletionContentFailure",
            f"Failed to delete all resource types, {len(survey.failures)} remaining: {failed}"
            if failed
            else "",
            (
                "ContentDeletionFailed",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
        ),
        _condition(
            "NamespaceContentRemaining",
            f"Some resources are remaining: {counts}" if counts else "",
            ("SomeResourcesRemain", "ContentRemoved", "All content successfully removed"),
        ),
        _condition(
            "NamespaceFinalizersRemaining",
            f"Some content in the namespace has finalizers remaining: {finalizers}" if finalizers else "",
            ("SomeFinalizersRemain", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    )


def phases(kinds: Sequence[ServedResource]) -> tuple[tuple[ServedResource, ...], ...]:
    """Kinds to delete, in the order of the phases; a phase begins when nothing of the one before is left."""
    inside = [kind for kind in kinds if kind.resource.namespaced and kind.verbs >= {"list", "delete"}]
    pods = tuple(kind for kind in inside if (kind.resource.group, kind.resource.plural) == ("", "pods"))
    others = tuple(kind for kind in inside if kind not in pods)
    return pods, others


class NamespaceController:
    def __init__(self, client: Client, kinds: Kinds, collector: GarbageCollector) -> None:
        self._client = client
        self._kinds = kinds
        self._namespaces = Informer(client, NAMESPACES)
        self._controller = Controller("namespace", self._reconcile, workers=2, clock=client.clock)
        self._namespaces.add_handler(self._changed)
        collector.on_gone(self._something_gone)

    async def run(self, started: asyncio.Event) -> None:
        await self._kinds.known()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._namespaces.run())
            await self._namespaces.synced()
            group.create_task(self._controller.run(), name="namespace")
            started.set()

    def _changed(self, old: Namespace | None, new: Namespace | None) -> None:
        if new is not None and _is_ours_to_finish(new):
            self._controller.enqueue(new.metadata.name)

    def _something_gone(self, name: str) -> None:
        namespace = self._namespaces.get(name)
        if namespace is not None and _is_ours_to_finish(namespace):
            self._controller.enqueue(name)

    async def _reconcile(self, name: str) -> Result | None:
        namespace = self._namespaces.get(name)
        if namespace is None or not _is_ours_to_finish(namespace):
            return None
        survey = await self._empty(name)
        await self._report(namespace, survey)
        if not survey.empty:
            return Result(requeue_after=LOOK_AGAIN)
        failpoints.hit(failpoints.NAMESPACE_FINALIZING)
        await self._finalize(namespace)
        log.info("namespace emptied and released", extra={"namespace": name})
        return None

    async def _empty(self, name: str) -> Survey:
        served = self._kinds.served
        for phase in phases(served.resources):
            answers = await asyncio.gather(*(self._empty_kind(kind, name) for kind in phase))
            remaining = tuple(answer for answer in answers if isinstance(answer, Remainder) and answer.count)
            failures = tuple(sorted(answer for answer in answers if isinstance(answer, str)))
            if remaining or failures:
                return Survey(remaining, failures, served.failed)
        return Survey(undiscovered=served.failed)

    async def _empty_kind(self, kind: ServedResource, namespace: str) -> Remainder | str:
        """Delete all objects of a kind; returns what is left, or why it failed."""
        resource = kind.resource
        try:
            found = await self._client.list(resource, namespace=namespace, limit=MAX_LISTED)
            if any(not obj.metadata.deletion_timestamp for obj in found.items):
                await self._delete_all(kind, namespace, found.items)
                failpoints.hit(failpoints.NAMESPACE_KIND_EMPTIED)
                found = await self._client.list(resource, namespace=namespace, limit=MAX_LISTED)
        except (errors.NotFound, errors.MethodNotAllowed):
            return Remainder(resource, 0)  # the kind itself is gone
        except errors.KubeError as error:
            return f"{resource.group_resource}: {error}"
        held = collections.Counter(one for obj in found.items for one in obj.metadata.finalizers)
        return Remainder(resource, len(found.items), tuple(sorted(held.items())))

    async def _delete_all(self, kind: ServedResource, namespace: str, found: Sequence[KubeObject]) -> None:
        if "deletecollection" in kind.verbs:
            await self._client.delete_collection(kind.resource, namespace=namespace, propagation="Background")
            return
        for obj in found:
            meta = obj.metadata
            if not meta.deletion_timestamp:
                with contextlib.suppress(errors.NotFound):
                    await self._client.delete(
                        kind.resource, meta.name, namespace=namespace, uid=meta.uid, propagation="Background"
                    )

    async def _report(self, namespace: Namespace, survey: Survey) -> None:
        known = {one.type: one for one in (namespace.status.conditions if namespace.status else ())}
        if survey.empty and not known:
            return  # it never had to wait, so there is nothing to explain
        now = timestamp(self._client.clock.now())
        changed: list[dict[str, Any]] = []
        for condition in conditions(survey):
            before = known.get(condition.type)
            if before is None or (before.status, before.message) != (condition.status, condition.message):
                since = before.last_transition_time if before and before.status == condition.status else now
                changed.append(
                    {
                        "type": condition.type,
                        "status": condition.status,
                        "reason": condition.reason,
                        "message": condition.message,
                        "lastTransitionTime": since,
                    }
                )
        if not changed:
            return
        try:
            await self._client.patch(
                NAMESPACES,
                namespace.metadata.name,
                {"status": {"conditions": changed}},
                type=PatchType.STRATEGIC,
                subresource="status",
            )
        except errors.NotFound:
            return

    async def _finalize(self, namespace: Namespace) -> None:
        name = namespace.metadata.name
        whole = Resource("", "v1", "namespaces", "Namespace", dict, namespaced=False)
        try:
            body = await self._client.get(whole, name)
            if body["metadata"].get("uid") != namespace.metadata.uid:
                return
            left = [one for one in body.get("spec", {}).get("finalizers") or () if one != FINALIZER]
            body["spec"] = {**body.get("spec", {}), "finalizers": left}
            await self._client.replace(whole, body, subresource="finalize")
        except errors.NotFound:
            return


def _is_ours_to_finish(namespace: Namespace) -> bool:
    return bool(namespace.metadata.deletion_timestamp) and FINALIZER in (
        namespace.spec.finalizers if namespace.spec else ()
    )


def _condition(type_: str, problem: str, words: tuple[str, str, str]) -> NamespaceCondition:
    bad_reason, good_reason, good_message = words
    return NamespaceCondition(
        type=type_,
        status="True" if problem else "False",
        reason=bad_reason if problem else good_reason,
        message=problem or good_message,
    )
