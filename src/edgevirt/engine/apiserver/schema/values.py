"""Checks values of custom resources against their schema, with Kubernetes' causes.

Two passes: a compiled JSON Schema validator says in microseconds whether anything is wrong, and only if so
a plain walk finds out what, in the words and with the peculiarities of a real server (one complaint per
string, length limits in bytes, the failures of the closest alternative of a oneOf). The compiled validator
also holds the regular expressions, so both passes agree on their dialect (linear time, no look-around).

On update a value that is equal to the stored one is not checked again: a schema that became stricter does
not block changes elsewhere in the object.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.schema import (
    INVALID,
    NO_FIELD,
    NOT_SUPPORTED,
    TOO_LONG,
    TOO_MANY,
    TYPE_INVALID,
    Json,
    child,
    invalid,
    required,
    shown,
)
from edgevirt.engine.apiserver.schema.formats import FORMATS, INTEGER_BOUNDS

ABSENT: Any = object()
"""No stored counterpart of a value."""

_COMBINED = ("allOf", "anyOf", "oneOf")
_COUNTS = {
    f"{bound}{what}": kind
    for bound in ("min", "max")
    for what, kind in (("Length", "string"), ("Items", "array"), ("Properties", "object"))
}
_COPIED = (
    "minimum",
    "maximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "enum",
)


def compiled(schema: Json) -> jsonschema_rs.Draft7Validator:
    """The fast validator of a structural schema."""
    return jsonschema_rs.Draft7Validator(
        to_json_schema(schema),
        formats=dict(FORMATS),
        validate_formats=True,
        ignore_unknown_formats=True,
        pattern_options=jsonschema_rs.RegexOptions(),
    )


def to_json_schema(schema: Json) -> Json:
    """A structural schema in the vocabulary of JSON Schema draft 7."""
    translated: Json = {key: schema[key] for key in _COPIED if schema.get(key) not in (None, "", [])}
    if "required" in translated:  # a definition may name a field twice, JSON Schema may not
        translated["required"] = list(dict.fromkeys(translated["required"]))
    for key in _COUNTS:
        if translated.get(key, 0) < 0:
            # JSON Schema forbids these; nothing is shorter than 0, and everything is longer than -1.
            del translated[key]
            if key.startswith("max"):
                translated["not"] = {"type": _COUNTS[key]}
    if translated.get("multipleOf", 1) <= 0:
        del translated["multipleOf"]
    types = value_types(schema)
    if types:
        translated["type"] = list(types)
    _translate_bounds(schema, translated)
    if schema.get("format") in FORMATS and "string" in types:
        translated["format"] = schema["format"]
    if isinstance(schema.get("properties"), dict):
        translated["properties"] = {
            name: to_json_schema(below) for name, below in schema["properties"].items()
        }
    for key in ("additionalProperties", "items", "not"):
        if isinstance(schema.get(key), dict):
            translated[key] = to_json_schema(schema[key])
    for key in _COMBINED:
        if schema.get(key):
            translated[key] = [to_json_schema(below) for below in schema[key]]
    if schema.get("x-kubernetes-embedded-resource"):
        translated["required"] = sorted({*translated.get("required", ()), "apiVersion", "kind"})
    return translated


def value_types(schema: Json) -> tuple[str, ...]:
    """JSON types a value may have; () when the schema does not say."""
    if schema.get("x-kubernetes-int-or-string"):
        types: tuple[str, ...] = ("integer", "string")
    else:
        types = (schema["type"],) if schema.get("type") else ()
    return (*types, "null") if types and schema.get("nullable") else types


def _translate_bounds(schema: Json, translated: Json) -> None:
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if schema.get(exclusive) is True and bound in translated:
            translated[exclusive] = translated.pop(bound)
    limits = INTEGER_BOUNDS.get(schema.get("format", ""))
    if limits is not None and schema.get("type") == "integer":
        translated["minimum"] = max(limits[0], translated.get("minimum", limits[0]))
        translated["maximum"] = min(limits[1], translated.get("maximum", limits[1]))


@functools.lru_cache(maxsize=4096)
def _pattern(text: str) -> jsonschema_rs.Draft7Validator:
    return jsonschema_rs.Draft7Validator({"pattern": text}, pattern_options=jsonschema_rs.RegexOptions())


def pattern_error(text: str) -> str | None:
    """Why `text` is not a regular expression, or None."""
    try:
        _pattern(text)
    except (ValueError, jsonschema_rs.ValidationError) as error:
        return str(error).splitlines()[0]
    return None


def matches(pattern: str, text: str) -> bool:
    """Whether `pattern` is found in `text`."""
    return bool(_pattern(pattern).is_valid(text))


@dataclass(slots=True)
class Findings:
    """What the walk found. `ratcheted` tells that an unchanged, perhaps invalid value was let pass."""

    causes: list[Cause] = field(default_factory=list)
    ratcheted: bool = False
    matched: int = 0


def check(schema: Json, value: Any, old: Any = ABSENT, path: str = "") -> Findings:
    """Everything wrong with `value`; `old` is its stored counterpart or ABSENT."""
    findings = Findings()
    _check(schema, value, old, path, findings)
    return findings


def _check(schema: Json, value: Any, old: Any, path: str, findings: Findings) -> None:
    if old is not ABSENT and value == old and type(value) is type(old):
        findings.ratcheted = True
        return
    causes = findings.causes
    before = len(causes)
    _check_type(schema, value, path, causes)
    if value is not None:
        _check_combined(schema, value, path, findings)
        match value:
            case str():
                _check_string(schema, value, path, causes)
            case bool():
                pass
            case int() | float():
                _check_number(schema, value, path, causes)
    _check_enum(schema, value, path, causes)
    match value:
        case list():
            _check_list(schema, value, old, path, findings)
        case dict():
            _check_object(schema, value, old, path, findings)
    if len(causes) == before:
        findings.matched += 1


def json_type(value: Any) -> tuple[str, str]:
    """(JSON type, Go's format of it) as the validator's messages name them."""
    match value:
        case None:
            return "null", ""
        case bool():
            return "boolean", ""
        case int():
            return "integer", "int64"
        case float():
            return "number", "float64"
        case str():
            return "string", ""
        case list():
            return "array", ""
        case _:
            return "object", ""


def _check_type(schema: Json, value: Any, path: str, causes: list[Cause]) -> None:
    types = value_types(schema)
    if not types:
        return
    found, found_format = json_type(value)
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    if (
        found in types
        or (found == "integer" and "number" in types)
        or (whole and "integer" in types and "number" not in types)
    ):
        return
    wanted = ",".join(kind for kind in types if kind != "null")
    declared = schema.get("format", "")
    if declared and not isinstance(value, str | list) and value is not None and "integer" in types:
        whole_any = isinstance(value, float) and value.is_integer()
        if whole_any:
            wanted, found = declared, found_format
    causes.append(_type_cause(path, wanted, found))


def _type_cause(path: str, wanted: str, found: str) -> Cause:
    shown_path = path or NO_FIELD
    message = f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'
    return Cause(TYPE_INVALID, message, shown_path)


def _check_string(schema: Json, value: str, path: str, causes: list[Cause]) -> None:
    """At most one complaint about length and pattern, then the format."""
    longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    if longest is not None and len(value) > longest:
        causes.append(Cause(TOO_LONG, f"Too long: may not be more than {longest} bytes", path))
    elif shortest is not None and len(value) < shortest:
        causes.append(invalid(path, value, f"{path} in body should be at least {shortest} chars long"))
    elif pattern and not matches(pattern, value):
        causes.append(invalid(path, value, f"{path} in body should match '{pattern}'"))
    checker = FORMATS.get(schema.get("format", ""))
    if checker is not None and "string" in value_types(schema) and not checker(value):
        text = f"{path} in body must be of type {schema['format']}: {shown(value)}"
        causes.append(Cause(TYPE_INVALID, f"Invalid value: {shown(value)}: {text}", path))


def _check_number(schema: Json, value: float, path: str, causes: list[Cause]) -> None:
    if schema.get("type") == "integer":
        problem = _integer_problem(schema.get("format", ""), value)
        if problem:
            text = f'Invalid value: "": Checked value must be of type {problem} in {path}'
            causes.append(Cause(INVALID, text, NO_FIELD))
            return
    step = schema.get("multipleOf")
    if step and not math.isclose(value / step, round(value / step), rel_tol=0, abs_tol=1e-9):
        causes.append(invalid(path, value, f"{path} in body should be a multiple of {shown(step)}"))
    highest, lowest = schema.get("maximum"), schema.get("minimum")
    if highest is not None:
        if schema.get("exclusiveMaximum") and value >= highest:
            causes.append(invalid(path, value, f"{path} in body should be less than {shown(highest)}"))
        elif value > highest:
            text = f"{path} in body should be less than or equal to {shown(highest)}"
            causes.append(invalid(path, value, text))
    if lowest is not None:
        if schema.get("exclusiveMinimum") and value <= lowest:
            causes.append(invalid(path, value, f"{path} in body should be greater than {shown(lowest)}"))
        elif value < lowest:
            text = f"{path} in body should be greater than or equal to {shown(lowest)}"
            causes.append(invalid(path, value, text))


def _integer_problem(declared: str, value: float) -> str:
    bounds = INTEGER_BOUNDS.get(declared)
    if bounds is not None and not (float(value).is_integer() and bounds[0] <= value <= bounds[1]):
        return f"integer with format {declared}"
    if isinstance(value, float) and not value.is_integer():
        return "integer (default format)"
    return ""


def _check_enum(schema: Json, value: Any, path: str, causes: list[Cause]) -> None:
    choices = schema.get("enum")
    if not choices or any(value == choice and type(value) is type(choice) for choice in choices):
        return
    if isinstance(value, int | float) and not isinstance(value, bool) and value in choices:
        return
    supported = ", ".join(shown(choice) for choice in choices)
    causes.append(
        Cause(NOT_SUPPORTED, f"Unsupported value: {shown(value)}: supported values: {supported}", path)
    )


def _check_list(schema: Json, value: list[Any], old: Any, path: str, findings: Findings) -> None:
    causes = findings.causes
    most, least = schema.get("maxItems"), schema.get("minItems")
    if most is not None and len(value) > most:
        causes.append(_too_many(path, len(value), most))
    if least is not None and len(value) < least:
        causes.append(invalid(path, len(value), f"{path} in body should have at least {least} items"))
    items = schema.get("items")
    if isinstance(items, dict):
        counterpart = ItemCounterparts(schema, old)
        for index, item in enumerate(value):
            _check(items, item, counterpart.of(item), f"{path}[{index}]", findings)


def _too_many(path: str, found: int, most: int) -> Cause:
    return Cause(TOO_MANY, f"Too many: {found}: must have at most {most} items", path)


class ItemCounterparts:
    """Finds the stored item that an item of a list with keys continues; other lists have none."""

    def __init__(self, schema: Json, old: Any) -> None:
        self._keys: list[str] = []
        self._stored: dict[tuple[str, ...], Any] = {}
        if schema.get("x-kubernetes-list-type") == "map" and isinstance(old, list):
            self._keys = schema.get("x-kubernetes-list-map-keys") or []
            self._stored = {self._key(item): item for item in old}

    def _key(self, item: Any) -> tuple[str, ...]:
        return tuple(repr(item.get(key)) for key in self._keys) if isinstance(item, dict) else ()

    def of(self, item: Any) -> Any:
        return self._stored.get(self._key(item), ABSENT) if self._stored else ABSENT


def _check_object(schema: Json, value: Json, old: Any, path: str, findings: Findings) -> None:
    causes = findings.causes
    most, least = schema.get("maxProperties"), schema.get("minProperties")
    if least is not None and len(value) < least:
        causes.append(invalid(path, len(value), f"{path} in body should have at least {least} properties"))
    if most is not None and len(value) > most:
        causes.append(_too_many(path, len(value), most))
    needed = schema.get("required") or ()
    if schema.get("x-kubernetes-embedded-resource"):
        needed = [*needed, *(name for name in ("apiVersion", "kind") if name not in needed)]
    causes.extend(required(child(path, name)) for name in needed if name not in value)
    properties = schema.get("properties") or {}
    others = schema.get("additionalProperties")
    stored = old if isinstance(old, dict) else {}
    for name, below in properties.items():
        if name in value:
            _check(below, value[name], stored.get(name, ABSENT), child(path, name), findings)
    if isinstance(others, dict):
        for name, item in value.items():
            if name not in properties:
                _check(others, item, stored.get(name, ABSENT), child(path, name), findings)


def _check_combined(schema: Json, value: Any, path: str, findings: Findings) -> None:
    causes = findings.causes
    if schema.get("anyOf"):
        closest, valid = _alternatives(schema["anyOf"], value, path)
        if not valid:
            causes.append(_whole(path, "must validate at least one schema (anyOf)"))
            causes.extend(closest)
    if schema.get("oneOf"):
        closest, valid = _alternatives(schema["oneOf"], value, path)
        if valid != 1:
            found = f"Found {valid} valid alternatives" if valid else "Found none valid"
            causes.append(_whole(path, f"must validate one and only one schema (oneOf). {found}"))
            causes.extend(closest if not valid else ())
    if schema.get("allOf"):
        results = [check(below, value, path=path).causes for below in schema["allOf"]]
        failed = [result for result in results if result]
        for result in failed:
            causes.extend(result)
        if failed:
            nothing = ". None validated" if len(failed) == len(results) else ""
            causes.append(_whole(path, f"must validate all the schemas (allOf){nothing}"))
    if isinstance(schema.get("not"), dict) and not check(schema["not"], value, path=path).causes:
        causes.append(_whole(path, "must not validate the schema (not)"))


def _alternatives(schemas: list[Json], value: Any, path: str) -> tuple[list[Cause], int]:
    """(causes of the closest failure, number of alternatives that hold)."""
    results = [check(below, value, path=path) for below in schemas]
    valid = sum(1 for result in results if not result.causes)
    closest = max(results, key=lambda result: result.matched)
    return closest.causes, valid


def _whole(path: str, text: str) -> Cause:
    return Cause(INVALID, f'Invalid value: "": "{path}" {text}', NO_FIELD)
