"""PodDisruptionBudget: one bound, a valid one, and a status that starts with nothing allowed."""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.kinds.label_selector import selector_faults
from edgevirt.engine.apiserver.kinds.strategies import WithStatus
from edgevirt.engine.apiserver.kinds.workload import bounded
from edgevirt.engine.apiserver.schema import invalid

Json = dict[str, Any]

_NO_PODS = {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}


class DisruptionBudgets(WithStatus):
    """PodDisruptionBudget."""

    def __init__(self) -> None:
        super().__init__(_NO_PODS)

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        spec = obj.get("spec") or {}
        low, high = spec.get("minAvailable"), spec.get("maxUnavailable")
        causes: list[Cause] = []
        if low is not None and high is not None:
            causes.append(invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"))
        for field, value in (("minAvailable", low), ("maxUnavailable", high)):
            if value is not None:
                causes.extend(bounded(value, f"spec.{field}"))
        if spec.get("selector"):
            causes.extend(selector_faults(spec["selector"], "spec.selector"))
        return causes
