"""ResourceQuota and LimitRange: which resources and scopes they may name, and bounds that fit together.

The names and the wording are those of Kubernetes' validation; what the objects forbid is admission's work,
what a quota counts is its controller's.
"""

from __future__ import annotations

from typing import Any

from edgevirt.api.quantity import parse
from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.kinds.strategies import Plain, WithStatus, forbidden_cause
from edgevirt.engine.apiserver.names import invalid_value, label_key_faults
from edgevirt.engine.apiserver.schema import invalid

Json = dict[str, Any]

COUNTED = frozenset(
    {
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    }
)
"""Resources of which there are whole ones only."""

_COMPUTE = ("cpu", "memory", "ephemeral-storage")
QUOTA_RESOURCES = frozenset(
    {
        *COUNTED,
        *_COMPUTE,
        *(f"{prefix}.{name}" for prefix in ("requests", "limits") for name in _COMPUTE),
        "requests.storage",
    }
)
_STANDARD = QUOTA_RESOURCES | {"storage"}
_CONTAINER_RESOURCES = frozenset(_COMPUTE)
_LIMIT_TYPES = ("Pod", "Container", "PersistentVolumeClaim")

_POD_COMPUTE = frozenset(QUOTA_RESOURCES - COUNTED - {"requests.storage"} | {"pods"})
_SCOPES: dict[str, frozenset[str]] = {
    "BestEffort": frozenset({"pods"}),
    "NotBestEffort": _POD_COMPUTE,
    "Terminating": _POD_COMPUTE,
    "NotTerminating": _POD_COMPUTE,
    "PriorityClass": _POD_COMPUTE,
    "CrossNamespacePodAffinity": _POD_COMPUTE,
}
"""Scope -> the resources it can narrow."""
_EXISTS_ONLY = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_CONFLICTS = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})


class Quotas(WithStatus):
    """ResourceQuota: resources that can be counted, scopes that apply to them and never change."""

    def __init__(self) -> None:
        super().__init__({})

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        spec = obj.get("spec") or {}
        hard = spec.get("hard") or {}
        causes = [cause for name in sorted(hard) for cause in _hard_faults(name, hard[name])]
        causes.extend(_scope_faults(spec.get("scopes") or [], hard))
        causes.extend(_selector_faults((spec.get("scopeSelector") or {}).get("matchExpressions") or [], hard))
        status = obj.get("status") or {}
        for field in ("hard", "used"):
            amounts = status.get(field) or {}
            causes.extend(
                cause
                for name in sorted(amounts)
                for cause in _amount_faults(f"status.{field}[{name}]", name, amounts[name])
            )
        if old is not None:
            before = old.get("spec") or {}
            if sorted(spec.get("scopes") or ()) != sorted(before.get("scopes") or ()):
                causes.append(invalid("spec.scopes", spec.get("scopes"), "field is immutable"))
        return causes


def is_hugepages(name: str) -> bool:
    return name.startswith(("hugepages-", "requests.hugepages-"))


def _hard_faults(name: str, amount: str) -> list[Cause]:
    path = f"spec.hard[{name}]"
    causes = [invalid_value(path, name, fault) for fault in label_key_faults(name)]
    if not causes and "/" not in name:
        if name not in _STANDARD and not is_hugepages(name):
            causes.append(invalid_value(path, name, "must be a standard resource type or fully qualified"))
        if name not in QUOTA_RESOURCES and not is_hugepages(name):
            causes.append(invalid_value(path, name, "must be a standard resource for quota"))
    return [*causes, *_amount_faults(path, name, amount)]


def _amount_faults(path: str, name: str, amount: str) -> list[Cause]:
    value = parse(amount)
    if value < 0:
        return [invalid_value(path, amount, "must be greater than or equal to 0")]
    if value.denominator != 1 and (name in COUNTED or ("/" in name and not name.startswith("requests."))):
        return [invalid_value(path, amount, "must be an integer")]
    return []


def _scope_faults(scopes: list[str], hard: Json) -> list[Cause]:
    if not scopes:
        return []
    causes: list[Cause] = []
    for scope in scopes:
        if scope not in _SCOPES:
            causes.append(invalid("spec.scopes", scopes, "unsupported scope"))
        causes.extend(
            invalid("spec.scopes", scopes, "unsupported scope applied to resource")
            for name in sorted(hard)
            if not _narrows(scope, name)
        )
    causes.extend(
        invalid("spec.scopes", scopes, "conflicting scopes") for pair in _CONFLICTS if pair <= set(scopes)
    )
    return causes


def _narrows(scope: str, name: str) -> bool:
    """Only standard resources can be told apart; of an unknown scope enough was said already."""
    allowed = _SCOPES.get(scope)
    return allowed is None or name not in QUOTA_RESOURCES or name in allowed


