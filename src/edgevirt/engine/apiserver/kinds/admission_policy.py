"""Validating and mutating admission policies and their bindings as objects; admission puts them to use."""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.admission.policy_rules import (
    binding_faults,
    mutating_binding_faults,
    mutating_policy_faults,
    policy_faults,
)
from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.kinds.strategies import Plain, WithStatus

Json = dict[str, Any]


class AdmissionPolicies(WithStatus):
    """Every expression must compile; a policy whose spec did not change is not compiled again."""

    def __init__(self) -> None:
        super().__init__({})

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        if old is not None and old.get("spec") == obj.get("spec"):
            return []
        return list(policy_faults(obj.get("spec") or {}))


class PolicyBindings(Plain):
    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        return list(binding_faults(obj.get("spec") or {}))


class MutatingPolicies(Plain):
    """As `AdmissionPolicies`; there is no status."""

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        if old is not None and old.get("spec") == obj.get("spec"):
            return []
        return list(mutating_policy_faults(obj.get("spec") or {}))


class MutatingPolicyBindings(Plain):
    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        return list(mutating_binding_faults(obj.get("spec") or {}))
