"""Kubernetes admissionregistration types."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.meta import Condition, KubeObject, LabelSelector, Struct


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


class NamedRuleWithOperations(RuleWithOperations):
    resource_names: tuple[str, ...] = ()


class MatchResources(Struct):
    exclude_resource_rules: tuple[NamedRuleWithOperations, ...] = ()
    match_policy: str = ""
    namespace_selector: LabelSelector | None = None
    object_selector: LabelSelector | None = None
    resource_rules: tuple[NamedRuleWithOperations, ...] = ()


class ParamKind(Struct):
    api_version: str = ""
    kind: str = ""


class Validation(Struct):
    expression: str = ""
    message: str = ""
    message_expression: str = ""
    reason: str = ""


class AuditAnnotation(Struct):
    key: str = ""
    value_expression: str = ""


class Variable(Struct):
    expression: str = ""
    name: str = ""


class ValidatingAdmissionPolicySpec(Struct):
    audit_annotations: tuple[AuditAnnotation, ...] = ()
    failure_policy: str = ""
    match_conditions: tuple[MatchCondition, ...] = ()
    match_constraints: MatchResources | None = None
    param_kind: ParamKind | None = None
    validations: tuple[Validation, ...] = ()
    variables: tuple[Variable, ...] = ()


class ExpressionWarning(Struct):
    field_ref: str = ""
    warning: str = ""


class TypeChecking(Struct):
    expression_warnings: tuple[ExpressionWarning, ...] = ()


class ValidatingAdmissionPolicyStatus(Struct):
    conditions: tuple[Condition, ...] = ()
    observed_generation: int | None = None
    type_checking: TypeChecking | None = None


class ValidatingAdmissionPolicy(KubeObject):
    spec: ValidatingAdmissionPolicySpec | None = None
    status: ValidatingAdmissionPolicyStatus | None = None


class ParamRef(Struct):
    name: str = ""
    namespace: str = ""
    parameter_not_found_action: str = ""
    selector: LabelSelector | None = None


class ValidatingAdmissionPolicyBindingSpec(Struct):
    match_resources: MatchResources | None = None
    param_ref: ParamRef | None = None
    policy_name: str = ""
    validation_actions: tuple[str, ...] = ()


class ValidatingAdmissionPolicyBinding(KubeObject):
    spec: ValidatingAdmissionPolicyBindingSpec | None = None


class ApplyConfiguration(Struct):
    expression: str = ""


class JSONPatch(Struct):
    expression: str = ""


class Mutation(Struct):
    apply_configuration: ApplyConfiguration | None = None
    json_patch: JSONPatch | None = field(default=None, name="jsonPatch")
    patch_type: str = ""


class MutatingAdmissionPolicySpec(Struct):
    failure_policy: str = ""
    match_conditions: tuple[MatchCondition, ...] = ()
    match_constraints: MatchResources | None = None
    mutations: tuple[Mutation, ...] = ()
    param_kind: ParamKind | None = None
    reinvocation_policy: str = ""
    variables: tuple[Variable, ...] = ()


class MutatingAdmissionPolicy(KubeObject):
    spec: MutatingAdmissionPolicySpec | None = None


class MutatingAdmissionPolicyBindingSpec(Struct):
    match_resources: MatchResources | None = None
    param_ref: ParamRef | None = None
    policy_name: str = ""


class MutatingAdmissionPolicyBinding(KubeObject):
    spec: MutatingAdmissionPolicyBindingSpec | None = None
