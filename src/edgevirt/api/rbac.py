"""Kubernetes rbac types."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.meta import KubeObject, LabelSelector, Struct


class PolicyRule(Struct):
    api_groups: tuple[str, ...] = ()
    non_resource_ur_ls: tuple[str, ...] = field(default=(), name="nonResourceURLs")
    resource_names: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()


class Role(KubeObject):
    rules: tuple[PolicyRule, ...] = ()


class RoleRef(Struct):
    api_group: str = ""
    kind: str = ""
    name: str = ""


class Subject(Struct):
    api_group: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""


class RoleBinding(KubeObject):
    role_ref: RoleRef | None = None
    subjects: tuple[Subject, ...] = ()


class AggregationRule(Struct):
    cluster_role_selectors: tuple[LabelSelector, ...] = ()


class ClusterRole(KubeObject):
    aggregation_rule: AggregationRule | None = None
    rules: tuple[PolicyRule, ...] = ()


class ClusterRoleBinding(KubeObject):
    role_ref: RoleRef | None = None
    subjects: tuple[Subject, ...] = ()
