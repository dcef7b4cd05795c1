"""Kubernetes core/v1: LimitRange and ResourceQuota."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.meta import KubeObject, Struct


class LimitRangeItem(Struct):
    default: dict[str, str] = field(default_factory=dict)
    default_request: dict[str, str] = field(default_factory=dict)
    max: dict[str, str] = field(default_factory=dict)
    max_limit_request_ratio: dict[str, str] = field(default_factory=dict)
    min: dict[str, str] = field(default_factory=dict)
    type: str = ""


class LimitRangeSpec(Struct):
    limits: tuple[LimitRangeItem, ...] = ()


class LimitRange(KubeObject):
    spec: LimitRangeSpec | None = None


class ScopedResourceSelectorRequirement(Struct):
    operator: str = ""
    scope_name: str = ""
    values: tuple[str, ...] = ()


class ScopeSelector(Struct):
    match_expressions: tuple[ScopedResourceSelectorRequirement, ...] = ()


class ResourceQuotaSpec(Struct):
    hard: dict[str, str] = field(default_factory=dict)
    scope_selector: ScopeSelector | None = None
    scopes: tuple[str, ...] = ()


class ResourceQuotaStatus(Struct):
    hard: dict[str, str] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)


class ResourceQuota(KubeObject):
    spec: ResourceQuotaSpec | None = None
    status: ResourceQuotaStatus | None = None
