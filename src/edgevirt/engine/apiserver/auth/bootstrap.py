"""The roles and bindings every cluster starts with, under the names Kubernetes gives them.

The server creates what is missing and puts back what was removed from objects that still carry the
annotation `rbac.authorization.kubernetes.io/autoupdate: "true"` (see `reconciled`). The user-facing roles
admin, edit and view are aggregated, so that a CustomResourceDefinition's roles join them by label. Rules
name only resources an embedded cluster can serve. The roles of the controllers in this file are bound both to
the service account Kubernetes uses and to the one controller process of this engine; those of
`controller_roles` only to the service account, which the process acts as.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

from edgevirt.engine.apiserver.auth import nodes
from edgevirt.engine.apiserver.auth.controller_roles import CONTROLLER_ROLES, IMPERSONATOR, impersonation
from edgevirt.engine.apiserver.auth.rbac import RBAC_GROUP
from edgevirt.engine.apiserver.auth.rules import Rule

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
_APPS = ("deployments", "daemonsets", "replicasets", "statefulsets")
_CORE_VIEW = (
    "configmaps",
    "endpoints",
    "persistentvolumeclaims",
    "persistentvolumeclaims/status",
    "pods",
    "replicationcontrollers",
    "serviceaccounts",
    "services",
    "services/status",
    "bindings",
    "events",
    "limitranges",
    "namespaces/status",
    "pods/log",
    "pods/status",
    "resourcequotas",
    "resourcequotas/status",
    "namespaces",
)
# No endpoints here, as in Kubernetes since 1.22: with them one can lead a service anywhere (CVE-2021-25740).
_CORE_EDIT = (
    "pods",
    "pods/attach",
    "pods/exec",
    "pods/portforward",
    "pods/proxy",
    "configmaps",
    "events",
    "persistentvolumeclaims",
    "replicationcontrollers",
    "secrets",
    "serviceaccounts",
    "services",
    "services/proxy",
)
_EVENTS = Rule(("create", "patch", "update"), ("", "events.k8s.io"), ("events",))
_LEASES = Rule(("create", *_READ, "patch", "update", "delete"), ("coordination.k8s.io",), ("leases",))
_ANYTHING = ("*",)
METRICS_READER = "system:aggregated-metrics-reader"
"""What a metrics server brings along, so that who may view pods may see what they use."""
_METRICS = Rule(_READ, ("metrics.k8s.io",), ("pods", "nodes"))
_EVERYBODYS = {f"{RBAC_GROUP}/aggregate-to-{role}": "true" for role in ("view", "edit", "admin")}

_CLUSTER_ROLES: dict[str, tuple[Rule, ...]] = {
    "cluster-admin": (
        Rule(_ANYTHING, _ANYTHING, _ANYTHING),
        Rule(_ANYTHING, urls=_ANYTHING),
    ),
    "system:discovery": (
        Rule(
            ("get",),
            urls=(
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/healthz",
                "/livez",
                "/openapi",
                "/openapi/*",
                "/readyz",
                "/version",
                "/version/",
            ),
        ),
    ),
    "system:public-info-viewer": (
        Rule(("get",), urls=("/healthz", "/livez", "/readyz", "/version", "/version/")),
    ),
    "system:monitoring": (
        Rule(
            ("get",),
            urls=(
                "/healthz",
                "/healthz/*",
                "/livez",
                "/livez/*",
                "/metrics",
                "/metrics/slis",
                "/readyz",
                "/readyz/*",
            ),
        ),
    ),
    "system:basic-user": (
        Rule(("create",), ("authorization.k8s.io",), ("selfsubjectaccessreviews", "selfsubjectrulesreviews")),
        Rule(("create",), ("authentication.k8s.io",), ("selfsubjectreviews",)),
    ),
    "system:service-account-issuer-discovery": (
        Rule(
            ("get",),
            urls=(
                "/.well-known/openid-configuration",
                "/.well-known/openid-configuration/",
                "/openid/v1/jwks",
                "/openid/v1/jwks/",
            ),
        ),
    ),
    "system:auth-delegator": (
        Rule(("create",), ("authentication.k8s.io",), ("tokenreviews",)),
        Rule(("create",), ("authorization.k8s.io",), ("subjectaccessreviews",)),
    ),
    "system:node": nodes.RULES,
    "system:kube-scheduler": (
        _EVENTS,
        _LEASES,
        Rule(_READ, ("",), ("nodes", "namespaces")),
        Rule(("delete", *_READ), ("",), ("pods",)),
        Rule(("create",), ("",), ("bindings", "pods/binding")),
        Rule(("patch", "update"), ("",), ("pods/status",)),
        Rule(_READ, ("",), ("replicationcontrollers", "services", "persistentvolumes")),
        Rule((*_READ, "patch", "update"), ("",), ("persistentvolumeclaims",)),
        Rule(_READ, ("apps",), ("replicasets", "statefulsets")),
        Rule(_READ, ("policy",), ("poddisruptionbudgets",)),
        Rule(_READ, ("scheduling.k8s.io",), ("priorityclasses",)),
        Rule(
            _READ, ("storage.k8s.io",), ("storageclasses", "csinodes", "csidrivers", "csistoragecapacities")
        ),
    ),
    "system:node-proxier": (
        Rule(("list", "watch"), ("",), ("services", "endpoints")),
        Rule(_READ, ("",), ("nodes",)),
        _EVENTS,
        Rule(("list", "watch"), ("discovery.k8s.io",), ("endpointslices",)),
    ),
    "system:kube-controller-manager": (
        _EVENTS,
        _LEASES,
        Rule(_READ, _ANYTHING, _ANYTHING),
        Rule(("create", "update"), ("",), ("secrets", "serviceaccounts")),
        Rule(("create",), ("",), ("serviceaccounts/token",)),
        Rule(("create",), ("authentication.k8s.io",), ("tokenreviews",)),
        Rule(("create",), ("authorization.k8s.io",), ("subjectaccessreviews",)),
        Rule(("get",), urls=("/api", "/api/*", "/apis", "/apis/*")),
    ),
    "system:aggregate-to-view": (
        Rule(_READ, ("",), _CORE_VIEW),
        Rule(_READ, ("apps",), (*_APPS, "controllerrevisions", *(f"{name}/status" for name in _APPS))),
        Rule(_READ, ("apps",), ("deployments/scale", "replicasets/scale", "statefulsets/scale")),
        Rule(_READ, ("discovery.k8s.io",), ("endpointslices",)),
        Rule(_READ, ("batch",), ("cronjobs", "jobs", "cronjobs/status", "jobs/status")),
        Rule(_READ, ("policy",), ("poddisruptionbudgets", "poddisruptionbudgets/status")),
        Rule(_READ, ("networking.k8s.io",), ("ingresses", "ingresses/status", "networkpolicies")),
    ),
    "system:aggregate-to-edit": (
        Rule(_WRITE, ("",), _CORE_EDIT),
        Rule(
            _READ,
            ("",),
            ("pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"),
        ),
        Rule(("impersonate",), ("",), ("serviceaccounts",)),
        Rule(("create",), ("",), ("pods/eviction", "serviceaccounts/token")),
        Rule(_WRITE, ("apps",), (*_APPS, "deployments/scale", "replicasets/scale", "statefulsets/scale")),
        Rule(_WRITE, ("apps",), ("deployments/rollback",)),
        Rule(_WRITE, ("batch",), ("cronjobs", "jobs")),
        Rule(_WRITE, ("policy",), ("poddisruptionbudgets",)),
        Rule(_WRITE, ("networking.k8s.io",), ("ingresses", "networkpolicies")),
        Rule((*_READ, *_WRITE), ("coordination.k8s.io",), ("leases",)),
    ),
    "system:aggregate-to-admin": (
        Rule(("create",), ("authorization.k8s.io",), ("localsubjectaccessreviews",)),
        Rule((*_READ, *_WRITE), (RBAC_GROUP,), ("roles", "rolebindings")),
    ),
}

_CONTROLLERS: dict[str, tuple[Rule, ...]] = {
    "generic-garbage-collector": (
        _EVENTS,
        Rule(("delete", *_READ, "patch", "update"), _ANYTHING, _ANYTHING),
    ),
    "namespace-controller": (
        Rule(("delete", *_READ), ("",), ("namespaces",)),
        Rule(("update",), ("",), ("namespaces/finalize", "namespaces/status")),
        Rule(("delete", "deletecollection", "get", "list"), _ANYTHING, _ANYTHING),
    ),
    "service-account-controller": (_EVENTS, Rule(("create",), ("",), ("serviceaccounts",))),
    "root-ca-cert-publisher": (_EVENTS, Rule(("create", "update"), ("",), ("configmaps",))),
    "pod-garbage-collector": (
        Rule(("delete", *_READ), ("",), ("pods",)),
        Rule(("get", "list"), ("",), ("nodes",)),
        Rule(("patch",), ("",), ("pods/status",)),
    ),
    "node-controller": (
        _EVENTS,
        _LEASES,
        Rule(("delete", *_READ, "patch", "update"), ("",), ("nodes",)),
        Rule(("patch", "update"), ("",), ("nodes/status",)),
        Rule(("patch", "update"), ("",), ("pods/status",)),
        Rule(("delete", *_READ), ("",), ("pods",)),
    ),
    "clusterrole-aggregation-controller": (
        Rule(("escalate", *_READ, "patch", "update"), (RBAC_GROUP,), ("clusterroles",)),
    ),
}

_AGGREGATED = {
    "admin": ("admin", {}),
    "edit": ("edit", {f"{RBAC_GROUP}/aggregate-to-admin": "true"}),
    "view": ("view", {f"{RBAC_GROUP}/aggregate-to-edit": "true"}),
}

_CLUSTER_BINDINGS: tuple[tuple[str, str, str], ...] = (
    ("cluster-admin", "Group", "system:masters"),
    ("system:discovery", "Group", "system:authenticated"),
    ("system:basic-user", "Group", "system:authenticated"),
    ("system:public-info-viewer", "Group", "system:authenticated"),
    ("system:public-info-viewer", "Group", "system:unauthenticated"),
    ("system:monitoring", "Group", "system:monitoring"),
    ("system:service-account-issuer-discovery", "Group", "system:serviceaccounts"),
    ("system:kube-scheduler", "User", "system:kube-scheduler"),
    ("system:node-proxier", "User", "system:kube-proxy"),
    ("system:kube-controller-manager", "User", "system:kube-controller-manager"),
)

_AUTHENTICATION_READER = "extension-apiserver-authentication-reader"


def objects() -> list[dict[str, Any]]:
    """All bootstrap roles and bindings as documents, roles first."""
    return [*_cluster_roles(), *_roles(), *_cluster_role_bindings(), *_role_bindings()]


def reconciled(current: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any] | None:
    """`current` with the rules and subjects that `wanted` has and it lacks; None if nothing is missing.

    Additions by the administrator stay. An object with autoupdate switched off is left alone.
    """
    annotations = (current.get("metadata") or {}).get("annotations") or {}
    if annotations.get(AUTOUPDATE) != "true" or wanted.get("aggregationRule"):
        return None
    result = copy.deepcopy(current)
    changed = False
    for field in ("rules", "subjects"):
        present = result.get(field) or []
        missing = [entry for entry in wanted.get(field) or () if entry not in present]
        if missing:
            result[field] = [*present, *missing]
            changed = True
    return result if changed else None


def _cluster_roles() -> Iterable[dict[str, Any]]:
    for name, rules in _CLUSTER_ROLES.items():
        labels = {}
        if name.startswith("system:aggregate-to-"):
            labels[f"{RBAC_GROUP}/aggregate-to-{name.removeprefix('system:aggregate-to-')}"] = "true"
        yield _role("ClusterRole", name, rules, labels=labels)
    yield _role("ClusterRole", METRICS_READER, (_METRICS,), labels=_EVERYBODYS)
    for name, rules in (_CONTROLLERS | CONTROLLER_ROLES).items():
        yield _role("ClusterRole", f"system:controller:{name}", rules)
    for name, (target, labels) in _AGGREGATED.items():
        selector = {"matchLabels": {f"{RBAC_GROUP}/aggregate-to-{target}": "true"}}
        role = _role("ClusterRole", name, (), labels=labels)
        role["aggregationRule"] = {"clusterRoleSelectors": [selector]}
        yield role


def _roles() -> Iterable[dict[str, Any]]:
    rule = Rule(_READ, ("",), ("configmaps",), ("extension-apiserver-authentication",))
    yield _role("Role", _AUTHENTICATION_READER, (rule,), namespace="kube-system")
    yield _role("Role", IMPERSONATOR, (impersonation(),), namespace="kube-system")


def _cluster_role_bindings() -> Iterable[dict[str, Any]]:
    subjects: dict[str, list[dict[str, str]]] = {}
    for role, kind, name in _CLUSTER_BINDINGS:
        subjects.setdefault(role, []).append({"kind": kind, "apiGroup": RBAC_GROUP, "name": name})
    for role, bound in subjects.items():
        yield _binding("ClusterRoleBinding", role, "ClusterRole", bound)
    for controller in _CONTROLLERS:
        account = {"kind": "ServiceAccount", "name": controller, "namespace": "kube-system"}
        process = {"kind": "User", "apiGroup": RBAC_GROUP, "name": "system:kube-controller-manager"}
        yield _binding(
            "ClusterRoleBinding", f"system:controller:{controller}", "ClusterRole", [account, process]
        )
    for controller in CONTROLLER_ROLES:
        account = {"kind": "ServiceAccount", "name": controller, "namespace": "kube-system"}
        yield _binding("ClusterRoleBinding", f"system:controller:{controller}", "ClusterRole", [account])


def _role_bindings() -> Iterable[dict[str, Any]]:
    users = ("system:kube-controller-manager", "system:kube-scheduler")
    subjects = [{"kind": "User", "apiGroup": RBAC_GROUP, "name": user} for user in users]
    binding = _binding("RoleBinding", _AUTHENTICATION_READER, "Role", subjects)
    binding["metadata"]["name"] = f"system::{_AUTHENTICATION_READER}"
    binding["metadata"]["namespace"] = "kube-system"
    yield binding
    process = {"kind": "User", "apiGroup": RBAC_GROUP, "name": "system:kube-controller-manager"}
    acting = _binding("RoleBinding", IMPERSONATOR, "Role", [process])
    acting["metadata"]["namespace"] = "kube-system"
    yield acting


def _metadata(name: str, namespace: str, labels: dict[str, str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    metadata["labels"] = {**_LABELS, **labels}
    metadata["annotations"] = {AUTOUPDATE: "true"}
    return metadata


def _role(
    kind: str, name: str, rules: Sequence[Rule], namespace: str = "", labels: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "apiVersion": f"{RBAC_GROUP}/v1",
        "kind": kind,
        "metadata": _metadata(name, namespace, labels or {}),
        "rules": [rule.to_dict() for rule in rules],
    }


def _binding(kind: str, role: str, role_kind: str, subjects: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "apiVersion": f"{RBAC_GROUP}/v1",
        "kind": kind,
        "metadata": _metadata(role, "", {}),
        "subjects": subjects,
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": role_kind, "name": role},
    }
