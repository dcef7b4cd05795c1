"""Whatever is posted as a definition is refused with causes or served; what is served judges any object."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.http.decode import decode_object
from edgevirt.engine.apiserver.kinds.builtins import builtin_registry
from edgevirt.engine.apiserver.kinds.strategies import Custom
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.schema.crd import served_resources
from edgevirt.engine.apiserver.schema.structural import StructuralSchema
from edgevirt.engine.apiserver.schema.structural_rules import check_structural
from edgevirt.engine.apiserver.schema.values import compiled
from edgevirt.engine.apiserver.writing.write import complete

pytestmark = pytest.mark.unit

Json = dict[str, Any]
FOUND = builtin_registry().lookup("apiextensions.k8s.io", "v1", "customresourcedefinitions")
assert FOUND is not None
DEFINITIONS: ServedResource = FOUND
RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(-1e3, 1e3) | st.text(max_size=5)
)
ANYTHING = st.recursive(
    SCALARS,
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text("abc", max_size=2), below, max_size=3)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(("a", "b", "c", "namespace", "x-y", "metadata"))
RULES = st.sampled_from(
    (
        "self == oldSelf",
        "self.a > 1",
        "size(self) < 3",
        "self.all(x, x == x)",
        "has(self.b)",
        "true",
        "self +",
        "",
        "self.a.matches('[')",
        "oldSelf.hasValue()",
    )
)


def keywords(below: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    """Schemas whose keywords mostly have values of the right type, and now and then any other."""

    def right(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return strategy | strategy | strategy | ANYTHING

    small = st.integers(-1, 5)
    return st.fixed_dictionaries(
        {"type": right(st.sampled_from(("object", "array", "string", "integer", "number", "boolean", "")))},
        optional={
            "properties": right(st.dictionaries(NAMES, below, max_size=3)),
            "additionalProperties": right(below | st.booleans()),
            "items": right(below),
            "required": right(st.lists(NAMES, max_size=2)),
            "default": ANYTHING,
            "enum": right(st.lists(SCALARS, max_size=3)),
            "format": right(st.sampled_from(("date-time", "duration", "byte", "int32", "ipv4", "nope"))),
            "nullable": right(st.booleans()),
            "pattern": right(st.sampled_from(("^a", "[", "(a+)+b", "(?=x)"))),
            "minLength": right(small),
            "maxLength": right(small),
            "minItems": right(small),
            "maxItems": right(small),
            "maxProperties": right(small),
            "minimum": right(small),
            "maximum": right(small),
            "multipleOf": right(small),
            "exclusiveMinimum": right(st.booleans()),
            "allOf": right(st.lists(below, max_size=2)),
            "anyOf": right(st.lists(below, max_size=2)),
            "oneOf": right(st.lists(below, max_size=2)),
            "not": right(below),
            "x-kubernetes-preserve-unknown-fields": right(st.booleans()),
            "x-kubernetes-int-or-string": right(st.booleans()),
            "x-kubernetes-embedded-resource": right(st.booleans()),
            "x-kubernetes-list-type": right(st.sampled_from(("map", "set", "atomic", "x"))),
            "x-kubernetes-list-map-keys": right(st.lists(NAMES, max_size=2)),
            "x-kubernetes-map-type": right(st.sampled_from(("atomic", "granular"))),
            "x-kubernetes-validations": right(
                st.lists(
                    st.fixed_dictionaries(
                        {"rule": RULES},
                        optional={
                            "message": st.text(max_size=3),
                            "messageExpression": RULES,
                            "optionalOldSelf": st.booleans(),
                            "fieldPath": st.sampled_from((".a", "x", "")),
                            "reason": st.sampled_from(("FieldValueForbidden", "x")),
                        },
                    ),
                    max_size=2,
                )
            ),
        },
    )


SCHEMAS = st.recursive(st.fixed_dictionaries({"type": st.just("string")}), keywords, max_leaves=6)


def definition(schema: Any, **spec: Any) -> Json:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [version],
            **spec,
        },
    }


def admitted(document: Json) -> Json | None:
    """The definition as it would be stored, or None if it is refused as a client's mistake."""
    try:
        obj = decode_object(DEFINITIONS, json.dumps(document).encode(), "application/json", "Warn", [])
    except StatusError as error:
        if error.code >= 500:
            raise
        return None
    complete(DEFINITIONS, obj)
    causes = [*DEFINITIONS.schema.validate(obj, None), *DEFINITIONS.strategy.validate(obj, None)]
    assert all(cause.message for cause in causes)
    return None if causes else obj


@RELAXED
@given(
    st.one_of(SCHEMAS, ANYTHING),
    st.dictionaries(st.sampled_from(("names", "versions", "conversion", "scope")), ANYTHING, max_size=1),
)
def test_any_definition_is_refused_or_admitted(schema: Any, spec: Json) -> None:
    root = {"type": "object", "properties": {"spec": schema}} if isinstance(schema, dict) else schema
    stored = admitted(definition(root, **spec))
    if stored is not None:
        (resource,) = served_resources(stored, Custom(frozenset()), "/x/")
        assert resource.schema.openapi_v2()
        assert resource.schema.openapi_v3()
        resource.schema.merge_node()


@RELAXED
@given(SCHEMAS, ANYTHING, ANYTHING)
def test_an_admitted_schema_judges_any_object_and_settles_it_at_once(
    schema: Json, value: Any, old: Any
) -> None:
    root = {"type": "object", "properties": {"spec": schema}}
    stored = admitted(definition(root))
    if stored is None:
        return
    declared = stored["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    if check_structural(declared, ""):
        return
    made = StructuralSchema(declared, "example.com", "v1", "Thing")
    obj = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": value}
    made.prune(obj)
    made.apply_defaults(obj)
    settled = copy.deepcopy(obj)
    assert made.prune(obj) == []
    made.apply_defaults(obj)
    assert obj == settled
    for before in (None, {**obj, "spec": old}):
        for cause in made.validate(obj, before):
            assert cause.message


def test_a_field_may_be_required_twice() -> None:
    """It was an internal error when the definition's first object came."""
    assert compiled({"type": "object", "required": ["a", "a"]}).is_valid({"a": 1})
