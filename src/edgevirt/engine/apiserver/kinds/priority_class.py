"""PriorityClass: which values and names users may take, and what never changes."""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.kinds.strategies import Plain
from edgevirt.engine.apiserver.schema import FORBIDDEN, invalid, unsupported

Json = dict[str, Any]

SYSTEM = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
HIGHEST = 1_000_000_000
"""The most a class of a user may have."""
_PREFIX = "system-"
_POLICIES = ("Never", "PreemptLowerPriority")


class PriorityClasses(Plain):
    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        name, value = obj["metadata"].get("name") or "", obj.get("value") or 0
        causes: list[Cause] = []
        if name.startswith(_PREFIX):
            problem = _system_problem(name, value, bool(obj.get("globalDefault")))
            if problem:
                text = (
                    f"priority class names with '{_PREFIX}' prefix are reserved for system use only. error: "
                )
                causes.append(Cause(FORBIDDEN, f"Forbidden: {text}{problem}", "metadata.name"))
        elif value > HIGHEST:
            text = f"Forbidden: maximum allowed value of a user defined priority is {HIGHEST}"
            causes.append(Cause(FORBIDDEN, text, "value"))
        policy = obj.get("preemptionPolicy")
        if policy is not None and policy not in _POLICIES:
            causes.append(unsupported("preemptionPolicy", policy, _POLICIES))
        if old is not None:
            if (old.get("value") or 0) != value:
                causes.append(Cause(FORBIDDEN, "Forbidden: may not be changed in an update.", "value"))
            if old.get("preemptionPolicy") != policy:
                causes.append(invalid("preemptionPolicy", policy, "field is immutable"))
        return causes


def _system_problem(name: str, value: int, default: bool) -> str:
    known = SYSTEM.get(name)
    if known is None:
        return f"{name} is not a known system priority class"
    if value != known:
        return f"value of {name} PriorityClass must be {known}"
    return f"globalDefault of {name} PriorityClass must be false" if default else ""
