"""Keeps the EndpointSlices of services with a selector; see `slices_plan`."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from edgevirt.api.core import Service
from edgevirt.api.discovery import EndpointSlice
from edgevirt.api.meta import ObjectMeta
from edgevirt.api.resources import ENDPOINT_SLICES, PODS, SERVICES
from edgevirt.engine.controllers.services.backends import backends, is_ours
from edgevirt.engine.controllers.services.following import follow_pods
from edgevirt.engine.controllers.services.slices_plan import (
    MANAGED_BY,
    MANAGER,
    SERVICE_LABEL,
    Content,
    labels_of,
    plan,
)
from edgevirt.engine.controllers.surroundings import Desk, Shared
from edgevirt.kube.objects import split_key
from edgevirt.kube.ownership import owner_reference


class EndpointSliceController:
    def __init__(self, shared: Shared) -> None:
        self._desk = Desk(shared, "endpointslice-controller", self._reconcile)
        self._services = self._desk.informer(SERVICES)
        self._pods = self._desk.informer(PODS)
        self._slices = self._desk.informer(ENDPOINT_SLICES)
        self._desk.follow(self._services)
        follow_pods(self._desk, self._services, self._pods)
        self._slices.add_handler(self._slice_changed)

    async def run(self, started: asyncio.Event) -> None:
        await self._desk.run(started)

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        for one in (old, new):
            if one is not None and one.metadata.labels.get(MANAGED_BY) == MANAGER:
                name = one.metadata.labels.get(SERVICE_LABEL, "")
                self._desk.queue.enqueue(f"{one.metadata.namespace}/{name}")

    async def _reconcile(self, key: str) -> None:
        namespace, name = split_key(key)
        service = self._services.get(name, namespace)
        ours = [
            one
            for one in self._desk.here(self._slices, namespace)
            if one.metadata.labels.get(SERVICE_LABEL) == name
            and one.metadata.labels.get(MANAGED_BY) == MANAGER
        ]
        if service is None or not is_ours(service):
            for one in ours:
                await self._desk.delete(ENDPOINT_SLICES, one)
            return
        if service.metadata.deletion_timestamp:
            return
        behind = backends(service, self._pods.by_index("namespace", namespace))
        planned = plan(service, behind, ours)
        for one, content in planned.update:
            await self._update(service, one, content)
        for content in planned.create:
            await self._desk.create(ENDPOINT_SLICES, self._slices, slice_of(service, content))
        for one in planned.delete:
            await self._desk.delete(ENDPOINT_SLICES, one)

    async def _update(self, service: Service, one: EndpointSlice, content: Content) -> None:
        gone = dict.fromkeys(one.metadata.labels.keys() - labels_of(service).keys())
        patch: dict[str, Any] = {
            "metadata": {"labels": {**gone, **labels_of(service)}},
            "endpoints": msgspec.to_builtins(content.endpoints),
            "ports": msgspec.to_builtins(content.ports),
        }
        await self._desk.patch(ENDPOINT_SLICES, self._slices, one, patch)


def slice_of(service: Service, content: Content) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(
            generate_name=f"{service.metadata.name}-",
            namespace=service.metadata.namespace,
            labels=labels_of(service),
            owner_references=(owner_reference(service, SERVICES),),
        ),
        address_type="IPv4",
        endpoints=content.endpoints,
        ports=content.ports,
    )
