"""CustomResourceDefinitions: which are admitted, and what they serve."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from edgevirt.engine.apiserver.schema.crd import served_resources, version_order
from edgevirt.engine.apiserver.schema.crd_rules import validate_crd

pytestmark = pytest.mark.unit

Json = dict[str, Any]
SCHEMA = "spec.versions[1].schema.openAPIV3Schema"


def found(crd: Json, old: Json | None = None) -> list[tuple[str, str]]:
    return [(cause.field, cause.message) for cause in validate_crd(crd, old)]


def schema_in(crd: Json) -> Json:
    schema: Json = crd["spec"]["versions"][1]["schema"]["openAPIV3Schema"]
    return schema


def test_a_good_definition_is_admitted(widget: Json) -> None:
    assert found(widget) == []


def _edit(path: str, value: Any) -> Callable[[Json], None]:
    def edit(crd: Json) -> None:
        target: Any = crd
        *parents, last = path.split("/")
        for name in parents:
            target = target[int(name)] if isinstance(target, list) else target[name]
        target[last] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "field", "message"),
    [
        (
            _edit("metadata/name", "x"),
            "metadata.name",
            'Invalid value: "x": must be spec.names.plural+"."+spec.group',
        ),
        (_edit("spec/scope", "World"), "spec.scope", 'Unsupported value: "World"'),
        (_edit("spec/names/kind", ""), "spec.names.kind", "Required value"),
        (
            _edit("spec/names/listKind", "Widget"),
            "spec.names.listKind",
            "kind and listKind may not be the same",
        ),
        (
            _edit("spec/names/shortNames", ["Bad_"]),
            "spec.names.shortNames[0]",
            "a DNS-1035 label must consist",
        ),
        (
            _edit("spec/versions/0/storage", True),
            "spec.versions",
            "must have exactly one version marked as storage",
        ),
        (_edit("spec/versions/0/name", "v1"), "spec.versions", "must contain unique version names"),
        (
            _edit("spec/versions/0/schema", {}),
            "spec.versions[0].schema.openAPIV3Schema",
            "schemas are required",
        ),
        (
            _edit("spec/conversion", {"strategy": "Webhook"}),
            "spec.conversion.webhookClientConfig",
            "required when strategy is set to Webhook",
        ),
        (
            _edit(
                "spec/conversion",
                {
                    "strategy": "Webhook",
                    "webhook": {"clientConfig": {"url": "http://x"}, "conversionReviewVersions": ["v1"]},
                },
            ),
            "spec.conversion.webhookClientConfig.url",
            "'https' is the only allowed URL scheme",
        ),
        (
            _edit(
                "spec/conversion",
                {
                    "strategy": "Webhook",
                    "webhook": {
                        "clientConfig": {"url": "https://x"},
                        "conversionReviewVersions": ["v1beta1"],
                    },
                },
            ),
            "spec.conversion.conversionReviewVersions",
            "must include at least one of v1",
        ),
        (
            _edit("spec/conversion", {"strategy": "None", "webhook": {}}),
            "spec.conversion.webhookClientConfig",
            "should not be set when strategy is not set to Webhook",
        ),
        (_edit("spec/preserveUnknownFields", True), "spec.preserveUnknownFields", "must be false"),
        (
            _edit("status", {"storedVersions": ["v0"]}),
            "status.storedVersions[0]",
            "missing from spec.versions",
        ),
        (
            _edit(
                "spec/versions/1/additionalPrinterColumns", [{"name": "A", "type": "str", "jsonPath": "x"}]
            ),
            "spec.versions[1].additionalPrinterColumns[0].type",
            "must be one of boolean,date,integer,number,string",
        ),
        (
            _edit(
                "spec/versions/1/additionalPrinterColumns",
                [{"name": "A", "type": "date", "jsonPath": ".a[("}],
            ),
            "spec.versions[1].additionalPrinterColumns[0].jsonPath",
            "is an invalid path",
        ),
        (
            _edit("spec/versions/1/subresources", {"scale": {"statusReplicasPath": ".status.x"}}),
            "spec.versions[1].subresources.scale.specReplicasPath",
            "Required value",
        ),
        (
            _edit("spec/versions/1/selectableFields", [{"jsonPath": ".metadata.name"}]),
            "spec.versions[1].selectableFields[0].jsonPath",
            "must not point to metadata",
        ),
    ],
)
def test_what_is_wrong_with_a_definition_is_said_where_it_is_wrong(
    widget: Json, edit: Callable[[Json], None], field: str, message: str
) -> None:
    edit(widget)
    assert any(field == where and message in text for where, text in found(widget)), found(widget)


@pytest.mark.parametrize(
    ("declared", "field", "message"),
    [
        ({}, "type", "Required value: must not be empty for specified object fields"),
        ({"type": "text"}, "type", 'Unsupported value: "text"'),
        ({"type": "array"}, "items", "Required value: must be specified"),
        ({"type": "string", "pattern": "("}, "pattern", "must be a valid regular expression, but isn't"),
        ({"type": "string", "pattern": "(?=a)"}, "pattern", "must be a valid regular expression, but isn't"),
        ({"type": "array", "uniqueItems": True, "items": {"type": "string"}}, "uniqueItems", "quadratic"),
        ({"type": "object", "additionalProperties": False}, "additionalProperties", "cannot be set to false"),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "additionalProperties": {"type": "string"},
            },
            "additionalProperties",
            "mutual exclusive",
        ),
        (
            {"type": "object", "anyOf": [{"type": "object"}]},
            "anyOf[0].type",
            "must be empty to be structural",
        ),
        (
            {"type": "object", "oneOf": [{"properties": {"a": {"minimum": 1}}}]},
            "properties[a]",
            "because it is defined in",
        ),
        (
            {"type": "object", "x-kubernetes-preserve-unknown-fields": False},
            "x-kubernetes-preserve-unknown-fields",
            "must be true",
        ),
        (
            {"type": "string", "x-kubernetes-int-or-string": True},
            "type",
            "must be empty if x-kubernetes-int-or-string",
        ),
        ({"type": "object", "$ref": "#/x"}, "$ref", "is not supported"),
        (
            {"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}},
            "x-kubernetes-list-map-keys",
            "must not be empty if x-kubernetes-list-type is map",
        ),
        (
            {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["n"],
                "items": {"type": "object", "properties": {"n": {"type": "string"}}},
            },
            "items.properties[n].default",
            "must have a default or be a required property",
        ),
        ({"type": "integer", "default": "x"}, "default", "must be of type integer"),
        (
            {"type": "object", "default": {"zz": 1}, "properties": {"a": {"type": "string"}}},
            "default",
            "must not have unknown fields: zz",
        ),
        (
            {"type": "string", "x-kubernetes-validations": [{"rule": "self +"}]},
            "x-kubernetes-validations[0].rule",
            "compilation failed",
        ),
    ],
)
def test_a_schema_that_is_not_structural_is_refused(
    widget: Json, declared: Json, field: str, message: str
) -> None:
    schema_in(widget)["properties"]["x"] = declared
    place = f"{SCHEMA}.properties[x].{field}"
    assert any(where == place and message in text for where, text in found(widget)), found(widget)


def test_the_usual_form_of_a_number_or_text_is_structural(widget: Json) -> None:
    schema_in(widget)["properties"]["x"] = {
        "x-kubernetes-int-or-string": True,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
    }
    assert found(widget) == []


def test_metadata_may_only_restrict_names(widget: Json) -> None:
    schema_in(widget)["properties"]["metadata"] = {"type": "object", "required": ["labels"]}
    assert [where for where, _ in found(widget)] == [f"{SCHEMA}.properties[metadata]"]
    schema_in(widget)["properties"]["metadata"] = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 5}},
    }
    assert found(widget) == []


def test_identity_of_a_definition_cannot_change(widget: Json) -> None:
    old = copy.deepcopy(widget)
    widget["spec"]["scope"] = "Cluster"
    widget["spec"]["names"]["kind"] = "Gadget"
    assert [where for where, _ in found(widget, old)] == ["spec.scope", "spec.names.kind"]


def test_protected_groups_need_an_approval(widget: Json) -> None:
    widget["metadata"]["name"] = "widgets.x.k8s.io"
    widget["spec"]["group"] = "x.k8s.io"
    assert found(widget)[0][0] == "metadata.annotations[api-approved.kubernetes.io]"
    widget["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, experimental"}
    assert found(widget) == []


def test_served_versions_come_preferred_first(widget: Json, strategy: Any) -> None:
    first, second = served_resources(widget, strategy, "example.com/widgets/")
    assert (first.version, second.version) == ("v1", "v1beta1")
    assert (first.storage_version, second.storage_version) == (True, False)
    assert first.subresources == {"status", "scale"}
    assert second.subresources == frozenset()
    assert second.deprecated_warning == "example.com/v1beta1 Widget is deprecated"
    assert first.selectable_fields == {"spec.color"}
    assert first.scale is not None
    assert first.scale.spec_replicas_path == ".spec.size"
    assert (first.short_names, first.categories, first.custom) == (("wd",), ("all",), True)
    assert [column.name for column in first.columns] == ["Name", "Color"]
    assert [column.name for column in second.columns] == ["Name", "Age"]
    widget["spec"]["versions"][0]["served"] = False
    assert [r.version for r in served_resources(widget, strategy, "x/")] == ["v1"]


def test_versions_sort_by_stability_then_number() -> None:
    names = ["foo10", "v1alpha1", "v11beta2", "v10", "v2", "v12alpha1", "v3beta1", "v1", "foo1", "v10beta3"]
    assert sorted(names, key=version_order) == [
        "v10",
        "v2",
        "v1",
        "v11beta2",
        "v10beta3",
        "v3beta1",
        "v12alpha1",
        "v1alpha1",
        "foo1",
        "foo10",
    ]
