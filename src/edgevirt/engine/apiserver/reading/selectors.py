"""Label and field selectors: parsed once per request, matched per object.

The grammar and the wording of errors are Kubernetes' own: `x`, `!x`, `x=1`, `x==1`, `x!=1`, `x in (a,b)`,
`x notin (a)`, `x>1`, `x<1`, joined by commas. Field selectors know `=`, `==` and `!=` only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgevirt.engine.apiserver.errors import StatusError, bad_request
from edgevirt.engine.apiserver.names import label_key_faults, label_value_faults
from edgevirt.engine.apiserver.objects import fields_of, labels_of, split_key
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.store.records import Record

_TOKEN = re.compile(r"\s*(?:(?P<op>==|!=|[=!(),<>])|(?P<word>[^\s=!(),<>]+))")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `operator`: in, notin, exists, absent, gt, lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "absent":
                return value is None
        (bound,) = self.values
        try:
            number = int(value) if value is not None else None
        except ValueError:
            return False
        if number is None:
            return False
        return number > int(bound) if self.operator == "gt" else number < int(bound)


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    field: str
    value: str
    equal: bool


@dataclass(frozen=True, slots=True)
class Selector:
    """Both selectors of a request. `exact_name` is the only name that can match, if the fields say so."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[FieldRequirement, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.labels and not self.fields

    def exact(self, field: str) -> str | None:
        for requirement in self.fields:
            if requirement.field == field and requirement.equal:
                return requirement.value
        return None

    def matches(self, record: Record, resource: ServedResource) -> bool:
        if self.labels:
            labels = labels_of(record)
            for requirement in self.labels:
                if not requirement.matches(labels):
                    return False
        for wanted in self.fields:
            if (self._field(record, resource, wanted.field) == wanted.value) is not wanted.equal:
                return False
        return True

    @staticmethod
    def _field(record: Record, resource: ServedResource, field: str) -> str:
        if field == "metadata.name":
            return split_key(resource, record.key)[1]
        if field == "metadata.namespace":
            return split_key(resource, record.key)[0]
        return fields_of(record, resource).get(field, "")


EVERYTHING = Selector()


def parse(label_selector: str, field_selector: str, resource: ServedResource) -> Selector:
    """Raises `StatusError` 400 for what cannot be parsed or is not selectable."""
    if not label_selector and not field_selector:
        return EVERYTHING
    return Selector(parse_labels(label_selector), _parse_fields(field_selector, resource))


class _Tokens:
    def __init__(self, text: str) -> None:
        self.items: list[str] = []
        position = 0
        text = text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                break
            self.items.append(match.group("op") or match.group("word"))
            position = match.end()
        self.position = 0

    def peek(self) -> str:
        return self.items[self.position] if self.position < len(self.items) else ""

    def next(self) -> str:
        token = self.peek()
        self.position += 1
        return token


_OPERATORS = {"=", "==", "!=", "<", ">", "(", ")", ",", "!"}


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Raises `StatusError` 400."""
    tokens = _Tokens(text)
    requirements: list[Requirement] = []
    if not tokens.items:
        return ()
    while True:
        token = tokens.peek()
        if token == "!" or (token and token not in _OPERATORS):
            requirements.append(_requirement(tokens))
            following = tokens.next()
            if following == "":
                return tuple(requirements)
            if following != ",":
                raise bad_request(f"found '{following}', expected: ',' or 'end of string'")
            after = tokens.peek()
            if after != "!" and (not after or after in _OPERATORS):
                raise bad_request(f"found '{after}', expected: identifier after ','")
        elif token == "":
            return tuple(requirements)
        else:
            raise bad_request(f"found '{token}', expected: !, identifier, or 'end of string'")


def _requirement(tokens: _Tokens) -> Requirement:
    negated = tokens.peek() == "!"
    if negated:
        tokens.next()
    key = tokens.next()
    if not key or key in _OPERATORS:
        raise _unparsable(f"found '{key}', expected: identifier")
    faults = label_key_faults(key)
    if faults:
        raise _unparsable(f'<nil>: Invalid value: "{key}": {"; ".join(faults)}')
    if negated:
        return Requirement(key, "absent")
    operator = tokens.peek()
    if operator in ("", ","):
        return Requirement(key, "exists")
    tokens.next()
    if operator in ("in", "notin"):
        return Requirement(key, operator, _checked(key, _value_list(tokens)))
    if operator in ("=", "==", "!="):
        value = "" if tokens.peek() in ("", ",") else _single(tokens)
        return Requirement(key, "notin" if operator == "!=" else "in", _checked(key, frozenset((value,))))
    if operator in ("<", ">"):
        value = _single(tokens)
        if not re.fullmatch(r"[+-]?\d+", value):
            raise _unparsable(
                f"values[0][{key}]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, "
                "the value must be an integer"
            )
        return Requirement(key, "gt" if operator == ">" else "lt", frozenset((value,)))
    raise _unparsable(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")


def _single(tokens: _Tokens) -> str:
    value = tokens.next()
    if not value or value in _OPERATORS:
        raise _unparsable(f"found '{value}', expected: identifier")
    return value


def _value_list(tokens: _Tokens) -> frozenset[str]:
    opening = tokens.next()
    if opening != "(":
        raise _unparsable(f"found '{opening}' expected: '('")
    values: set[str] = set()
    expect_value = True
    while True:
        token = tokens.next()
        if token == ")":
            if expect_value:
                values.add("")
            return frozenset(values)
        if token == ",":
            if expect_value:
                values.add("")
            expect_value = True
        elif token == "" or token in _OPERATORS:
            raise _unparsable(f"found '{token}', expected: ',', ')' or identifier")
        else:
            values.add(token)
            expect_value = False


def _checked(key: str, values: frozenset[str]) -> frozenset[str]:
    for position, value in enumerate(sorted(values)):
        faults = label_value_faults(value)
        if faults:
            raise _unparsable(f'values[{position}][{key}]: Invalid value: "{value}": {"; ".join(faults)}')
    return values


def _unparsable(why: str) -> StatusError:
    return bad_request(f"unable to parse requirement: {why}")


_FIELD_TERM = re.compile(r"^(?P<field>.*?)(?P<operator>!=|==|=)(?P<value>.*)$", re.DOTALL)


def _parse_fields(text: str, resource: ServedResource) -> tuple[FieldRequirement, ...]:
    requirements: list[FieldRequirement] = []
    for term in _split_terms(text):
        if not term:
            continue
        match = _FIELD_TERM.match(term)
        if match is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        field = match.group("field")
        if field not in ("metadata.name", "metadata.namespace") and field not in resource.selectable_fields:
            raise bad_request(_unsupported_field(field, resource))
        requirements.append(
            FieldRequirement(field, _unescape(match.group("value")), match.group("operator") != "!=")
        )
    return tuple(requirements)


def _unsupported_field(field: str, resource: ServedResource) -> str:
    if resource.selectable_fields and not resource.custom:
        return f"field label not supported: {field}"
    if resource.custom:
        return f"field label not supported: {field}"
    return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def _split_terms(text: str) -> list[str]:
    terms: list[str] = []
    current: list[str] = []
    escaped = False
    for character in text:
        if escaped:
            current.append("\\" + character)
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == ",":
            terms.append("".join(current))
            current = []
        else:
            current.append(character)
    terms.append("".join(current))
    return terms


def _unescape(value: str) -> str:
    return re.sub(r"\\([\\,=])", r"\1", value)
