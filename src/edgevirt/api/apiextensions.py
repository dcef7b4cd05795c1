"""Kubernetes apiextensions types."""

from __future__ import annotations

from typing import Any

from msgspec import field

from edgevirt.api.meta import KubeObject, Struct, Time


class ServiceReference(Struct):
    name: str = ""
    namespace: str = ""
    path: str = ""
    port: int | None = None


class WebhookClientConfig(Struct):
    ca_bundle: bytes | None = None
    service: ServiceReference | None = None
    url: str = ""


class WebhookConversion(Struct):
    client_config: WebhookClientConfig | None = None
    conversion_review_versions: tuple[str, ...] = ()


class CustomResourceConversion(Struct):
    strategy: str = ""
    webhook: WebhookConversion | None = None


class CustomResourceDefinitionNames(Struct):
    categories: tuple[str, ...] = ()
    kind: str = ""
    list_kind: str = ""
    plural: str = ""
    short_names: tuple[str, ...] = ()
    singular: str = ""


class CustomResourceColumnDefinition(Struct):
    description: str = ""
    format: str = ""
    json_path: str = ""
    name: str = ""
    priority: int | None = None
    type: str = ""


class ExternalDocumentation(Struct):
    description: str = ""
    url: str = ""


class ValidationRule(Struct):
    field_path: str = ""
    message: str = ""
    message_expression: str = ""
    optional_old_self: bool | None = None
    reason: str = ""
    rule: str = ""


class JSONSchemaProps(Struct):
    ref: str = field(default="", name="$ref")
    schema_: str = field(default="", name="$schema")
    additional_items: Any = None
    additional_properties: Any = None
    all_of: tuple[JSONSchemaProps, ...] = ()
    any_of: tuple[JSONSchemaProps, ...] = ()
    default: Any = None
    definitions: dict[str, JSONSchemaProps] = field(default_factory=dict)
    dependencies: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    enum: tuple[Any, ...] = ()
    example: Any = None
    exclusive_maximum: bool | None = None
    exclusive_minimum: bool | None = None
    external_docs: ExternalDocumentation | None = None
    format: str = ""
    id: str = ""
    items: Any = None
    max_items: int | None = None
    max_length: int | None = None
    max_properties: int | None = None
    maximum: float | None = None
    min_items: int | None = None
    min_length: int | None = None
    min_properties: int | None = None
    minimum: float | None = None
    multiple_of: float | None = None
    not_: JSONSchemaProps | None = field(default=None, name="not")
    nullable: bool | None = None
    one_of: tuple[JSONSchemaProps, ...] = ()
    pattern: str = ""
    pattern_properties: dict[str, JSONSchemaProps] = field(default_factory=dict)
    properties: dict[str, JSONSchemaProps] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    title: str = ""
    type: str = ""
    unique_items: bool | None = None
    x_kubernetes_embedded_resource: bool | None = field(default=None, name="x-kubernetes-embedded-resource")
    x_kubernetes_int_or_string: bool | None = field(default=None, name="x-kubernetes-int-or-string")
    x_kubernetes_list_map_keys: tuple[str, ...] = field(default=(), name="x-kubernetes-list-map-keys")
    x_kubernetes_list_type: str = field(default="", name="x-kubernetes-list-type")
    x_kubernetes_map_type: str = field(default="", name="x-kubernetes-map-type")
    x_kubernetes_preserve_unknown_fields: bool | None = field(
        default=None, name="x-kubernetes-preserve-unknown-fields"
    )
    x_kubernetes_validations: tuple[ValidationRule, ...] = field(default=(), name="x-kubernetes-validations")


class CustomResourceValidation(Struct):
    open_apiv3_schema: JSONSchemaProps | None = field(default=None, name="openAPIV3Schema")


class SelectableField(Struct):
    json_path: str = ""


class CustomResourceSubresourceScale(Struct):
    label_selector_path: str = ""
    spec_replicas_path: str = ""
    status_replicas_path: str = ""


class CustomResourceSubresources(Struct):
    scale: CustomResourceSubresourceScale | None = None
    status: Any = None


class CustomResourceDefinitionVersion(Struct):
    additional_printer_columns: tuple[CustomResourceColumnDefinition, ...] = ()
    deprecated: bool | None = None
    deprecation_warning: str = ""
    name: str = ""
    schema: CustomResourceValidation | None = None
    selectable_fields: tuple[SelectableField, ...] = ()
    served: bool | None = None
    storage: bool | None = None
    subresources: CustomResourceSubresources | None = None


class CustomResourceDefinitionSpec(Struct):
    conversion: CustomResourceConversion | None = None
    group: str = ""
    names: CustomResourceDefinitionNames | None = None
    preserve_unknown_fields: bool | None = None
    scope: str = ""
    versions: tuple[CustomResourceDefinitionVersion, ...] = ()


class CustomResourceDefinitionCondition(Struct):
    last_transition_time: Time = ""
    message: str = ""
    observed_generation: int | None = None
    reason: str = ""
    status: str = ""
    type: str = ""


class CustomResourceDefinitionStatus(Struct):
    accepted_names: CustomResourceDefinitionNames | None = None
    conditions: tuple[CustomResourceDefinitionCondition, ...] = ()
    observed_generation: int | None = None
    stored_versions: tuple[str, ...] = ()


class CustomResourceDefinition(KubeObject):
    spec: CustomResourceDefinitionSpec | None = None
    status: CustomResourceDefinitionStatus | None = None
