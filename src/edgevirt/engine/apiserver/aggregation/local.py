"""The APIServices of the group versions this server serves itself. Pure.

They exist for clients that list APIServices (and for their priorities, which order discovery); requests
never pass through them.
"""

from __future__ import annotations

from typing import Any

AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"

_PRIORITIES: dict[str, tuple[int, int]] = {
    "": (18000, 1),
    "apiregistration.k8s.io": (18000, 15),
    "apps": (17800, 15),
    "events.k8s.io": (17750, 15),
    "authentication.k8s.io": (17700, 15),
    "authorization.k8s.io": (17600, 15),
    "autoscaling": (17500, 15),
    "batch": (17400, 15),
    "networking.k8s.io": (17200, 15),
    "policy": (17100, 15),
    "rbac.authorization.k8s.io": (17000, 15),
    "storage.k8s.io": (16800, 15),
    "apiextensions.k8s.io": (16700, 15),
    "admissionregistration.k8s.io": (16700, 15),
    "scheduling.k8s.io": (16600, 15),
    "coordination.k8s.io": (16500, 15),
    "node.k8s.io": (16300, 15),
    "discovery.k8s.io": (16200, 15),
    "metrics.k8s.io": (100, 100),
}
_CUSTOM = (1000, 100)


def api_service(group: str, version: str) -> dict[str, Any]:
    """The APIService of a group version that is served here."""
    priority, version_priority = _PRIORITIES.get(group, _CUSTOM)
    mode = "onstart" if group in _PRIORITIES else "true"
    spec: dict[str, Any] = {
        "version": version,
        "groupPriorityMinimum": priority,
        "versionPriority": version_priority,
    }
    if group:
        spec["group"] = group
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}", "labels": {AUTOMANAGED: mode}},
        "spec": spec,
    }
