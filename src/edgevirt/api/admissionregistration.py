"""Kubernetes admissionregistration types."""

from __future__ import annotations

from edgevirt.api.meta import KubeObject, LabelSelector, Struct


class ServiceReference(Struct):
    name: str = ""
    namespace: str = ""
    path: str = ""
    port: int | None = None


class WebhookClientConfig(Struct):
    ca_bundle: bytes | None = None
    service: ServiceReference | None = None
    url: str = ""


class MatchCondition(Struct):
    expression: str = ""
    name: str = ""


class RuleWithOperations(Struct):
    api_groups: tuple[str, ...] = ()
    api_versions: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    scope: str = ""


class MutatingWebhook(Struct):
    admission_review_versions: tuple[str, ...] = ()
    client_config: WebhookClientConfig | None = None
    failure_policy: str = ""
    match_conditions: tuple[MatchCondition, ...] = ()
    match_policy: str = ""
    name: str = ""
    namespace_selector: LabelSelector | None = None
    object_selector: LabelSelector | None = None
    reinvocation_policy: str = ""
    rules: tuple[RuleWithOperations, ...] = ()
    side_effects: str = ""
    timeout_seconds: int | None = None


class MutatingWebhookConfiguration(KubeObject):
    webhooks: tuple[MutatingWebhook, ...] = ()


class ValidatingWebhook(Struct):
    admission_review_versions: tuple[str, ...] = ()
    client_config: WebhookClientConfig | None = None
    failure_policy: str = ""
    match_conditions: tuple[MatchCondition, ...] = ()
    match_policy: str = ""
    name: str = ""
    namespace_selector: LabelSelector | None = None
    object_selector: LabelSelector | None = None
    rules: tuple[RuleWithOperations, ...] = ()
    side_effects: str = ""
    timeout_seconds: int | None = None


class ValidatingWebhookConfiguration(KubeObject):
    webhooks: tuple[ValidatingWebhook, ...] = ()
