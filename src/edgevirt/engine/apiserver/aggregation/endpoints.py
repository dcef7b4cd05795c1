"""Where a service listens: from Service, EndpointSlice and Endpoints objects to a host and a port.

There is no service proxy in front of the API server, so webhooks and aggregated APIs are reached at the
addresses of their endpoints. The directory follows the three resources and answers from memory. TLS is
verified for the service's name `<service>.<namespace>.svc`, whatever address was chosen.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgevirt.engine.apiserver.extension import ObjectReader

ServiceName = tuple[str, str]
"""(namespace, name)"""

_SERVICE_OF_SLICE = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class Target:
    """An address to connect to and the name its certificate must have."""

    host: str
    port: int
    server_name: str


class Unresolved(Exception):
    """The service has no usable address now.

    `str()` is the text clients see; `reason` and `explanation` are for the condition of an APIService.
    """

    def __init__(self, text: str, reason: str, explanation: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.explanation = explanation


class ServiceDirectory:
    """Resolves services; call `observe` once."""

    def __init__(self) -> None:
        self._services: dict[ServiceName, Mapping[str, Any]] = {}
        self._endpoints: dict[ServiceName, Mapping[str, Any]] = {}
        self._slices: dict[ServiceName, dict[str, Mapping[str, Any]]] = {}
        self._callbacks: list[Callable[[ServiceName], None]] = []
        self._turn = 0

    def observe(self, reader: ObjectReader) -> None:
        """Follows services and their endpoints from now on."""
        reader.observe("", "services", functools.partial(self._apply, self._services))
        reader.observe("", "endpoints", functools.partial(self._apply, self._endpoints))
        reader.observe("discovery.k8s.io", "endpointslices", self._apply_slice)

    def on_change(self, callback: Callable[[ServiceName], None]) -> None:
        """Calls back with the service whose address may have changed."""
        self._callbacks.append(callback)

    def resolve(self, namespace: str, name: str, port: int) -> Target:
        """One of the service's ready addresses, in turn. Raises Unresolved."""
        service = self._services.get((namespace, name))
        if service is None:
            raise Unresolved(
                f'service "{name}" not found',
                "ServiceNotFound",
                f'service/{name} in "{namespace}" is not present',
            )
        spec = service.get("spec") or {}
        server_name = f"{name}.{namespace}.svc"
        if spec.get("type") == "ExternalName":
            return Target(spec.get("externalName", ""), port, server_name)
        ports = [entry for entry in spec.get("ports") or () if entry.get("port") == port]
        if not ports:
            raise Unresolved(
                f'no service port {port} found for service "{name}"',
                "ServicePortError",
                f'service/{name} in "{namespace}" is not listening on port {port}',
            )
        found = list(self._addresses((namespace, name), ports[0].get("name", "")))
        if not found:
            known = (namespace, name) in self._endpoints or (namespace, name) in self._slices
            raise Unresolved(
                f'no endpoints available for service "{name}"',
                "MissingEndpoints" if known else "EndpointsNotFound",
                f'endpointslices for service/{name} in "{namespace}" have no addresses with port name '
                f'"{ports[0].get("name", "")}"'
                if known
                else f'cannot find endpointslices for service/{name} in "{namespace}"',
            )
        self._turn += 1
        host, number = found[self._turn % len(found)]
        return Target(host, number, server_name)

    def _addresses(self, service: ServiceName, port_name: str) -> Iterator[tuple[str, int]]:
        """Ready addresses. Slices win: a service that has both describes the same endpoints twice."""
        slices = self._slices.get(service)
        if slices:
            for document in slices.values():
                yield from _addresses_of_slice(document, port_name)
            return
        for subset in (self._endpoints.get(service) or {}).get("subsets") or ():
            for port in subset.get("ports") or ():
                if port.get("name", "") == port_name:
                    for address in subset.get("addresses") or ():
                        yield address["ip"], int(port["port"])

    def _apply(
        self, known: dict[ServiceName, Mapping[str, Any]], event: str, document: Mapping[str, Any]
    ) -> None:
        key = (document["metadata"].get("namespace", ""), document["metadata"]["name"])
        if event == "DELETED":
            known.pop(key, None)
        else:
            known[key] = document
        self._changed(key)

    def _apply_slice(self, event: str, document: Mapping[str, Any]) -> None:
        metadata = document["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        for key, slices in list(self._slices.items()):  # its label may have changed
            if key[0] == namespace and slices.pop(name, None) is not None:
                if not slices:
                    del self._slices[key]
                self._changed(key)
        service = (metadata.get("labels") or {}).get(_SERVICE_OF_SLICE, "")
        if event != "DELETED" and service:
            self._slices.setdefault((namespace, service), {})[name] = document
            self._changed((namespace, service))

    def _changed(self, service: ServiceName) -> None:
        for callback in self._callbacks:
            callback(service)


def _addresses_of_slice(document: Mapping[str, Any], port_name: str) -> Iterator[tuple[str, int]]:
    for port in document.get("ports") or ():
        if (port.get("name") or "") != port_name or not port.get("port"):
            continue
        for endpoint in document.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready", True) is not False:
                for address in endpoint.get("addresses") or ():
                    yield address, int(port["port"])
