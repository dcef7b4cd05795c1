"""What one object uses: itself as `count/<resource>`, and what its kind is charged for beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgevirt.engine.quota.pods import pod_usage

Json = Mapping[str, Any]

COUNTED = frozenset(
    {
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
    }
)
"""Core resources that quotas may also name without `count/`."""
_NEVER = frozenset(
    {
        ("", "bindings"),
        ("", "events"),
        ("", "componentstatuses"),
        ("events.k8s.io", "events"),
        ("authentication.k8s.io", "tokenreviews"),
        ("authorization.k8s.io", "localsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
    }
)
"""Not counted at all."""
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def count_name(group: str, plural: str) -> str:
    return f"count/{plural}.{group}" if group else f"count/{plural}"


def usage_of(group: str, plural: str, obj: Json) -> dict[str, str]:
    """What an object uses, by the names quotas use."""
    if (group, plural) in _NEVER:
        return {}
    if not group and plural == "pods":
        return pod_usage(obj)
    usage = {count_name(group, plural): "1"}
    if group:
        return usage
    if plural in COUNTED:
        usage[plural] = "1"
    if plural == "services":
        usage.update(_service_usage(obj.get("spec") or {}))
    elif plural == "persistentvolumeclaims":
        usage.update(_claim_usage(obj))
    return usage


def charged_operations(group: str, plural: str) -> tuple[str, ...]:
    """The operations that can make an object use more."""
    grows = not group and plural in ("services", "persistentvolumeclaims")
    return ("CREATE", "UPDATE") if grows else ("CREATE",)


def _service_usage(spec: Json) -> dict[str, str]:
    kind, ports = spec.get("type"), len(spec.get("ports") or ())
    usage: dict[str, str] = {}
    if kind == "NodePort":
        usage["services.nodeports"] = str(ports)
    elif kind == "LoadBalancer":
        usage["services.loadbalancers"] = "1"
        if spec.get("allocateLoadBalancerNodePorts") is not False:
            usage["services.nodeports"] = str(ports)
    return usage


def _claim_usage(claim: Json) -> dict[str, str]:
    spec = claim.get("spec") or {}
    annotations = (claim.get("metadata") or {}).get("annotations") or {}
    storage_class = annotations.get(_CLASS_ANNOTATION) or spec.get("storageClassName") or ""
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    usage: dict[str, str] = {} if size is None else {"requests.storage": size}
    if storage_class:
        prefix = f"{storage_class}.storageclass.storage.k8s.io"
        usage[f"{prefix}/persistentvolumeclaims"] = "1"
        if size is not None:
            usage[f"{prefix}/requests.storage"] = size
    return usage
