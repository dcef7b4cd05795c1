"""Follows Services and EndpointSlices and keeps the node's rules in line; see `rules` for what they are.

Changes that come close together become one rule set. A rule set that is loaded already is not loaded again;
one that cannot be loaded is tried again with back-off, and the old one stays.
"""

from __future__ import annotations

import asyncio
import logging

from edgevirt.api.discovery import EndpointSlice
from edgevirt.api.resources import ENDPOINT_SLICES, SERVICES
from edgevirt.engine.service_proxy import Settings
from edgevirt.engine.service_proxy.links import Bridge
from edgevirt.engine.service_proxy.rules import Place, script
from edgevirt.engine.service_proxy.targets import SERVICE_LABEL, Target, entries
from edgevirt.kube.backoff import Backoff, BackoffPolicy
from edgevirt.kube.client import Client
from edgevirt.kube.informer import Informer
from edgevirt.linux import nft

log = logging.getLogger("edgevirt.engine.service_proxy")

COALESCE = 0.05
"""Seconds; a rollout changes several slices at once."""
_OWN = ("default", "kubernetes")


class ServiceProxy:
    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._services = Informer(client, SERVICES)
        self._slices = Informer(client, ENDPOINT_SLICES)
        self._changed = asyncio.Event()
        self._loaded = ""
        self._backoff = Backoff(BackoffPolicy(base=0.5, cap=30.0))
        for informer in (self._services, self._slices):
            informer.add_handler(lambda old, new: self._changed.set())

    async def run(self, started: asyncio.Event) -> None:
        settings = self._settings
        bridge = Bridge(settings.bridge, settings.service_subnet, settings.api_server is not None)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._services.run(), name="proxy-services")
            group.create_task(self._slices.run(), name="proxy-slices")
            group.create_task(bridge.run(), name="proxy-bridge")
            await self._services.synced()
            await self._slices.synced()
            self._changed.set()
            while True:
                await self._changed.wait()
                if started.is_set():
                    await self._client.clock.sleep(COALESCE)
                self._changed.clear()
                await self._load()
                started.set()

    async def _load(self) -> None:
        by_service: dict[tuple[str, str], list[EndpointSlice]] = {}
        for one in self._slices.items():
            name = one.metadata.labels.get(SERVICE_LABEL, "")
            by_service.setdefault((one.metadata.namespace, name), []).append(one)
        wanted = script(
            Place(
                self._settings.bridge,
                self._settings.pod_subnet,
                self._settings.service_subnet,
                self._api_server(by_service.get(_OWN, [])),
            ),
            entries(self._services.items(), by_service, self._settings.node),
        )
        if wanted == self._loaded:
            return
        try:
            await self._finish(asyncio.ensure_future(asyncio.to_thread(nft.load, wanted)))
        except nft.NftError as error:
            delay = self._backoff.next()
            log.error("the rules of services cannot be set", extra={"error": str(error), "retry_in": delay})
            self._client.clock.call_later(delay, self._changed.set)
            return
        self._backoff.reset()
        self._loaded = wanted

    @staticmethod
    async def _finish(loading: asyncio.Future[None]) -> None:
        """Wait for the thread even when cancelled: nothing may be loaded after we have ended."""
        try:
            await asyncio.shield(loading)
        except asyncio.CancelledError:
            await asyncio.wait([loading])
            raise

    def _api_server(self, slices: list[EndpointSlice]) -> tuple[Target, Target] | None:
        real = self._settings.api_server
        if real is None:
            return None
        for one in slices:
            for endpoint in one.endpoints:
                for port in one.ports:
                    if endpoint.addresses and port.port:
                        return (endpoint.addresses[0], port.port), real
        return None
