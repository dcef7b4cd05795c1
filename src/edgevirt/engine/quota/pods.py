"""What a pod asks for: requests and limits of its containers taken together, as the scheduler counts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgevirt.engine.quota.amounts import Amounts, added, greater

Json = Mapping[str, Any]

COMPUTE = ("cpu", "memory", "ephemeral-storage")
MUST_BE_SAID = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
"""Where a quota names one of these, each container must say how much it wants."""


def pod_amounts(spec: Json, field: str) -> dict[str, str]:
    """Requests or limits (`field`) of a pod.

    Containers run together and init containers one after the other, beside the restartable ones before them;
    what the runtime adds (overhead) comes on top.
    """
    together = added(*(_of(container, field) for container in spec.get("containers") or ()))
    restartable: dict[str, str] = {}
    highest: dict[str, str] = {}
    for container in spec.get("initContainers") or ():
        wanted = _of(container, field)
        if container.get("restartPolicy") == "Always":
            restartable = added(restartable, wanted)
            highest = greater(highest, restartable)
        else:
            highest = greater(highest, added(restartable, wanted))
    result = greater(added(together, restartable), highest)
    overhead: Amounts = spec.get("overhead") or {}
    if field == "limits":
        overhead = {name: amount for name, amount in overhead.items() if name in result}
    return added(result, overhead) if overhead else result


def _of(container: Json, field: str) -> Amounts:
    amounts: Amounts = (container.get("resources") or {}).get(field) or {}
    return amounts


def all_containers(spec: Json) -> Iterator[Json]:
    yield from spec.get("containers") or ()
    yield from spec.get("initContainers") or ()


def pod_usage(pod: Json) -> dict[str, str]:
    """What a pod uses of a quota: itself, its requests and limits. Nothing once it has ended."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return {}
    usage = {"pods": "1", "count/pods": "1"}
    spec = pod.get("spec") or {}
    for name, amount in pod_amounts(spec, "requests").items():
        if name in COMPUTE or name.startswith("hugepages-"):
            usage[name] = amount
        if name in COMPUTE or name.startswith("hugepages-") or "/" in name:
            usage[f"requests.{name}"] = amount
    for name, amount in pod_amounts(spec, "limits").items():
        if name in COMPUTE:
            usage[f"limits.{name}"] = amount
    return usage


def unsaid(pod: Json, restricted: frozenset[str]) -> str:
    """Why a pod cannot be counted under a quota: what its containers must specify; "" if nothing lacks."""
    lacking: dict[str, set[str]] = {}
    for container in all_containers(pod.get("spec") or {}):
        said: set[str] = set()
        for name in _of(container, "requests"):
            said |= {name, f"requests.{name}"}
        said |= {f"limits.{name}" for name in _of(container, "limits")}
        for name in restricted.intersection(MUST_BE_SAID) - said:
            lacking.setdefault(name, set()).add(container.get("name") or "")
    if not lacking:
        return ""
    parts = (f"{name} for: {','.join(sorted(lacking[name]))}" for name in sorted(lacking))
    return f"must specify {'; '.join(parts)}"


def is_best_effort(pod: Json) -> bool:
    """Whether no container asks for anything."""
    return not any(
        amount not in ("0", 0)
        for container in all_containers(pod.get("spec") or {})
        for field in ("requests", "limits")
        for name, amount in _of(container, field).items()
        if name in ("cpu", "memory")
    )