def _selector_faults(expressions: list[Json], hard: Json) -> list[Cause]:
    path = "spec.scopeSelector.matchExpressions"
    causes: list[Cause] = []
    for expression in expressions:
        scope, operator = expression.get("scopeName", ""), expression.get("operator", "")
        values = expression.get("values") or []
        if scope not in _SCOPES:
            causes.append(invalid(f"{path}.scopeName", scope, "unsupported scope"))
        causes.extend(
            invalid(path, expressions, "unsupported scope applied to resource")
            for name in sorted(hard)
            if not _narrows(scope, name)
        )
        if scope in _EXISTS_ONLY and operator != "Exists":
            text = "must be 'Exist' only operator when scope is any of ResourceQuotaScopeTerminating, "
            text += (
                "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
                "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            causes.append(invalid(f"{path}.operator", operator, text))
        if operator in ("In", "NotIn") and not values:
            causes.append(
                Cause(
                    "FieldValueRequired",
                    "Required value: must be at least one value when `operator` is 'In' or 'NotIn' "
                    "for scope selector",
                    f"{path}.values",
                )
            )
        elif operator in ("Exists", "DoesNotExist") and values:
            text = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector"
            causes.append(invalid(f"{path}.values", values, text))
        elif operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            causes.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    names = {expression.get("scopeName", "") for expression in expressions}
    causes.extend(
        invalid("spec.scopeSelector.matchExpressions", expressions, "conflicting scopes")
        for pair in _CONFLICTS
        if pair <= names
    )
    return causes


class LimitRanges(Plain):
    """LimitRange: one entry per type, minimum <= default request <= default <= maximum."""

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        causes: list[Cause] = []
        seen: set[str] = set()
        for index, limit in enumerate((obj.get("spec") or {}).get("limits") or ()):
            path = f"spec.limits[{index}]"
            kind = limit.get("type") or ""
            if kind:
                causes.extend(_type_faults(f"{path}.type", kind))
            if kind in seen:
                causes.append(Cause("FieldValueDuplicate", f'Duplicate value: "{kind}"', f"{path}.type"))
            seen.add(kind)
            causes.extend(_limit_faults(path, kind, limit))
        return causes


def _type_faults(path: str, kind: str) -> list[Cause]:
    faults = list(label_key_faults(kind))
    if not faults and "/" not in kind and kind not in _LIMIT_TYPES:
        faults.append("must be a standard limit type or fully qualified")
    return [invalid_value(path, kind, fault) for fault in faults]


_BOUNDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def _limit_faults(path: str, kind: str, limit: Json) -> list[Cause]:
    causes = [
        forbidden_cause(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
        for field in ("default", "defaultRequest")
        if kind == "Pod" and limit.get(field)
    ]
    for field in _BOUNDS:
        amounts = limit.get(field) or {}
        causes.extend(
            cause
            for name in sorted(amounts)
            for cause in _bound_name_faults(f"{path}.{field}[{name}]", name, kind)
        )
    if kind == "PersistentVolumeClaim" and not any(
        "storage" in (limit.get(field) or {}) for field in ("min", "max")
    ):
        text = "Required value: either minimum or maximum storage value is required, but neither was provided"
        causes.append(Cause("FieldValueRequired", text, f"{path}.limits"))
    names = {name for field in _BOUNDS for name in limit.get(field) or ()}
    for name in sorted(names):
        causes.extend(_order_faults(path, name, {f: (limit.get(f) or {}).get(name) for f in _BOUNDS}))
    return causes


def _bound_name_faults(path: str, name: str, kind: str) -> list[Cause]:
    faults = list(label_key_faults(name))
    if not faults and "/" not in name:
        if kind in ("Pod", "Container"):
            if name not in _CONTAINER_RESOURCES and not is_hugepages(name):
                faults.append("must be a standard resource for containers")
        elif name not in _STANDARD and not is_hugepages(name):
            faults.append("must be a standard resource type or fully qualified")
    return [invalid_value(path, name, fault) for fault in faults]


_ORDERED = (
    # (lower, upper, field that is to blame, its value, words)
    ("min", "max", "min", "min value {0} is greater than max value {1}"),
    ("min", "defaultRequest", "defaultRequest", "min value {0} is greater than default request value {1}"),
    ("min", "default", "default", "min value {0} is greater than default value {1}"),
    ("defaultRequest", "max", "defaultRequest", "default request value {0} is greater than max value {1}"),
    (
        "defaultRequest",
        "default",
        "defaultRequest",
        "default request value {0} is greater than default limit value {1}",
    ),
    ("default", "max", "default", "default value {0} is greater than max value {1}"),
)


def _order_faults(path: str, name: str, bounds: dict[str, str | None]) -> list[Cause]:
    causes: list[Cause] = []
    for lower, upper, blamed, words in _ORDERED:
        low, high = bounds[lower], bounds[upper]
        if low is not None and high is not None and parse(low) > parse(high):
            causes.append(invalid_value(f"{path}.{blamed}[{name}]", bounds[blamed], words.format(low, high)))
    ratio = bounds["maxLimitRequestRatio"]
    if ratio is None:
        return causes
    where = f"{path}.maxLimitRequestRatio[{name}]"
    if parse(ratio) < 1:
        causes.append(invalid_value(where, ratio, f"ratio {ratio} is less than 1"))
    low, high = bounds["min"], bounds["max"]
    if low and high and parse(low) > 0 and parse(ratio) > parse(high) / parse(low):
        widest = float(parse(high) / parse(low))
        causes.append(invalid_value(where, ratio, f"ratio {ratio} is greater than max/min = {widest:f}"))
    return causes
