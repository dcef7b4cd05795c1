"""Custom resources: pruning, defaulting, validation, ratcheting, list uniqueness, merge trees."""

from __future__ import annotations

from typing import Any

import pytest

from edgevirt.engine.apiserver.schema.structural import StructuralSchema

pytestmark = pytest.mark.unit

Json = dict[str, Any]


def schema_of(**properties: Json) -> StructuralSchema:
    """A kind whose spec has these properties."""
    root = {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}
    return StructuralSchema(root, "example.com", "v1", "Thing")


def causes(schema: StructuralSchema, spec: Json, old: Json | None = None) -> list[tuple[str, str]]:
    found = schema.validate({"spec": spec}, None if old is None else {"spec": old})
    return [(cause.field, cause.message) for cause in found]


def test_unknown_fields_are_dropped_and_listed_sorted() -> None:
    schema = schema_of(
        l={"type": "array", "items": {"type": "object", "properties": {"p": {"type": "string"}}}}
    )
    obj: Json = {
        "apiVersion": "x",
        "kind": "y",
        "metadata": {"zz": 1},
        "top": 1,
        "spec": {"u": 1, "l": [{"q": 1}]},
    }
    assert schema.prune(obj) == ["metadata.zz", "spec.l[0].q", "spec.u", "top"]
    assert obj == {"apiVersion": "x", "kind": "y", "metadata": {}, "spec": {"l": [{}]}}


def test_preserved_fields_stay_but_declared_ones_below_are_pruned() -> None:
    schema = schema_of(
        pu={
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {"k": {"type": "object", "properties": {"only": {"type": "string"}}}},
        }
    )
    obj = {"spec": {"pu": {"any": {"thing": 1}, "k": {"only": "x", "gone": 1}}}}
    assert schema.prune(obj) == ["spec.pu.k.gone"]
    assert obj["spec"]["pu"]["any"] == {"thing": 1}


def test_defaults_fill_what_is_absent_or_null_unless_nullable() -> None:
    schema = schema_of(
        a={"type": "string", "default": "d"},
        n={"type": "string", "nullable": True, "default": "x"},
        o={"type": "object", "default": {}, "properties": {"in": {"type": "integer", "default": 7}}},
        gone={"type": "string"},
    )
    obj: Json = {"spec": {"a": None, "n": None, "gone": None}}
    schema.apply_defaults(obj)
    assert obj == {"spec": {"a": "d", "n": None, "o": {"in": 7}}}
    untouched: Json = {}
    schema.apply_defaults(untouched)
    assert untouched == {}


def test_a_default_is_not_shared_between_objects() -> None:
    schema = schema_of(
        o={"type": "object", "default": {"l": []}, "x-kubernetes-preserve-unknown-fields": True}
    )
    first: Json = {"spec": {}}
    second: Json = {"spec": {}}
    schema.apply_defaults(first)
    first["spec"]["o"]["l"].append(1)
    schema.apply_defaults(second)
    assert second["spec"]["o"] == {"l": []}


@pytest.mark.parametrize(
    ("declared", "value", "field", "message"),
    [
        ({"type": "string", "maxLength": 2}, "abc", "spec.v", "Too long: may not be more than 2 bytes"),
        (
            {"type": "string", "pattern": "^a"},
            "b",
            "spec.v",
            "Invalid value: \"b\": spec.v in body should match '^a'",
        ),
        (
            {"type": "integer", "format": "int32"},
            3_000_000_000,
            "<nil>",
            'Invalid value: "": Checked value must be of type integer with format int32 in spec.v',
        ),
        (
            {"type": "array", "maxItems": 1, "items": {"type": "string"}},
            ["a", "b"],
            "spec.v",
            "Too many: 2: must have at most 1 items",
        ),
        (
            {"type": "string", "format": "ipv4"},
            "1.2",
            "spec.v",
            'Invalid value: "1.2": spec.v in body must be of type ipv4: "1.2"',
        ),
        (
            {"x-kubernetes-int-or-string": True},
            {},
            "spec.v",
            'Invalid value: "object": spec.v in body must be of type integer,string: "object"',
        ),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            {"a": "x"},
            "spec.v.a",
            'Invalid value: "string": spec.v.a in body must be of type integer: "string"',
        ),
        (
            {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            ["a", "a"],
            "spec.v[1]",
            'Duplicate value: "a"',
        ),
        (
            {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["n"],
                "items": {"type": "object", "required": ["n"], "properties": {"n": {"type": "string"}}},
            },
            [{"n": "a"}, {"n": "a"}],
            "spec.v[1]",
            'Duplicate value: {"n":"a"}',
        ),
        (
            {"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 1}]},
            3,
            "<nil>",
            'Invalid value: "": "spec.v" must validate at least one schema (anyOf)',
        ),
        (
            {"type": "integer", "allOf": [{"minimum": 5}]},
            3,
            "spec.v",
            "Invalid value: 3: spec.v in body should be greater than or equal to 5",
        ),
    ],
)
def test_a_broken_rule_is_worded_as_kubernetes_words_it(
    declared: Json, value: Any, field: str, message: str
) -> None:
    assert causes(schema_of(v=declared), {"v": value})[0] == (field, message)


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ({"type": "integer"}, 1.0),
        ({"type": "number"}, 1),
        ({"x-kubernetes-int-or-string": True}, "50%"),
        ({"type": "string", "nullable": True}, None),
        ({"type": "string", "format": "nobody-knows"}, "x"),
        ({"type": "string", "format": "date-time"}, "2026-01-02T03:04:05.678+01:00"),
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": True}, 1),
        ({"type": "number", "multipleOf": 0.1}, 0.3),
    ],
)
def test_valid_values_pass(declared: Json, value: Any) -> None:
    assert causes(schema_of(v=declared), {"v": value}) == []


