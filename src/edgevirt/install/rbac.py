"""Roles of the components and of users, the same on both engines.

Each component has a service account in namespace `kubevirt` and exactly the rules it needs. For users there
are KubeVirt's ClusterRoles, aggregated into admin, edit and view; a view role reads objects and opens no
console.
"""

from __future__ import annotations

from typing import Any

NAMESPACE = "kubevirt"

_READ = ["get", "list", "watch"]
_EVENTS = {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]}
_LEASES = {
    "apiGroups": ["coordination.k8s.io"],
    "resources": ["leases"],
    "verbs": ["get", "create", "update", "patch"],
}

_VM_KINDS = ["virtualmachines", "virtualmachineinstances"]

COMPONENT_RULES: dict[str, list[dict[str, Any]]] = {
    "kubevirt-apiserver": [
        {"apiGroups": ["kubevirt.io"], "resources": _VM_KINDS, "verbs": [*_READ, "patch"]},
        {"apiGroups": ["kubevirt.io"], "resources": ["virtualmachines/status"], "verbs": ["patch", "update"]},
        {"apiGroups": ["kubevirt.io"], "resources": ["kubevirts"], "verbs": _READ},
        {"apiGroups": [""], "resources": ["nodes", "namespaces"], "verbs": _READ},
        {
            "apiGroups": ["authorization.k8s.io"],
            "resources": ["subjectaccessreviews"],
            "verbs": ["create"],
        },
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": ["extension-apiserver-authentication"],
            "verbs": _READ,
        },
    ],
    "kubevirt-controller": [
        {
            "apiGroups": ["kubevirt.io"],
            "resources": ["virtualmachines"],
            "verbs": [*_READ, "patch", "update"],
        },
        {"apiGroups": ["kubevirt.io"], "resources": ["virtualmachines/status"], "verbs": ["patch", "update"]},
        {"apiGroups": ["kubevirt.io"], "resources": ["virtualmachines/finalizers"], "verbs": ["update"]},
        {
            "apiGroups": ["kubevirt.io"],
            "resources": ["virtualmachineinstances"],
            "verbs": [*_READ, "create", "patch", "update", "delete"],
        },
        {
            "apiGroups": ["kubevirt.io"],
            "resources": ["virtualmachineinstances/finalizers"],
            "verbs": ["update"],
        },
        {"apiGroups": ["kubevirt.io"], "resources": ["kubevirts"], "verbs": _READ},
        {"apiGroups": [""], "resources": ["pods"], "verbs": [*_READ, "create", "delete", "patch"]},
        {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": _READ},
        {"apiGroups": ["apps"], "resources": ["controllerrevisions"], "verbs": [*_READ, "create", "delete"]},
        _EVENTS,
        _LEASES,
    ],
    "kubevirt-handler": [
        {
            "apiGroups": ["kubevirt.io"],
            "resources": ["virtualmachineinstances"],
            "verbs": [*_READ, "patch", "update"],
        },
        {"apiGroups": ["kubevirt.io"], "resources": ["kubevirts"], "verbs": _READ},
        {"apiGroups": [""], "resources": ["pods"], "verbs": _READ},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": [*_READ, "patch"]},
        {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]},
        _EVENTS,
    ],
}

_SUBRESOURCES = "subresources.kubevirt.io"
_WRITE = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]

USER_RULES: dict[str, list[dict[str, Any]]] = {
    "admin": [
        {"apiGroups": ["kubevirt.io"], "resources": _VM_KINDS, "verbs": _WRITE},
        {"apiGroups": [_SUBRESOURCES], "resources": ["virtualmachineinstances/console"], "verbs": ["get"]},
        {
            "apiGroups": [_SUBRESOURCES],
            "resources": [f"virtualmachines/{verb}" for verb in ("start", "stop", "restart")],
            "verbs": ["update"],
        },
    ],
    "view": [{"apiGroups": ["kubevirt.io"], "resources": _VM_KINDS, "verbs": _READ}],
}
USER_RULES["edit"] = USER_RULES["admin"]


def objects() -> list[dict[str, Any]]:
    """Every RBAC object, in an order in which they can be created."""
    found: list[dict[str, Any]] = []
    for account, rules in COMPONENT_RULES.items():
        found.append(_account(account))
        found.append(_cluster_role(account, rules))
        found.append(_binding(account))
    for role, rules in USER_RULES.items():
        label = {f"rbac.authorization.k8s.io/aggregate-to-{role}": "true"}
        found.append(_cluster_role(f"kubevirt.io:{role}", rules, label))
    return found


def _account(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"kubevirt.io": ""}},
    }


def _cluster_role(
    name: str, rules: list[dict[str, Any]], labels: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": {"kubevirt.io": "", **(labels or {})}},
        "rules": rules,
    }


def _binding(account: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": account, "labels": {"kubevirt.io": ""}},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}],
    }
