"""What a pod asks of its node: resources and host ports.

The rules are Kubernetes': init containers run one after the other and need only their maximum, except
sidecars (restartPolicy Always), which stay; overhead comes on top; pod-level requests take the place of the
sum; a limit without a request is one. Amounts are integers: CPU in millicores, everything else in its unit
(bytes, devices).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgevirt.api import quantity
from edgevirt.api.core import Container, Pod, ResourceRequirements
from edgevirt.api.meta import Quantity

Amounts = dict[str, int]
HostPort = tuple[str, str, int]
"""(host IP, protocol, port); host IP "0.0.0.0" means all."""

ANY_ADDRESS = "0.0.0.0"
TERMINAL_PHASES = frozenset({"Succeeded", "Failed"})


def amounts(given: Mapping[str, Quantity]) -> Amounts:
    """Quantities as integers. Raises QuantityError."""
    return {
        name: quantity.to_milli(value) if name == "cpu" else quantity.to_bytes(value)
        for name, value in given.items()
    }


def pod_requests(pod: Pod) -> Amounts:
    """The resources the pod occupies on its node, "pods" not included. Raises QuantityError."""
    if pod.spec is None:
        return {}
    running: Amounts = {}
    for container in pod.spec.containers:
        _add(running, _requirements(container.resources))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in pod.spec.init_containers:
        needs = _requirements(container.resources)
        if container.restart_policy == "Always":
            _add(sidecars, needs)
            _raise_to(peak, sidecars)
        else:
            _raise_to(peak, _sum(sidecars, needs))
    total = _sum(running, sidecars)
    _raise_to(total, peak)
    total.update(_requirements(pod.spec.resources))
    _add(total, amounts(pod.spec.overhead))
    return total


def host_ports(pod: Pod) -> frozenset[HostPort]:
    """The ports of the node the pod's containers occupy."""
    if pod.spec is None:
        return frozenset()
    return frozenset(
        (port.host_ip or ANY_ADDRESS, port.protocol or "TCP", port.host_port)
        for container in _long_running(pod.spec.containers, pod.spec.init_containers)
        for port in container.ports
        if port.host_port
    )


def ports_clash(wanted: Iterable[HostPort], taken: Iterable[HostPort]) -> bool:
    """Whether a wanted port is taken on the same or on an overlapping address."""
    occupied = set(taken)
    return any(
        protocol == other_protocol
        and port == other_port
        and (address == other or ANY_ADDRESS in (address, other))
        for address, protocol, port in wanted
        for other, other_protocol, other_port in occupied
    )


def occupies(pod: Pod) -> bool:
    """Whether the pod still holds its resources: until it has ended, even while it is being deleted."""
    return pod.status is None or pod.status.phase not in TERMINAL_PHASES


def _long_running(containers: tuple[Container, ...], init: tuple[Container, ...]) -> Iterable[Container]:
    yield from containers
    yield from (container for container in init if container.restart_policy == "Always")


def _requirements(requirements: ResourceRequirements | None) -> Amounts:
    if requirements is None:
        return {}
    return amounts({**requirements.limits, **requirements.requests})


def _sum(one: Amounts, other: Amounts) -> Amounts:
    total = dict(one)
    _add(total, other)
    return total


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise_to(total: Amounts, least: Mapping[str, int]) -> None:
    for name, amount in least.items():
        total[name] = max(total.get(name, 0), amount)
