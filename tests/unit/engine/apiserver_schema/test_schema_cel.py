"""CEL rules: messages, transitions, scope, functions and what is refused at admission."""

from __future__ import annotations

from typing import Any

import pytest

from edgevirt.engine.apiserver.schema.cel import escaped, rule_error
from edgevirt.engine.apiserver.schema.structural import StructuralSchema

pytestmark = pytest.mark.unit

Json = dict[str, Any]


def check(declared: Json, spec: Any, old: Any = None) -> list[tuple[str, str, str]]:
    root = {"type": "object", "properties": {"spec": declared}}
    schema = StructuralSchema(root, "example.com", "v1", "Thing")
    found = schema.validate({"spec": spec}, None if old is None else {"spec": old})
    return [(cause.field, cause.reason, cause.message) for cause in found]


def rules(*texts: str | Json, **more: Any) -> Json:
    listed = [{"rule": text} if isinstance(text, str) else text for text in texts]
    return {**more, "x-kubernetes-validations": listed}


OBJECT: Json = {
    "type": "object",
    "properties": {"min": {"type": "integer"}, "max": {"type": "integer"}, "name": {"type": "string"}},
}


def test_a_failed_rule_shows_itself_or_its_message() -> None:
    declared = rules("self.min <= self.max", {"rule": "self.max < 9", "message": "too big"}, **OBJECT)
    assert check(declared, {"min": 11, "max": 10}) == [
        ("spec", "FieldValueInvalid", "Invalid value: failed rule: self.min <= self.max"),
        ("spec", "FieldValueInvalid", "Invalid value: too big"),
    ]


def test_reason_path_and_message_expression_are_honoured() -> None:
    rule = {
        "rule": "self.name != 'bad'",
        "messageExpression": "'name is ' + self.name",
        "reason": "FieldValueForbidden",
        "fieldPath": ".name",
    }
    assert check(rules(rule, **OBJECT), {"name": "bad"}) == [
        ("spec.name", "FieldValueForbidden", "Forbidden: name is bad")
    ]


def test_transition_rules_need_a_stored_value() -> None:
    declared = {"type": "object", "properties": {"imm": rules("self == oldSelf", type="string")}}
    assert check(declared, {"imm": "1"}) == []
    assert check(declared, {"imm": "1"}, {}) == []
    assert check(declared, {}, {"imm": "1"}) == []
    assert [entry[0] for entry in check(declared, {"imm": "2"}, {"imm": "1"})] == ["spec.imm"]


def test_optional_old_self_is_checked_on_creation_too() -> None:
    rule = {"rule": "oldSelf.hasValue() || self == 'first'", "optionalOldSelf": True}
    declared = {"type": "object", "properties": {"v": rules(rule, type="string")}}
    assert check(declared, {"v": "first"}) == []
    assert [entry[0] for entry in check(declared, {"v": "other"})] == ["spec.v"]
    assert check(declared, {"v": "other"}, {"v": "first"}) == []


def test_items_of_keyed_lists_are_compared_with_their_own_past() -> None:
    item = {
        "type": "object",
        "required": ["n"],
        "properties": {"n": {"type": "string"}, "v": rules("self >= oldSelf", type="integer")},
    }
    declared = {
        "type": "object",
        "properties": {
            "l": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["n"],
                "items": item,
            }
        },
    }
    old = {"l": [{"n": "a", "v": 1}, {"n": "b", "v": 5}]}
    new = {"l": [{"n": "b", "v": 4}, {"n": "a", "v": 2}]}
    assert [entry[0] for entry in check(declared, new, old)] == ["spec.l[0].v"]


def test_an_evaluation_error_is_a_failure_that_names_the_key() -> None:
    (entry,) = check(rules("self.max > 1", **OBJECT), {})
    assert "no such key: max evaluating rule: self.max > 1" in entry[2]


def test_rules_are_not_evaluated_on_values_of_the_wrong_type() -> None:
    found = check(rules("self.min <= self.max", **OBJECT), {"min": "x", "max": 1})
    assert [entry[0] for entry in found] == ["spec.min", "<nil>"]
    assert "some validation rules were not checked" in found[1][2]


def test_whole_numbers_of_type_number_are_doubles_in_rules() -> None:
    declared = {"type": "object", "properties": {"f": rules("self / 2.0 == 1.5", type="number")}}
    assert check(declared, {"f": 3}) == []


def test_names_that_cel_reserves_are_escaped() -> None:
    assert [escaped(name) for name in ("namespace", "a-b", "a.b", "plain")] == [
        "__namespace__",
        "a__dash__b",
        "a__dot__b",
        "plain",
    ]
    declared = {"type": "object", "properties": {"a-b": {"type": "string"}}}
    assert check(rules("self.a__dash__b == 'x'", **declared), {"a-b": "x"}) == []


@pytest.mark.parametrize(
    "rule",
    [
        "self.find('[0-9]+') == '12'",
        "self.findAll('[0-9]') == ['1', '2']",
        "self.startsWith('ab') && self.size() == 4",
        "isQuantity('10Mi') && !isQuantity('x')",
        "isIP('10.0.0.1') && isCIDR('10.0.0.0/8') && isURL('https://x/')",
        "[1, 2].isSorted() && [1, 2].sum() == 3 && [1, 2].max() == 2",
        "cel.bind(x, self, x == 'ab12')",
        "self.split('b') == ['a', '12']",
    ],
)
def test_the_functions_of_kubernetes_are_there(rule: str) -> None:
    assert check(rules(rule, type="string"), "ab12") == []


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("self +", "compilation failed: ERROR: <input>:1:7: Syntax error"),
        ("self.nosuch()", "undeclared reference to 'nosuch'"),
        ("nobody == 1", "undeclared reference to 'nobody'"),
        ("'text'", "must evaluate to a bool"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_at_admission(rule: str, problem: str) -> None:
    assert problem in (rule_error({"rule": rule}, {"type": "string"}) or "")


def test_dates_in_rules_must_be_converted() -> None:
    schema = {"type": "object", "properties": {"at": {"type": "string", "format": "date-time"}}}
    bare = rule_error({"rule": "self.at < self.other"}, schema)
    assert bare is not None
    assert "convert it with timestamp(...)" in bare
    rule = "!has(self.at) || timestamp(self.at) > timestamp('2020-01-01T00:00:00Z')"
    assert rule_error({"rule": rule}, schema) is None
    assert check(rules(rule, **schema), {"at": "2026-01-01T00:00:00Z"}) == []
