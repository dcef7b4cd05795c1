"""Kubernetes discovery types."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.core import ObjectReference
from edgevirt.api.meta import KubeObject, Struct


class EndpointConditions(Struct):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForNode(Struct):
    name: str = ""


class ForZone(Struct):
    name: str = ""


class EndpointHints(Struct):
    for_nodes: tuple[ForNode, ...] = ()
    for_zones: tuple[ForZone, ...] = ()


class Endpoint(Struct):
    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions | None = None
    deprecated_topology: dict[str, str] = field(default_factory=dict)
    hints: EndpointHints | None = None
    hostname: str = ""
    node_name: str = ""
    target_ref: ObjectReference | None = None
    zone: str = ""


class EndpointPort(Struct):
    app_protocol: str = ""
    name: str = ""
    port: int | None = None
    protocol: str = ""


class EndpointSlice(KubeObject):
    address_type: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()
