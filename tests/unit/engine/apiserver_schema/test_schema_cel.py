"""CEL rules: messages, transitions, scope, functions and what is refused at admission."""

from __future__ import annotations

from typing import Any

import pytest

from edgevirt.engine.apiserver.schema.cel_types import escaped
from edgevirt.engine.apiserver.schema.structural import StructuralSchema
from edgevirt.engine.apiserver.schema.structural_rules import check_structural

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


def refusals(declared: Json) -> list[str]:
    """What admission of the definition says about a schema of `spec`."""
    root = {"type": "object", "properties": {"spec": declared}}
    return [f"{cause.field}: {cause.message}" for cause in check_structural(root, "s")]


PLACE = "s.properties[spec].x-kubernetes-validations[0]"


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (
            "self +",
            "compilation failed: ERROR: <input>:1:7: Syntax error: mismatched input '<EOF>' expecting {",
        ),
        ("self.nosuch()", "undeclared reference to 'nosuch' (in container '')"),
        ("nobody == 1", "undeclared reference to 'nobody' (in container '')"),
        ("self == 1", "found no matching overload for '_==_' applied to '(string, int)'"),
        ("self.foo", "type 'string' does not support field selection"),
        ("self.matches('(a')", "invalid matches argument"),
        ("'text'", "cel expression must evaluate to a bool"),
        ("oldSelf.hasValue()", "found no matching overload for 'hasValue' applied to 'string.()'"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_at_admission(rule: str, problem: str) -> None:
    (found,) = refusals(rules(rule, type="string", maxLength=9))
    assert found.startswith(f"{PLACE}.rule: Invalid value: ")
    assert problem in found


def test_a_rule_that_names_no_field_of_the_schema_is_refused() -> None:
    (found,) = refusals(rules("self.max < self.maximum", **OBJECT))
    assert (
        "ERROR: <input>:1:16: undefined field 'maximum'\n | self.max < self.maximum\n | ...............^"
        in found
    )


def test_dates_durations_and_bytes_are_what_their_format_says() -> None:
    fields = {
        "at": {"type": "string", "format": "date-time"},
        "day": {"type": "string", "format": "date"},
        "span": {"type": "string", "format": "duration"},
        "raw": {"type": "string", "format": "byte"},
        "port": {"x-kubernetes-int-or-string": True},
    }
    declared = rules(
        "self.at + self.span > timestamp('2026-01-01T00:30:00Z')",
        "self.day.getFullYear() == 2026 && self.span.getMinutes() == 60",
        "self.raw == b'hi'",
        "self.port == 80 || self.port == 'http'",
        type="object",
        properties=fields,
    )
    assert refusals(declared) == []
    value = {"at": "2026-01-01T00:00:00Z", "day": "2026-05-01", "span": "1h", "raw": "aGk=", "port": 80}
    assert check(declared, value) == []
    assert [entry[2] for entry in check(declared, {**value, "port": 81})] == [
        "Invalid value: failed rule: self.port == 80 || self.port == 'http'"
    ]


def test_a_call_no_overload_fits_at_run_time_says_so() -> None:
    declared = rules(
        "self.port > 1", type="object", properties={"port": {"x-kubernetes-int-or-string": True}}
    )
    (entry,) = check(declared, {"port": "http"})
    assert "'no such overload': call arguments did not match a supported operator" in entry[2]


def test_rules_that_may_cost_too_much_are_refused_with_the_factor() -> None:
    items = {"type": "array", "items": {"type": "string"}}
    nested = "self.all(x, self.all(y, x == y))"
    found, *_ = refusals(rules(nested, **items))
    assert found.startswith(
        f"{PLACE}.rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x"
    )
    bounded = {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 10}}
    assert refusals(rules(nested, **bounded)) == []


def test_rules_that_together_cost_too_much_are_named() -> None:
    text = {"type": "string", "maxLength": 200_000}
    costly = rules(*["self.contains('abc')"] * 3, **text)
    listed = {"type": "array", "maxItems": 100, "items": costly}
    found = refusals({"type": "object", "properties": dict.fromkeys("abcdef", listed)})
    assert any("contributed to estimated rule & messageExpression cost total" in line for line in found)
    assert any(line.startswith("s: Forbidden: x-kubernetes-validations estimated rule") for line in found)


def test_a_rule_that_runs_too_long_is_cut_off_and_fails() -> None:
    """The estimate goes by the schema; a stored definition of an older server may have no limits."""
    declared = rules("self.all(x, self.all(y, self.all(z, x + y >= z - z)))", type="array")
    declared["items"] = {"type": "integer"}
    (entry,) = check(declared, list(range(2000)))
    assert "no further validation rules will be run due to call cost exceeds limit for rule" in entry[2]


def test_old_self_needs_a_list_whose_items_can_be_told_apart() -> None:
    item = rules("self == oldSelf", type="string", maxLength=3)
    declared = {"type": "array", "maxItems": 3, "x-kubernetes-list-type": "set", "items": item}
    (found,) = refusals(declared)
    assert (
        "oldSelf cannot be used on the uncorrelatable portion of the schema within s.properties[spec]"
        in found
    )


