"""From Services and EndpointSlices to what the packet filter needs: address and port -> targets. Pure.

Ready endpoints are used; if a service has none, those that are still serving while they end. Services keep
traffic on this node where their policy asks for it. Headless services and those without an address have no
entry here.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from edgevirt.api.core import Service
from edgevirt.api.discovery import Endpoint, EndpointSlice

SERVICE_LABEL = "kubernetes.io/service-name"
PROXY_NAME = "service.kubernetes.io/service-proxy-name"
PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}

Target = tuple[str, int]
"""IPv4 address and port."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One port of one service. `node_port` is 0 for none; `sticky`: one client, one target."""

    name: str
    addresses: tuple[str, ...]
    port: int
    protocol: str
    node_port: int
    sticky: bool
    targets: tuple[Target, ...]
    outside_targets: tuple[Target, ...]
    """For node ports and external addresses, where another policy may hold."""


def entries(
    services: Iterable[Service], slices: Mapping[tuple[str, str], Sequence[EndpointSlice]], node: str
) -> tuple[Entry, ...]:
    """`slices`: by namespace and name of the service. In the order of the services' names."""
    found: list[Entry] = []
    for service in sorted(services, key=lambda one: (one.metadata.namespace, one.metadata.name)):
        spec, meta = service.spec, service.metadata
        if spec is None or spec.type == "ExternalName" or PROXY_NAME in meta.labels:
            continue
        addresses = _addresses(service)
        if not addresses:
            continue
        mine = slices.get((meta.namespace, meta.name), ())
        for port in spec.ports:
            protocol = PROTOCOLS.get(port.protocol or "TCP")
            if protocol is None or not port.port:
                continue
            inside = _targets(
                mine, port.name, port.protocol, node if spec.internal_traffic_policy == "Local" else ""
            )
            outside = _targets(
                mine, port.name, port.protocol, node if spec.external_traffic_policy == "Local" else ""
            )
            found.append(
                Entry(
                    name=f"{meta.namespace}/{meta.name}:{port.name}",
                    addresses=addresses,
                    port=port.port,
                    protocol=protocol,
                    node_port=port.node_port or 0,
                    sticky=spec.session_affinity == "ClientIP",
                    targets=inside,
                    outside_targets=outside,
                )
            )
    return tuple(found)


def _addresses(service: Service) -> tuple[str, ...]:
    """IPv4 only, and nothing that is no address: what stands here ends up in the packet filter."""
    spec = service.spec
    if spec is None or spec.cluster_ip in ("", "None"):
        return ()
    ingress = service.status.load_balancer.ingress if service.status and service.status.load_balancer else ()
    named = [spec.cluster_ip, *spec.external_ips, *(one.ip for one in ingress)]
    return tuple(dict.fromkeys(address for address in named if is_ipv4(address) and not _is_special(address)))


def _is_special(address: str) -> bool:
    """The machine's own affairs.

    A service that took 127.0.0.1 would take the control plane's connections, and one that led there would
    open what listens on the machine's loopback to its pods, for which loopback is routable (`links`).
    """
    found = ipaddress.ip_address(address)
    return found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified


def is_ipv4(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 4
    except ValueError:
        return False


def _targets(slices: Sequence[EndpointSlice], name: str, protocol: str, only_node: str) -> tuple[Target, ...]:
    ready: set[Target] = set()
    ending: set[Target] = set()
    for one in slices:
        if one.address_type != "IPv4":
            continue
        for port in one.ports:
            if port.name != name or (port.protocol or "TCP") != (protocol or "TCP"):
                continue
            if not port.port or not 0 < port.port < 65536:
                continue
            for endpoint in one.endpoints:
                if only_node and endpoint.node_name != only_node:
                    continue
                usable = {
                    (address, port.port)
                    for address in endpoint.addresses[:1]
                    if is_ipv4(address) and not _is_special(address)
                }
                if _is_ready(endpoint):
                    ready |= usable
                elif endpoint.conditions and endpoint.conditions.serving and endpoint.conditions.terminating:
                    ending |= usable
    return tuple(sorted(ready or ending, key=lambda t: (ipaddress.ip_address(t[0]), t[1])))


def _is_ready(endpoint: Endpoint) -> bool:
    """Not told means ready."""
    return endpoint.conditions is None or endpoint.conditions.ready is not False
