"""What a workload controller stands on: shared caches, its own identity, a queue and a recorder of events.

Deleting is remembered until the cache agrees, so that a pod is not counted, or deleted, once more while the
watch is behind; creating and changing put the answer into the cache at once.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from edgevirt.api.meta import KubeObject, LabelSelector, Resource, Struct
from edgevirt.engine.controllers.identities import Identities
from edgevirt.engine.controllers.informers import BY_NAMESPACE, SharedInformers
from edgevirt.engine.controllers.kinds import Kinds
from edgevirt.engine.selection import selects
from edgevirt.kube import errors
from edgevirt.kube.client import Client
from edgevirt.kube.clock import Clock
from edgevirt.kube.controller import Controller, Reconcile
from edgevirt.kube.events import EventRecorder
from edgevirt.kube.informer import Informer
from edgevirt.kube.objects import key_text, uid_of
from edgevirt.kube.ownership import controller_of
from edgevirt.kube.status_patch import status_patch

T = TypeVar("T")
K = TypeVar("K", bound=KubeObject)
Owner = TypeVar("Owner", bound=KubeObject)


@dataclasses.dataclass(frozen=True, slots=True)
class Shared:
    """The same for all controllers of the process."""

    informers: SharedInformers
    identities: Identities
    kinds: Kinds
    on_gone: Callable[[Callable[[str], None]], None]
    """Call the given function with the namespace of every object that is gone."""

    @property
    def clock(self) -> Clock:
        return self.informers.client.clock


class Desk:
    """Where one controller works. `run` before anything else is used."""

    client: Client
    recorder: EventRecorder

    def __init__(
        self, shared: Shared, name: str, reconcile: Reconcile, workers: int = 2, component: str = ""
    ) -> None:
        """`name` is the service account; `component` how events call the controller, if otherwise."""
        self.name = name
        self._component = component or name
        self.clock = shared.clock
        self._shared = shared
        self._informers: list[Informer[Any]] = []
        self._deleted: set[str] = set()
        self.queue = Controller(name, reconcile, workers=workers, clock=shared.clock)

    def informer(self, resource: Resource[T]) -> Informer[T]:
        """The shared cache of a kind; `run` waits for it."""
        found = self._shared.informers.of(resource)
        self._informers.append(found)
        found.add_handler(self._forget)
        return found

    def _forget(self, old: object, new: object) -> None:
        """What the cache knows to be gone need not be remembered."""
        if new is None and old is not None:
            self._deleted.discard(uid_of(old))

    def here(self, informer: Informer[K], namespace: str) -> tuple[K, ...]:
        """What there is of a kind in a namespace, without what we have deleted."""
        found = informer.by_index(BY_NAMESPACE, namespace)
        return tuple(one for one in found if one.metadata.uid not in self._deleted)

    def follow(self, informer: Informer[K]) -> None:
        """Reconcile an object of this kind whenever it changes."""

        def changed(old: K | None, new: K | None) -> None:
            one = new if new is not None else old
            if one is not None:
                self.queue.enqueue(key_text(one))

        informer.add_handler(changed)

    def follow_dependents(self, informer: Informer[K], kind: str) -> None:
        """Reconcile the controller, of that kind, of an object that changes."""

        def changed(old: K | None, new: K | None) -> None:
            for one in (old, new):
                reference = controller_of(one) if one is not None else None
                if one is not None and reference is not None and reference.kind == kind:
                    self.queue.enqueue(f"{one.metadata.namespace}/{reference.name}")

        informer.add_handler(changed)

    def follow_orphans(
        self, orphans: Informer[K], owners: Informer[Owner], selector: Callable[[Owner], LabelSelector | None]
    ) -> None:
        """Reconcile every object that may want to adopt an object without a controller."""

        def changed(old: K | None, new: K | None) -> None:
            if new is None or controller_of(new) is not None or new.metadata.deletion_timestamp:
                return
            for one in self.here(owners, new.metadata.namespace):
                if selects(selector(one), new.metadata.labels):
                    self.queue.enqueue(key_text(one))

        orphans.add_handler(changed)

    async def run(self, started: asyncio.Event) -> None:
        """Work until cancelled."""
        self.client = await self._shared.identities.client(self.name)
        self.recorder = EventRecorder(self.client, component=self._component)
        for informer in self._informers:
            await informer.synced()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.recorder.run(), name=f"{self.name}-events")
            group.create_task(self.queue.run(), name=self.name)
            started.set()

    # Effects

    async def create(self, resource: Resource[K], informer: Informer[K], obj: K) -> K:
        created = await self.client.create(resource, obj)
        informer.put(created)
        return created

    async def delete(self, resource: Resource[K], one: K, propagation: str = "") -> None:
        """Delete it; one that is gone already is fine."""
        meta = one.metadata
        self._deleted.add(meta.uid)
        try:
            await self.client.delete(
                resource, meta.name, namespace=meta.namespace, uid=meta.uid, propagation=propagation
            )
        except errors.NotFound:
            return
        except BaseException:
            self._deleted.discard(meta.uid)
            raise

    async def patch(
        self,
        resource: Resource[K],
        informer: Informer[K],
        one: K,
        patch: dict[str, Any],
        subresource: str = "",
    ) -> K:
        """Merge `patch` into the object that was seen, and no other version of it. Raises Conflict."""
        meta = one.metadata
        guarded = {
            **patch,
            "metadata": {
                **patch.get("metadata", {}),
                "uid": meta.uid,
                "resourceVersion": meta.resource_version,
            },
        }
        changed = await self.client.patch(
            resource, meta.name, guarded, namespace=meta.namespace, subresource=subresource
        )
        informer.put(changed)
        return changed

    async def write_status(
        self, resource: Resource[K], informer: Informer[K], one: K, old: Struct | None, new: Struct
    ) -> None:
        """Write what changed of the status, if anything did. Raises Conflict."""
        patch = status_patch(one.metadata, old, new)
        if patch is None:
            return
        meta = one.metadata
        changed = await self.client.patch(
            resource, meta.name, patch, namespace=meta.namespace, subresource="status"
        )
        informer.put(changed)