def test_an_unchanged_value_is_not_checked_again() -> None:
    schema = schema_of(a={"type": "integer", "maximum": 5}, b={"type": "integer", "maximum": 5})
    assert causes(schema, {"a": 9, "b": 1}, {"a": 9, "b": 0}) == []
    assert [field for field, _ in causes(schema, {"a": 9, "b": 9}, {"a": 9, "b": 0})] == ["spec.b"]


def test_an_embedded_object_needs_its_identity() -> None:
    schema = schema_of(
        er={
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "x-kubernetes-preserve-unknown-fields": True,
        }
    )
    assert causes(schema, {"er": {"kind": "x"}}) == [("spec.er.apiVersion", "Required value")]
    obj = {
        "spec": {
            "er": {"apiVersion": "v1", "kind": "P", "metadata": {"name": "x", "bogus": 1}, "spec": {"a": 1}}
        }
    }
    assert schema.prune(obj) == ["spec.er.metadata.bogus"]


def test_metadata_of_custom_resources_is_decoded_like_any_other() -> None:
    assert schema_of().type_error({"metadata": {"labels": {"x": 1}}}) == (
        "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"
    )


def test_merge_kinds_follow_the_list_and_map_types() -> None:
    schema = schema_of(
        keyed={
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["n", "p"],
            "items": {
                "type": "object",
                "properties": {"n": {"type": "string"}, "p": {"type": "string", "default": "TCP"}},
            },
        },
        plain={"type": "array", "items": {"type": "string"}},
        whole={
            "type": "object",
            "x-kubernetes-map-type": "atomic",
            "additionalProperties": {"type": "string"},
        },
        open={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        word={"x-kubernetes-int-or-string": True},
    )
    spec = schema.merge_node().fields["spec"]
    keyed = spec.fields["keyed"]
    assert (keyed.kind, keyed.keys, keyed.key_defaults) == ("list", ("n", "p"), {"p": "TCP"})
    assert [spec.fields[name].kind for name in ("plain", "whole", "open", "word")] == [
        "atomic",
        "atomic",
        "map",
        "scalar",
    ]
    assert spec.fields["open"].open
    assert schema.merge_node().fields["metadata"].fields["finalizers"].kind == "set"


def test_version_2_leaves_out_what_it_cannot_say() -> None:
    schema = schema_of(
        n={"type": "string", "nullable": True},
        i={"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        o={"type": "object", "oneOf": [{"required": ["a"]}], "properties": {"a": {"type": "string"}}},
    )
    properties = schema.openapi_v2()["com.example.v1.Thing"]["properties"]["spec"]["properties"]
    assert properties["n"] == {}
    assert properties["i"] == {"x-kubernetes-int-or-string": True}
    assert properties["o"] == {"type": "object", "properties": {"a": {"type": "string"}}}
    assert "oneOf" in schema.openapi_v3()["com.example.v1.Thing"]["properties"]["spec"]["properties"]["o"]


def test_a_kind_without_a_schema_keeps_everything() -> None:
    schema = StructuralSchema(None, "example.com", "v1", "Thing")
    obj = {"any": {"thing": [1]}}
    assert schema.prune(obj) == []
    assert schema.validate(obj) == []
