"""The EndpointSlices of a service: what each should hold, and how to get there with few writes. Pure.

Backends with the same ports share slices of at most a hundred. Slices that are right are left alone; others
are changed in place before new ones are made or surplus ones deleted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from edgevirt.api.core import Service
from edgevirt.api.discovery import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from edgevirt.engine.controllers.services.backends import HEADLESS, Backend, Port, is_headless

MAX_ENDPOINTS = 100
SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"


@dataclasses.dataclass(frozen=True, slots=True)
class Content:
    endpoints: tuple[Endpoint, ...]
    ports: tuple[EndpointPort, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    create: tuple[Content, ...]
    update: tuple[tuple[EndpointSlice, Content], ...]
    delete: tuple[EndpointSlice, ...]


def labels_of(service: Service) -> dict[str, str]:
    """Of every slice of the service."""
    own = {key: value for key, value in service.metadata.labels.items() if key != HEADLESS}
    headless = {HEADLESS: ""} if is_headless(service) else {}
    return {**own, **headless, SERVICE_LABEL: service.metadata.name, MANAGED_BY: MANAGER}


def plan(service: Service, behind: Sequence[Backend], slices: Sequence[EndpointSlice]) -> Plan:
    """`slices` are those of this controller for this service."""
    wanted = contents(behind)
    labels = labels_of(service)
    left = list(wanted)
    wrong: list[EndpointSlice] = []
    for one in slices:
        content = Content(one.endpoints, one.ports)
        if one.metadata.labels == labels and content in left:
            left.remove(content)
        else:
            wrong.append(one)
    updates: list[tuple[EndpointSlice, Content]] = []
    for content in list(left):
        # The slice whose ports are the same has the most endpoints in common.
        same = next((one for one in wrong if one.ports == content.ports), wrong[0] if wrong else None)
        if same is None:
            break
        wrong.remove(same)
        left.remove(content)
        updates.append((same, content))
    return Plan(tuple(left), tuple(updates), tuple(wrong))


def contents(behind: Sequence[Backend]) -> tuple[Content, ...]:
    """What the slices should hold; one empty slice for a service nobody answers for."""
    groups: dict[tuple[Port, ...], list[Endpoint]] = {}
    for one in behind:
        groups.setdefault(one.ports, []).append(
            Endpoint(
                addresses=(one.address,),
                conditions=EndpointConditions(
                    ready=one.ready, serving=one.serving, terminating=one.terminating
                ),
                hostname=one.hostname,
                node_name=one.node,
                target_ref=one.target,
            )
        )
    if not groups:
        return (Content((), ()),)
    return tuple(
        Content(tuple(endpoints[start : start + MAX_ENDPOINTS]), _ports(ports))
        for ports, endpoints in groups.items()
        for start in range(0, len(endpoints), MAX_ENDPOINTS)
    )


def _ports(ports: tuple[Port, ...]) -> tuple[EndpointPort, ...]:
    return tuple(
        EndpointPort(name=p.name, port=p.number, protocol=p.protocol, app_protocol=p.app_protocol)
        for p in ports
    )
