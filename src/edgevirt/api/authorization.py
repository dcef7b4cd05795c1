"""Kubernetes authorization types."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.meta import KubeObject, LabelSelectorRequirement, Struct


class NonResourceAttributes(Struct):
    path: str = ""
    verb: str = ""


class FieldSelectorRequirement(Struct):
    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class FieldSelectorAttributes(Struct):
    raw_selector: str = ""
    requirements: tuple[FieldSelectorRequirement, ...] = ()


class LabelSelectorAttributes(Struct):
    raw_selector: str = ""
    requirements: tuple[LabelSelectorRequirement, ...] = ()


class ResourceAttributes(Struct):
    field_selector: FieldSelectorAttributes | None = None
    group: str = ""
    label_selector: LabelSelectorAttributes | None = None
    name: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    verb: str = ""
    version: str = ""


class SubjectAccessReviewSpec(Struct):
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    non_resource_attributes: NonResourceAttributes | None = None
    resource_attributes: ResourceAttributes | None = None
    uid: str = ""
    user: str = ""


class SubjectAccessReviewStatus(Struct):
    allowed: bool | None = None
    denied: bool | None = None
    evaluation_error: str = ""
    reason: str = ""


class SubjectAccessReview(KubeObject):
    spec: SubjectAccessReviewSpec | None = None
    status: SubjectAccessReviewStatus | None = None


class SelfSubjectAccessReviewSpec(Struct):
    non_resource_attributes: NonResourceAttributes | None = None
    resource_attributes: ResourceAttributes | None = None


class SelfSubjectAccessReview(KubeObject):
    spec: SelfSubjectAccessReviewSpec | None = None
    status: SubjectAccessReviewStatus | None = None


class LocalSubjectAccessReview(KubeObject):
    spec: SubjectAccessReviewSpec | None = None
    status: SubjectAccessReviewStatus | None = None


class SelfSubjectRulesReviewSpec(Struct):
    namespace: str = ""


class NonResourceRule(Struct):
    non_resource_ur_ls: tuple[str, ...] = field(default=(), name="nonResourceURLs")
    verbs: tuple[str, ...] = ()


class ResourceRule(Struct):
    api_groups: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()


class SubjectRulesReviewStatus(Struct):
    evaluation_error: str = ""
    incomplete: bool | None = None
    non_resource_rules: tuple[NonResourceRule, ...] = ()
    resource_rules: tuple[ResourceRule, ...] = ()


class SelfSubjectRulesReview(KubeObject):
    spec: SelfSubjectRulesReviewSpec | None = None
    status: SubjectRulesReviewStatus | None = None
