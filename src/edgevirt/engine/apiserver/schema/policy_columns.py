"""The table columns of admission policies and their bindings."""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.registry import Column
from edgevirt.engine.apiserver.schema import Json

_GROUP = "admissionregistration.k8s.io"
_UNSET = "<unset>"


def _spec(obj: Json) -> Json:
    return obj.get("spec") or {}


def _param_kind(obj: Json) -> str:
    kind = _spec(obj).get("paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else _UNSET


def _param_ref(obj: Json) -> str:
    reference: dict[str, Any] | None = _spec(obj).get("paramRef")
    if not reference:
        return _UNSET
    namespace = reference.get("namespace") or "*"
    if reference.get("name"):
        return f"{namespace}/{reference['name']}"
    return f"{namespace}/*" if reference.get("selector") is not None else _UNSET


def policy_columns(name: Column, age: Column) -> dict[tuple[str, str], tuple[Column, ...]]:
    """By (group, plural)."""
    param_kind = Column("ParamKind", description="Kind of the policy's parameters.", cell=_param_kind)
    policy = Column(
        "PolicyName",
        description="The policy that is bound.",
        cell=lambda obj: _spec(obj).get("policyName") or "",
    )
    param_ref = Column("ParamRef", description="The parameters the policy gets.", cell=_param_ref)
    return {
        (_GROUP, "mutatingadmissionpolicies"): (
            name,
            Column(
                "Mutations",
                type="integer",
                description="Number of mutations.",
                cell=lambda obj: len(_spec(obj).get("mutations") or ()),
            ),
            param_kind,
            age,
        ),
        (_GROUP, "mutatingadmissionpolicybindings"): (name, policy, param_ref, age),
        (_GROUP, "validatingadmissionpolicies"): (
            name,
            Column(
                "Validations",
                type="integer",
                description="Number of validations.",
                cell=lambda obj: len(_spec(obj).get("validations") or ()),
            ),
            param_kind,
            age,
        ),
        (_GROUP, "validatingadmissionpolicybindings"): (name, policy, param_ref, age),
    }
