"""Keeps the Endpoints of services with a selector: the older form of slices, which clients still read.

Pods being deleted are left out, except where the service publishes everybody. More than a thousand addresses
are cut off and the object says so, as in Kubernetes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from edgevirt.api.core import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, Service
from edgevirt.api.meta import ObjectMeta
from edgevirt.api.resources import ENDPOINTS, PODS, SERVICES
from edgevirt.engine.controllers.services.backends import (
    HEADLESS,
    Backend,
    Port,
    backends,
    is_headless,
    is_ours,
)
from edgevirt.engine.controllers.services.following import follow_pods
from edgevirt.engine.controllers.surroundings import Desk, Shared
from edgevirt.kube import errors
from edgevirt.kube.objects import split_key

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
CAPACITY = 1000


def subsets(behind: Sequence[Backend], everybody: bool) -> tuple[EndpointSubset, ...]:
    """Addresses by the ports at which they answer (pure)."""
    groups: dict[tuple[Port, ...], tuple[list[EndpointAddress], list[EndpointAddress]]] = {}
    for one in behind[:CAPACITY]:
        if one.terminating and not everybody:
            continue
        address = EndpointAddress(
            ip=one.address, hostname=one.hostname, node_name=one.node, target_ref=one.target
        )
        ready, waiting = groups.setdefault(one.ports, ([], []))
        (ready if one.ready else waiting).append(address)
    return tuple(
        EndpointSubset(
            addresses=tuple(ready),
            not_ready_addresses=tuple(waiting),
            ports=tuple(
                EndpointPort(
                    name=port.name,
                    port=port.number,
                    protocol=port.protocol,
                    app_protocol=port.app_protocol,
                )
                for port in ports
            ),
        )
        for ports, (ready, waiting) in groups.items()
    )


def labels_of(service: Service) -> dict[str, str]:
    own = {key: value for key, value in service.metadata.labels.items() if key != HEADLESS}
    return {**own, **({HEADLESS: ""} if is_headless(service) else {}), MANAGED_BY: MANAGER}


class EndpointsController:
    def __init__(self, shared: Shared) -> None:
        self._desk = Desk(shared, "endpoint-controller", self._reconcile)
        self._services = self._desk.informer(SERVICES)
        self._pods = self._desk.informer(PODS)
        self._endpoints = self._desk.informer(ENDPOINTS)
        self._desk.follow(self._services)
        self._desk.follow(self._endpoints)
        follow_pods(self._desk, self._services, self._pods)

    async def run(self, started: asyncio.Event) -> None:
        await self._desk.run(started)

    async def _reconcile(self, key: str) -> None:
        namespace, name = split_key(key)
        service = self._services.get(name, namespace)
        current = self._endpoints.get(name, namespace)
        if service is None:
            # Endpoints belong to the service of their name; those of other makers are theirs to delete.
            if current is not None and current.metadata.labels.get(MANAGED_BY) == MANAGER:
                await self._desk.delete(ENDPOINTS, current)
            return
        if not is_ours(service) or service.metadata.deletion_timestamp:
            return
        everybody = bool(service.spec and service.spec.publish_not_ready_addresses)
        behind = backends(service, self._pods.by_index("namespace", namespace))
        wanted, labels = subsets(behind, everybody), labels_of(service)
        annotations = {OVER_CAPACITY: "truncated"} if len(behind) > CAPACITY else {}
        if current is None:
            made = Endpoints(
                metadata=ObjectMeta(name=name, namespace=namespace, labels=labels, annotations=annotations),
                subsets=wanted,
            )
            try:
                await self._desk.create(ENDPOINTS, self._endpoints, made)
            except errors.AlreadyExists:
                self._desk.queue.enqueue_after(key, 1.0)
            return
        over = OVER_CAPACITY in current.metadata.annotations
        if current.subsets == wanted and current.metadata.labels == labels and over == bool(annotations):
            return
        gone = dict.fromkeys(current.metadata.labels.keys() - labels.keys())
        patch: dict[str, Any] = {
            "metadata": {
                "labels": {**gone, **labels},
                "annotations": annotations or {OVER_CAPACITY: None},
            },
            "subsets": msgspec.to_builtins(wanted) or None,
        }
        await self._desk.patch(ENDPOINTS, self._endpoints, current, patch)
