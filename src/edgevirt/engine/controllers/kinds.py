"""The kinds the API serves at the moment, followed as custom resource definitions and API services change.

Discovery is asked again when one of those changes, several changes within a short time at once, and with
back-off while a group cannot be reached. Subscribers are told the whole new set.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from edgevirt.api.meta import KubeObject, Resource
from edgevirt.api.resources import API_SERVICES, CUSTOM_RESOURCE_DEFINITIONS
from edgevirt.kube import errors
from edgevirt.kube.backoff import Backoff, BackoffPolicy
from edgevirt.kube.client import Client
from edgevirt.kube.discovery import Served, ServedResource, discover
from edgevirt.kube.informer import Informer

log = logging.getLogger("edgevirt.engine.controllers.kinds")

COALESCE = 0.2
"""Seconds; installing a product brings dozens of definitions at once."""


class Kinds:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._backoff = Backoff(BackoffPolicy(base=1.0, cap=30.0))
        self._changed = asyncio.Event()
        self._changed.set()
        self._known = asyncio.Event()
        self._subscribers: list[Callable[[Served], None]] = []
        self.served = Served((), frozenset())
        self._informers = tuple(
            Informer(client, _metadata_of(resource))
            for resource in (CUSTOM_RESOURCE_DEFINITIONS, API_SERVICES)
        )
        for informer in self._informers:
            informer.add_handler(lambda old, new: self._changed.set())

    def subscribe(self, subscriber: Callable[[Served], None]) -> None:
        """Call `subscriber` with the kinds now, if they are known, and whenever they change."""
        self._subscribers.append(subscriber)
        if self._known.is_set():
            subscriber(self.served)

    def find(self, api_version: str, kind: str) -> Resource[KubeObject] | None:
        """The resource of a kind as an owner reference names it; any version of its group will do."""
        group = api_version.rpartition("/")[0]
        for served in self.served.resources:
            if served.resource.group == group and served.resource.kind == kind:
                return served.resource
        return None

    async def known(self) -> None:
        """Return once discovery succeeded for the first time."""
        await self._known.wait()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for informer in self._informers:
                group.create_task(informer.run())
            while True:
                await self._changed.wait()
                if self._known.is_set():
                    await self._client.clock.sleep(COALESCE)
                self._changed.clear()
                await self._refresh()

    async def _refresh(self) -> None:
        try:
            served = await discover(self._client)
        except errors.KubeError as error:
            self._retry_later({"error": str(error)})
            return
        if served.failed:
            self._retry_later({"groups": ",".join(sorted(served.failed))})
        else:
            self._backoff.reset()
        served = _keep_failed(self.served, served)
        if served != self.served or not self._known.is_set():
            self.served = served
            self._known.set()
            for subscriber in self._subscribers:
                subscriber(served)

    def _retry_later(self, about: dict[str, object]) -> None:
        delay = self._backoff.next()
        log.warning("discovery is incomplete, will retry", extra={**about, "retry_in": round(delay, 1)})
        self._client.clock.call_later(delay, self._changed.set)


def _keep_failed(before: Served, now: Served) -> Served:
    """Kinds of a group that cannot be asked right now are still there, as far as anybody knows."""
    names = {(entry.resource.group, entry.resource.plural) for entry in now.resources}
    kept = tuple(
        entry
        for entry in before.resources
        if entry.resource.api_version in now.failed
        and (entry.resource.group, entry.resource.plural) not in names
    )
    return Served((*now.resources, *kept), now.failed)


def deletable(served: Served) -> tuple[ServedResource, ...]:
    """Kinds whose objects can be listed, watched and deleted: those that can own or be owned."""
    return tuple(entry for entry in served.resources if entry.verbs >= {"list", "watch", "delete"})


def _metadata_of(resource: Resource[object]) -> Resource[KubeObject]:
    return Resource(
        resource.group, resource.version, resource.plural, resource.kind, KubeObject, resource.namespaced
    )
