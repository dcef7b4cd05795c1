"""Scopes: which objects a quota counts. A quota with scopes counts pods only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgevirt.engine.quota.pods import is_best_effort

Json = Mapping[str, Any]


def counts(quota_spec: Json, group: str, plural: str, obj: Json) -> bool:
    """Whether a quota of this spec counts the object."""
    scopes = [{"scopeName": scope, "operator": "Exists"} for scope in quota_spec.get("scopes") or ()]
    selector = quota_spec.get("scopeSelector") or {}
    required = [*scopes, *(selector.get("matchExpressions") or ())]
    if not required:
        return True
    if group or plural != "pods":
        return False
    return all(_fulfils(requirement, obj) for requirement in required)


def _fulfils(requirement: Json, pod: Json) -> bool:
    spec = pod.get("spec") or {}
    deadline = spec.get("activeDeadlineSeconds")
    match requirement.get("scopeName"):
        case "Terminating":
            return deadline is not None and deadline >= 0
        case "NotTerminating":
            return deadline is None
        case "BestEffort":
            return is_best_effort(pod)
        case "NotBestEffort":
            return not is_best_effort(pod)
        case "CrossNamespacePodAffinity":
            return _crosses_namespaces(spec)
        case "PriorityClass":
            return _selects(requirement, spec.get("priorityClassName") or "")
    return False


def _selects(requirement: Json, name: str) -> bool:
    values = requirement.get("values") or ()
    match requirement.get("operator"):
        case "Exists":
            return name != ""
        case "DoesNotExist":
            return name == ""
        case "In":
            return name in values
        case "NotIn":
            return name not in values
    return False


def _crosses_namespaces(spec: Json) -> bool:
    affinity = spec.get("affinity") or {}
    for field in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(field) or {}
        listed = list(terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        listed += [
            weighted.get("podAffinityTerm") or {}
            for weighted in terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in listed):
            return True
    return False
