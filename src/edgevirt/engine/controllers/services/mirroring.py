"""EndpointSlices for Endpoints that somebody made by hand for a service without a selector.

The service proxy and newer clients read slices only; older tools write Endpoints only. One slice per subset,
named by the server, owned by the Endpoints and replaced when those change.
"""

from __future__ import annotations

import asyncio

from edgevirt.api.core import EndpointAddress, Endpoints
from edgevirt.api.discovery import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from edgevirt.api.meta import ObjectMeta
from edgevirt.api.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from edgevirt.engine.controllers.services.backends import is_ours
from edgevirt.engine.controllers.services.slices_plan import MANAGED_BY, SERVICE_LABEL, Content
from edgevirt.engine.controllers.surroundings import Desk, Shared
from edgevirt.kube.objects import split_key
from edgevirt.kube.ownership import owner_reference

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"


def contents(endpoints: Endpoints) -> tuple[Content, ...]:
    """What the slices should hold (pure)."""
    return tuple(
        Content(
            tuple(
                [_endpoint(one, ready=True) for one in subset.addresses]
                + [_endpoint(one, ready=False) for one in subset.not_ready_addresses]
            ),
            tuple(
                EndpointPort(name=p.name, port=p.port, protocol=p.protocol, app_protocol=p.app_protocol)
                for p in subset.ports
            ),
        )
        for subset in endpoints.subsets
    )


def _endpoint(address: EndpointAddress, *, ready: bool) -> Endpoint:
    return Endpoint(
        addresses=(address.ip,),
        conditions=EndpointConditions(ready=ready),
        hostname=address.hostname,
        node_name=address.node_name,
        target_ref=address.target_ref,
    )


def is_mirrored(endpoints: Endpoints) -> bool:
    meta = endpoints.metadata
    return meta.labels.get(SKIP) != "true" and LEADER not in meta.annotations


class EndpointSliceMirroringController:
    def __init__(self, shared: Shared) -> None:
        self._desk = Desk(shared, "endpointslicemirroring-controller", self._reconcile, workers=1)
        self._services = self._desk.informer(SERVICES)
        self._endpoints = self._desk.informer(ENDPOINTS)
        self._slices = self._desk.informer(ENDPOINT_SLICES)
        self._desk.follow(self._services)
        self._desk.follow(self._endpoints)
        self._desk.follow_dependents(self._slices, ENDPOINTS.kind)

    async def run(self, started: asyncio.Event) -> None:
        await self._desk.run(started)

    async def _reconcile(self, key: str) -> None:
        namespace, name = split_key(key)
        service, endpoints = self._services.get(name, namespace), self._endpoints.get(name, namespace)
        present = [
            one
            for one in self._desk.here(self._slices, namespace)
            if one.metadata.labels.get(SERVICE_LABEL) == name
            and one.metadata.labels.get(MANAGED_BY) == MANAGER
        ]
        mirrored = (
            service is not None and endpoints is not None and not is_ours(service) and is_mirrored(endpoints)
        )
        left = list(contents(endpoints)) if mirrored and endpoints is not None else []
        for one in present:
            content = Content(one.endpoints, one.ports)
            if content in left:
                left.remove(content)
            else:
                await self._desk.delete(ENDPOINT_SLICES, one)
        for content in left:
            assert endpoints is not None
            own = {k: v for k, v in endpoints.metadata.labels.items() if k != MANAGED_BY}
            made = EndpointSlice(
                metadata=ObjectMeta(
                    generate_name=f"{name}-",
                    namespace=namespace,
                    labels={**own, SERVICE_LABEL: name, MANAGED_BY: MANAGER},
                    owner_references=(owner_reference(endpoints, ENDPOINTS),),
                ),
                address_type="IPv4",
                endpoints=content.endpoints,
                ports=content.ports,
            )
            await self._desk.create(ENDPOINT_SLICES, self._slices, made)
