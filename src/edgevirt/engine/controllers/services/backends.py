"""The pods behind a service: which ones, at which ports, and whether they are to be sent anything. Pure.

A pod counts once it has an address and until it has ended. It is ready when its Ready condition says so and
it is not being deleted; a service may publish those that are not. Ports with names are looked up in each
pod, so pods of different versions may answer at different numbers.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Mapping

from edgevirt.api.core import ObjectReference, Pod, Service, ServicePort
from edgevirt.engine.controllers.workloads import pod_state

HEADLESS = "service.kubernetes.io/headless"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Port:
    name: str
    number: int
    protocol: str
    app_protocol: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Backend:
    """`ready` is what the service says of it, `serving` what the pod itself says."""

    address: str
    ports: tuple[Port, ...]
    ready: bool
    serving: bool
    terminating: bool
    node: str
    hostname: str
    target: ObjectReference


def is_headless(service: Service) -> bool:
    return service.spec is not None and service.spec.cluster_ip == "None"


def is_ours(service: Service) -> bool:
    """Whether its endpoints follow pods; without a selector whoever made the service makes them."""
    return bool(service.spec and service.spec.selector and service.spec.type != "ExternalName")


def matches(selector: Mapping[str, str], pod: Pod) -> bool:
    return all(pod.metadata.labels.get(key) == value for key, value in selector.items())


def backends(service: Service, pods: Iterable[Pod]) -> tuple[Backend, ...]:
    """In the order of their addresses. `pods` are of the service's namespace."""
    spec = service.spec
    if spec is None:
        return ()
    everybody = bool(spec.publish_not_ready_addresses)
    found = []
    for pod in pods:
        address = pod.status.pod_ip if pod.status else ""
        if not address or pod_state.phase(pod) in pod_state.ENDED or not matches(spec.selector, pod):
            continue
        ports = tuple(port for wanted in spec.ports if (port := _port(wanted, pod)) is not None)
        if spec.ports and not ports:
            continue
        serving, terminating = pod_state.is_ready(pod), pod_state.is_terminating(pod)
        own = pod.spec
        named = own is not None and own.hostname and own.subdomain == service.metadata.name
        found.append(
            Backend(
                address=address,
                ports=ports,
                ready=everybody or (serving and not terminating),
                serving=serving,
                terminating=terminating,
                node=own.node_name if own else "",
                hostname=own.hostname if own and named else "",
                target=ObjectReference(
                    kind="Pod",
                    namespace=pod.metadata.namespace,
                    name=pod.metadata.name,
                    uid=pod.metadata.uid,
                ),
            )
        )
    return tuple(sorted(found, key=lambda one: (_sortable(one.address), one.target.uid)))


def _sortable(address: str) -> tuple[int, int]:
    found = ipaddress.ip_address(address)
    return found.version, int(found)


def _port(wanted: ServicePort, pod: Pod) -> Port | None:
    target = wanted.target_port if wanted.target_port not in (None, "", 0) else wanted.port
    protocol = wanted.protocol or "TCP"
    if isinstance(target, int):
        return Port(wanted.name, target, protocol, wanted.app_protocol)
    for container in pod.spec.containers if pod.spec else ():
        for port in container.ports:
            if port.name == target and (port.protocol or "TCP") == protocol and port.container_port:
                return Port(wanted.name, port.container_port, protocol, wanted.app_protocol)
    return None
