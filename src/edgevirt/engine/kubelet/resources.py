"""What a pod may use, in the kernel's terms: shares, quotas, bytes; its QoS class; its OOM score (pure)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from edgevirt.api import quantity
from edgevirt.api.core import Container, Pod, ResourceRequirements
from edgevirt.api.meta import Quantity

CPU_PERIOD = 100_000


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """`cpu_quota` in microseconds per CPU_PERIOD, `memory` in bytes; None is unlimited."""

    cpu_shares: int
    cpu_quota: int | None
    memory: int | None


def of_container(resources: ResourceRequirements | None) -> Limits:
    """A container's limits; a request missing beside a limit counts as the limit."""
    limits = resources.limits if resources else {}
    requests = resources.requests if resources else {}
    cpu = requests.get("cpu", limits.get("cpu"))
    return Limits(
        cpu_shares=shares(quantity.to_millicores(cpu)) if cpu is not None else 2,
        cpu_quota=quota(quantity.to_millicores(limits["cpu"])) if "cpu" in limits else None,
        memory=quantity.to_bytes(limits["memory"]) if "memory" in limits else None,
    )


def of_pod(pod: Pod) -> Limits:
    """The whole pod's: its own, else sums, the larger of init and regular containers; plus overhead."""
    assert pod.spec
    level = pod.spec.resources or ResourceRequirements()
    requested = _total(pod, lambda c: _requested_millicores(c.resources))
    if "cpu" in level.requests or "cpu" in level.limits:
        requested = _requested_millicores(level)
    overhead = pod.spec.overhead
    extra_cpu = quantity.to_millicores(overhead.get("cpu", 0))
    extra_memory = quantity.to_bytes(overhead.get("memory", 0))
    regular = (*pod.spec.containers, *(c for c in pod.spec.init_containers if c.restart_policy == "Always"))
    every = (*pod.spec.containers, *pod.spec.init_containers)
    memory = cpu = None
    if "memory" in level.limits:
        memory = extra_memory + quantity.to_bytes(level.limits["memory"])
    elif all(c.resources and "memory" in c.resources.limits for c in every) and regular:
        memory = extra_memory + _total(
            pod, lambda c: quantity.to_bytes(c.resources.limits["memory"]) if c.resources else 0
        )
    if "cpu" in level.limits:
        cpu = extra_cpu + quantity.to_millicores(level.limits["cpu"])
    elif all(c.resources and "cpu" in c.resources.limits for c in every) and regular:
        cpu = extra_cpu + _total(
            pod, lambda c: quantity.to_millicores(c.resources.limits["cpu"]) if c.resources else 0
        )
    return Limits(shares(requested + extra_cpu), quota(cpu) if cpu is not None else None, memory)


def _total(pod: Pod, value: Callable[[Container], int]) -> int:
    assert pod.spec
    sidecars = sum(value(c) for c in pod.spec.init_containers if c.restart_policy == "Always")
    largest = max((value(c) for c in pod.spec.init_containers if c.restart_policy != "Always"), default=0)
    return max(sum(value(c) for c in pod.spec.containers) + sidecars, largest + sidecars)


def _requested_millicores(resources: ResourceRequirements | None) -> int:
    if resources is None:
        return 0
    return quantity.to_millicores(resources.requests.get("cpu", resources.limits.get("cpu", 0)))


def shares(millicores: int) -> int:
    """cgroup v1 cpu.shares for a CPU request."""
    return min(max(millicores * 1024 // 1000, 2), 262_144)


def quota(millicores: int) -> int:
    """Microseconds per CPU_PERIOD for a CPU limit; the kernel takes no less than 1 ms."""
    return max(millicores * CPU_PERIOD // 1000, 1000)


def qos_class(pod: Pod) -> str:
    """Guaranteed, Burstable or BestEffort: by the pod's own resources, else by its containers'."""
    assert pod.spec
    containers = (*pod.spec.containers, *pod.spec.init_containers)
    everybody = [c.resources or ResourceRequirements() for c in containers]
    if pod.spec.resources and (pod.spec.resources.requests or pod.spec.resources.limits):
        everybody = [pod.spec.resources]
    if not any(
        _positive(source.get(name))
        for name in ("cpu", "memory")
        for one in everybody
        for source in (one.limits, one.requests)
    ):
        return "BestEffort"
    for one in everybody:
        for name in ("cpu", "memory"):
            if not _positive(one.limits.get(name)):
                return "Burstable"
            limit = one.limits[name]
            request = one.requests.get(name, limit)
            if quantity.parse(request) != quantity.parse(limit):
                return "Burstable"
    return "Guaranteed"


def _positive(value: Quantity | None) -> bool:
    return value is not None and quantity.parse(value) > 0


def oom_score(pod: Pod, container: Container, node_memory: int) -> int:
    """oom_score_adj: who goes first when memory runs out. Small requests go before large ones."""
    match qos_class(pod):
        case "Guaranteed":
            return -997
        case "BestEffort":
            return 1000
    asked = _requested_bytes(container) + _share_of_rest(pod)
    return min(max(1000 - 1000 * asked // max(node_memory, 1), 3), 999)


def _requested_bytes(container: Container) -> int:
    return quantity.to_bytes(container.resources.requests.get("memory", 0)) if container.resources else 0


def _share_of_rest(pod: Pod) -> int:
    """A container's part of the memory that the pod asks for beyond what its containers do."""
    spec = pod.spec
    level = spec.resources if spec else None
    if spec is None or level is None or "memory" not in level.requests:
        return 0
    sidecars = [c for c in spec.init_containers if c.restart_policy == "Always"]
    lasting = [*spec.containers, *sidecars]
    rest = quantity.to_bytes(level.requests["memory"]) - sum(_requested_bytes(c) for c in lasting)
    return max(rest, 0) // max(len(lasting), 1)


def extended(container: Container) -> tuple[tuple[str, int], ...]:
    """Extended resources the container asks for: (name, count)."""
    if container.resources is None:
        return ()
    wanted = {**container.resources.requests, **container.resources.limits}
    return tuple(
        (name, quantity.to_bytes(value)) for name, value in sorted(wanted.items()) if is_extended(name)
    )


def is_extended(name: str) -> bool:
    """True for names like example.com/device; false for cpu, memory, hugepages-2Mi and kubernetes.io ones."""
    domain, slash, _ = name.partition("/")
    return bool(slash) and not domain.endswith("kubernetes.io") and not name.startswith("requests.")


def hugepages(resources: ResourceRequirements | None) -> Iterable[tuple[str, int]]:
    """(page size as "2MB" or "1GB", bytes) limits."""
    for name, value in (resources.limits if resources else {}).items():
        if name.startswith("hugepages-"):
            size = quantity.to_bytes(name.removeprefix("hugepages-"))
            unit = f"{size >> 30}GB" if size >= 1 << 30 else f"{size >> 20}MB"
            yield unit, quantity.to_bytes(value)