def test_optional_old_self_without_old_self_is_refused() -> None:
    rule = {"rule": "self > 1", "optionalOldSelf": True}
    assert "optionalOldSelf may not be set" in refusals(rules(rule, type="integer"))[0]


@pytest.mark.parametrize(
    ("more", "field", "problem"),
    [
        ({"fieldPath": ".nope"}, "fieldPath", "does not refer to a valid field"),
        ({"fieldPath": "name"}, "fieldPath", "expected [ or . but got: name"),
        ({"reason": "Other"}, "reason", 'Unsupported value: "Other"'),
        ({"message": " "}, "message", "message must be non-empty if specified"),
        ({"messageExpression": "self.min"}, "messageExpression", "must evaluate to a string"),
        (
            {"messageExpression": "self.no"},
            "messageExpression",
            "messageExpression compilation failed: ERROR",
        ),
        ({"rule": "self.min\n< 1"}, "message", "message must be specified if rule contains line breaks"),
    ],
)
def test_what_accompanies_a_rule_is_checked(more: Json, field: str, problem: str) -> None:
    (found,) = refusals(rules({"rule": "self.min < 1", **more}, **OBJECT))
    assert found.startswith(f"{PLACE}.{field}: ")
    assert problem in found


def test_sets_and_keyed_lists_compare_without_order() -> None:
    declared = rules("self == oldSelf", type="array", items={"type": "string"})
    declared["x-kubernetes-list-type"] = "set"
    assert check(declared, ["b", "a"], ["a", "b"]) == []
    assert len(check(declared, ["b"], ["a", "b"])) == 1


def route(**fields: Json) -> Json:
    return {"type": "object", "properties": fields}


TEXT = {"type": "string", "maxLength": 253}
SHORT = {"type": "string", "maxLength": 63}
PARENT = route(group=TEXT, kind=SHORT, name=TEXT, namespace=SHORT, sectionName=TEXT)
PARENTS_RULE = """self.all(p1, self.all(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name
&& (((!has(p1.__namespace__) || p1.__namespace__ == '') && (!has(p2.__namespace__) || p2.__namespace__ == ''))
|| (has(p1.__namespace__) && has(p2.__namespace__) && p1.__namespace__ == p2.__namespace__)) ?
((!has(p1.sectionName) || p1.sectionName == '') == (!has(p2.sectionName) || p2.sectionName == '')) : true))"""
PATH_RULE = (
    "(self.type in ['Exact', 'PathPrefix']) ? self.value.matches("
    'r"""^(?:[-A-Za-z0-9/._~!$&\'()*+,;=:@]|[%][0-9a-fA-F]{2})+$""") : true'
)
LISTENERS_RULE = (
    "self.all(l1, self.exists_one(l2, l1.port == l2.port && l1.protocol == l2.protocol && "
    "(has(l1.hostname) && has(l2.hostname) ? l1.hostname == l2.hostname : "
    "!has(l1.hostname) && !has(l2.hostname))))"
)
TOTAL_RULE = " + ".join(f"(self.size() > {n} ? self[{n}].matches.size() : 0)" for n in range(16)) + " <= 128"


@pytest.mark.parametrize(
    "declared",
    [
        rules(
            {"rule": PARENTS_RULE, "message": "sectionName must be specified"},
            type="array",
            maxItems=32,
            items=PARENT,
        ),
        {
            "type": "array",
            "maxItems": 16,
            "items": route(
                matches={
                    "type": "array",
                    "maxItems": 64,
                    "items": route(
                        path=rules(
                            PATH_RULE,
                            "self.type in ['Exact', 'PathPrefix'] ? self.value.startsWith('/') : true",
                            **route(type=TEXT, value={"type": "string", "maxLength": 1024}),
                        )
                    ),
                }
            ),
        },
        rules(
            LISTENERS_RULE,
            "self.all(l, l.protocol in ['HTTP', 'TCP', 'UDP'] ? !has(l.tls) : true)",
            type="array",
            maxItems=64,
            items=route(
                hostname=TEXT,
                port={"type": "integer"},
                protocol={"type": "string", "maxLength": 255},
                tls=route(mode=TEXT),
            ),
        ),
        rules(
            TOTAL_RULE,
            type="array",
            maxItems=16,
            items=route(matches={"type": "array", "maxItems": 64, "items": route(a=TEXT)}),
        ),
        rules("self == oldSelf", "oldSelf.name == self.name || true", **route(name={"type": "string"})),
        rules("self.port == oldSelf.port", **route(port={"x-kubernetes-int-or-string": True})),
        rules(
            "size(self) < 5 && self.all(k, k != 'x')",
            type="object",
            additionalProperties={"type": "string"},
            maxProperties=64,
        ),
    ],
)
def test_rules_of_definitions_in_wide_use_are_accepted(declared: Json) -> None:
    """Shapes and limits of the Gateway API and of KubeVirt, which real servers accept."""
    assert refusals(declared) == []


def test_a_value_without_limit_read_once_is_accepted_and_in_a_loop_refused() -> None:
    assert refusals(rules("self == oldSelf && self.startsWith('a')", type="string")) == []
    (found, *_) = refusals(rules("self.all(x, x.contains('abc'))", type="array", items={"type": "string"}))
    assert "estimated rule cost exceeds budget" in found
