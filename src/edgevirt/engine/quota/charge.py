"""Charging an object to the quotas of its namespace before it is stored.

A quota restricts what its status lists, which its controller copies from the spec together with what is used
already. A quota the controller has not seen yet restricts nothing; one whose usage is unknown lets nothing
through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgevirt.api.quantity import parse
from edgevirt.engine.quota.amounts import Amounts, added, increase, only, shown
from edgevirt.engine.quota.pods import MUST_BE_SAID, unsaid
from edgevirt.engine.quota.scopes import counts
from edgevirt.engine.quota.usage import charged_operations, usage_of

Json = Mapping[str, Any]


class Refused(Exception):
    """A quota does not let the object through; `str()` is Kubernetes' message."""


@dataclass(frozen=True, slots=True)
class Write:
    """An object about to be stored. `old` is its state before, None when it is new."""

    group: str
    plural: str
    operation: str
    obj: Json
    old: Json | None


def charges(quotas: Sequence[Json], write: Write) -> dict[str, dict[str, str]]:
    """What each concerned quota is to be charged with, by its name. Raises Refused."""
    if write.operation not in charged_operations(write.group, write.plural):
        return {}
    found: dict[str, dict[str, str]] = {}
    for quota in quotas:
        name = quota["metadata"]["name"]
        wanted = _wanted(quota, write)
        if wanted:
            check(name, quota.get("status") or {}, wanted)
            found[name] = wanted
    return found


def _wanted(quota: Json, write: Write) -> dict[str, str]:
    spec, status = quota.get("spec") or {}, quota.get("status") or {}
    hard: Amounts = status.get("hard") or {}
    if not counts(spec, write.group, write.plural, write.obj):
        return {}
    usage = usage_of(write.group, write.plural, write.obj)
    is_new_pod = not write.group and write.plural == "pods" and write.old is None
    restricted = frozenset(name for name in hard if name in usage or (is_new_pod and name in MUST_BE_SAID))
    if not restricted:
        return {}
    name = quota["metadata"]["name"]
    if is_new_pod and (problem := unsaid(write.obj, restricted)):
        raise Refused(f"failed quota: {name}: {problem}")
    unknown = sorted(restricted - set(status.get("used") or ()))
    if unknown:
        raise Refused(f"status unknown for quota: {name}, resources: {','.join(unknown)}")
    if write.old is not None and counts(spec, write.group, write.plural, write.old):
        usage = increase(usage, usage_of(write.group, write.plural, write.old))
    return only({key: amount for key, amount in usage.items() if parse(amount) > 0}, restricted)


def check(name: str, status: Json, wanted: Amounts) -> None:
    """Raises Refused if a quota has not enough left."""
    hard, used = status.get("hard") or {}, status.get("used") or {}
    exceeded = [
        resource
        for resource, amount in wanted.items()
        if resource in hard and parse(used.get(resource, "0")) + parse(amount) > parse(hard[resource])
    ]
    if exceeded:
        raise Refused(
            f"exceeded quota: {name}, requested: {shown(only(wanted, exceeded))}, "
            f"used: {shown(only(used, exceeded))}, limited: {shown(only(hard, exceeded))}"
        )


def charged(quota: Json, wanted: Amounts) -> dict[str, Any]:
    """The quota with `wanted` added to what is used. Raises Refused if that is too much by now."""
    status = quota.get("status") or {}
    check(quota["metadata"]["name"], status, wanted)
    used = {**(status.get("used") or {}), **only(added(status.get("used") or {}, wanted), wanted)}
    return {**quota, "status": {**status, "used": used}}
