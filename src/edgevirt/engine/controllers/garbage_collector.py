"""Deletes what nobody owns any more, and carries out foreground and orphaning deletions.

All kinds that can be listed, watched and deleted are watched for their metadata alone; events are left out,
they have neither owners nor dependents. Every write carries the uid and the version the decision was based
on, so a decision on outdated knowledge fails with a conflict and is made again. An owner that the graph
does not know is looked up at the API server before anything is concluded. While a kind's first list is
outstanding no finalizer is removed: dependents might be hiding in it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from edgevirt.api.meta import KubeObject, OwnerReference, Resource
from edgevirt.engine import failpoints
from edgevirt.engine.controllers.kinds import Kinds, deletable
from edgevirt.engine.controllers.ownership_graph import (
    Action,
    Delete,
    Graph,
    Item,
    RemoveFinalizer,
    SetOwners,
    plan,
)
from edgevirt.kube import errors
from edgevirt.kube.client import Client
from edgevirt.kube.clock import within
from edgevirt.kube.controller import Controller
from edgevirt.kube.discovery import Served
from edgevirt.kube.informer import Informer

log = logging.getLogger("edgevirt.engine.controllers.garbage_collector")

IGNORED = frozenset({("", "events"), ("events.k8s.io", "events")})
REMEMBERED_ABSENT = 2048
FIRST_SYNC = 30.0
KindKey = tuple[str, str]


class GarbageCollector:
    def __init__(self, client: Client, kinds: Kinds) -> None:
        self._client = client
        self._kinds = kinds
        self._graph = Graph()
        self._absent: OrderedDict[str, None] = OrderedDict()
        self._informers: dict[KindKey, tuple[Informer[KubeObject], asyncio.Task[None]]] = {}
        self._gone_listeners: list[Callable[[str], None]] = []
        self._appearances: dict[KindKey, asyncio.Event] = {}
        self._controller = Controller("garbage-collector", self._reconcile, clock=client.clock)

    def on_gone(self, listener: Callable[[str], None]) -> None:
        """Call `listener(namespace)` whenever an object of a namespace is gone."""
        self._gone_listeners.append(listener)

    def appearance(self, group: str, plural: str) -> asyncio.Event:
        """Set once there is, or has been, an object of that kind: the moment its controllers are needed.

        The service `kubernetes` of every cluster, and its endpoints, need none.
        """
        event = self._appearances.setdefault((group, plural), asyncio.Event())
        for item in self._graph.items():
            if (item.resource.group, item.resource.plural) == (group, plural) and not _is_own(item):
                event.set()
        return event

    async def run(self, started: asyncio.Event) -> None:
        await self._kinds.known()
        async with asyncio.TaskGroup() as group:
            self._kinds.subscribe(lambda served: self._follow(served, group))
            try:
                await within(self._client.clock, FIRST_SYNC, self._synced())
            except TimeoutError:
                # Owners are looked up anyway and finalizers still wait: this costs requests, not correctness.
                log.warning("some kinds cannot be listed, starting without them", extra=self._unsynced())
            group.create_task(self._controller.run(), name="garbage-collector")
            started.set()

    async def _synced(self) -> None:
        for informer, _ in tuple(self._informers.values()):
            await informer.synced()

    def _unsynced(self) -> dict[str, object]:
        missing = (one.resource.group_resource for one, _ in self._informers.values() if not one.has_synced)
        return {"kinds": ",".join(sorted(missing))}

    # What is known

    def _follow(self, served: Served, group: asyncio.TaskGroup) -> None:
        wanted = {
            (entry.resource.group, entry.resource.plural): entry.resource
            for entry in deletable(served)
            if (entry.resource.group, entry.resource.plural) not in IGNORED
        }
        for key in self._informers.keys() - wanted.keys():
            informer, task = self._informers.pop(key)
            task.cancel()
            for obj in informer.items():
                # A kind that is not served any more proves nothing about its objects, and a hiccup of
                # discovery must not delete what they own: they are forgotten, not absent.
                self._graph.remove(obj.metadata.uid)
        for key, resource in wanted.items():
            known = self._informers.get(key)
            if known is not None:
                if known[0].resource == resource:
                    continue
                known[1].cancel()  # served in another version now; the graph keeps what it has
            informer = Informer(self._client, resource)
            informer.add_handler(self._handler(resource))
            task = group.create_task(self._watch(informer), name=f"gc-{resource.group_resource}")
            self._informers[key] = (informer, task)

    async def _watch(self, informer: Informer[KubeObject]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(informer.run())
            await informer.synced()
            self._settle(informer)

    def _settle(self, informer: Informer[KubeObject]) -> None:
        """The first list of a kind is in: look again at what had to wait for it."""
        resource = informer.resource
        for item in self._graph.items():
            if (item.resource.group, item.resource.plural) == (resource.group, resource.plural):
                current = informer.get(item.name, item.namespace)
                if current is None or current.metadata.uid != item.uid:
                    # Known from an earlier watch of this kind, and deleted between that and this one.
                    self._forget(item.uid, item.namespace)
            elif (
                item.waits_for_dependents
                or item.orphans_dependents
                or any(owner.uid not in self._graph for owner in item.owners)
            ):
                self._controller.enqueue(item.uid)

    def _handler(
        self, resource: Resource[KubeObject]
    ) -> Callable[[KubeObject | None, KubeObject | None], None]:
        def changed(old: KubeObject | None, new: KubeObject | None) -> None:
            if new is not None:
                item = _item(resource, new)
                self._enqueue(self._graph.put(item))
                awaited = self._appearances.get((resource.group, resource.plural))
                if awaited is not None and not _is_own(item):
                    awaited.set()
            elif old is not None:
                self._forget(old.metadata.uid, old.metadata.namespace)

        return changed

    def _forget(self, uid: str, namespace: str) -> None:
        self._remember_absent(uid)
        self._enqueue(self._graph.remove(uid))
        for listener in self._gone_listeners:
            listener(namespace)

    def _enqueue(self, uids: tuple[str, ...]) -> None:
        for uid in uids:
            self._controller.enqueue(uid)

    # What to do

    async def _reconcile(self, uid: str) -> None:
        item = self._graph.get(uid)
        if item is None:
            return
        for owner in item.owners:
            if owner.uid not in self._graph and owner.uid not in self._absent:
                await self._look_up(owner, item)
        item = self._graph.get(uid)
        if item is None:
            return
        for action in plan(self._graph, item, self._absent.keys()):
            if isinstance(action, RemoveFinalizer) and not self._all_synced():
                return
            await self._carry_out(action)

    def _all_synced(self) -> bool:
        return all(informer.has_synced for informer, _ in self._informers.values())

    async def _look_up(self, owner: OwnerReference, dependent: Item) -> None:
        """Ask the API server about an owner the graph does not know, and remember if there is none."""
        resource = self._kinds.find(owner.api_version, owner.kind)
        if resource is None or (resource.namespaced and not dependent.namespace):
            # A kind that is not served (any more), or a reference that cannot be resolved: nothing is proven.
            return
        namespace = dependent.namespace if resource.namespaced else ""
        try:
            found = await self._client.get(resource, owner.name, namespace=namespace)
        except errors.NotFound:
            self._remember_absent(owner.uid)
        else:
            if found.metadata.uid != owner.uid:
                self._remember_absent(owner.uid)  # a namesake; uids are never used twice

    def _remember_absent(self, uid: str) -> None:
        self._absent[uid] = None
        if len(self._absent) > REMEMBERED_ABSENT:
            self._absent.popitem(last=False)

    async def _carry_out(self, action: Action) -> None:
        item = action.item
        about = {"object": f"{item.resource.group_resource} {item.namespace}/{item.name}", "uid": item.uid}
        try:
            match action:
                case Delete(propagation=propagation):
                    await self._client.delete(
                        item.resource,
                        item.name,
                        namespace=item.namespace,
                        propagation=propagation.value,
                        uid=item.uid,
                        resource_version=item.version,
                    )
                    log.info("deleted an object without owners", extra=about)
                    failpoints.hit(failpoints.DEPENDENT_DELETED)
                case SetOwners(owners=owners):
                    await self._patch(item, {"ownerReferences": msgspec.to_builtins(owners)})
                case RemoveFinalizer(finalizer=finalizer):
                    failpoints.hit(failpoints.FINALIZER_REMOVING)
                    left = [one for one in item.finalizers if one != finalizer]
                    await self._patch(item, {"finalizers": left})
        except errors.NotFound:
            return  # what we wanted, or more

    async def _patch(self, item: Item, change: dict[str, object]) -> None:
        patch = {"metadata": {"uid": item.uid, "resourceVersion": item.version, **change}}
        await self._client.patch(item.resource, item.name, patch, namespace=item.namespace)


def _item(resource: Resource[KubeObject], obj: KubeObject) -> Item:
    meta = obj.metadata
    return Item(
        resource=resource,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        version=meta.resource_version,
        owners=meta.owner_references,
        finalizers=meta.finalizers,
        deleting=bool(meta.deletion_timestamp),
    )


def _is_own(item: Item) -> bool:
    return (item.namespace, item.name) == ("default", "kubernetes")
