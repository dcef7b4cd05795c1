"""Which schemas a CustomResourceDefinition may carry: the rules that make a schema structural.

A structural schema gives every value exactly one place that declares it, so that pruning and defaulting are
well defined; alternatives (allOf, anyOf, oneOf, not) may constrain values but not declare them. Checked at
the definition's admission, relied upon everywhere else.
"""

from __future__ import annotations

import copy
from typing import Any

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.schema import (
    FORBIDDEN,
    Json,
    child,
    invalid,
    required,
    unsupported,
    values,
)
from edgevirt.engine.apiserver.schema.structural import StructuralSchema, has_rules

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED = (
    "$ref",
    "$schema",
    "id",
    "definitions",
    "dependencies",
    "patternProperties",
    "additionalItems",
)
_ONLY_DECLARING = (
    "type",
    "default",
    "nullable",
    "additionalProperties",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
)
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_MAX_DEPTH = 200


def check_structural(schema: Json, path: str) -> list[Cause]:
    """Every reason why `schema` cannot be served; `path` is where it stands in the definition."""
    causes: list[Cause] = []
    if not schema.get("type"):
        causes.append(required(child(path, "type"), "must not be empty at the root"))
    elif schema["type"] != "object":
        causes.append(invalid(child(path, "type"), schema["type"], "must be object at the root"))
    _check(schema, path, True, 0, causes)
    _check_root_metadata(schema, path, causes)
    if not causes and has_rules(schema):
        # Imported only where there are rules: most definitions have none.
        from edgevirt.engine.apiserver.schema.cel_admission import check_rules

        causes.extend(check_rules(schema, path))
    if not causes:
        _check_defaults(schema, path, causes)
    return causes


def _forbidden(path: str, text: str) -> Cause:
    return Cause(FORBIDDEN, f"Forbidden: {text}", path)


def _check_root_metadata(schema: Json, path: str, causes: list[Cause]) -> None:
    metadata = (schema.get("properties") or {}).get("metadata")
    if not isinstance(metadata, dict):
        return
    place = f"{path}.properties[metadata]"
    extra = set(metadata) - {"type", "properties", "description"}
    extra |= set(metadata.get("properties") or {}) - {"name", "generateName"}
    if extra:
        text = (
            "must not specify anything other than name and generateName, but metadata is implicitly specified"
        )
        causes.append(_forbidden(place, text))


def _check(schema: Json, path: str, is_root: bool, depth: int, causes: list[Cause]) -> None:
    if depth > _MAX_DEPTH:
        causes.append(_forbidden(path, f"schemas nest at most {_MAX_DEPTH} levels deep"))
        return
    _check_keywords(schema, path, causes)
    if not is_root:
        _check_type(schema, path, causes)
    _check_extensions(schema, path, causes)
    _check_list(schema, path, causes)
    for name in ("allOf", "anyOf", "oneOf"):
        if name != "allOf" and _is_int_or_string_pattern(schema, schema.get(name)):
            continue
        for index, below in enumerate(schema.get(name) or ()):
            place = f"{path}.{name}[{index}]"
            if not _is_int_or_string_pattern(schema, below.get("anyOf")):
                _check_constraint(below, schema, place, place, causes)
    if isinstance(schema.get("not"), dict):
        place = child(path, "not")
        _check_constraint(schema["not"], schema, place, place, causes)
    for name, below in (schema.get("properties") or {}).items():
        _check(below, f"{path}.properties[{name}]", False, depth + 1, causes)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            _check(schema[name], child(path, name), False, depth + 1, causes)


def _is_int_or_string_pattern(schema: Json, alternatives: Any) -> bool:
    return bool(schema.get("x-kubernetes-int-or-string")) and alternatives == _INT_OR_STRING


def _check_keywords(schema: Json, path: str, causes: list[Cause]) -> None:
    causes.extend(
        _forbidden(child(path, name), f"{name} is not supported") for name in _UNSUPPORTED if schema.get(name)
    )
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        causes.append(_forbidden(child(path, "uniqueItems"), text))
    if schema.get("additionalProperties") is False:
        text = "additionalProperties cannot be set to false"
        causes.append(_forbidden(child(path, "additionalProperties"), text))
    if schema.get("properties") and schema.get("additionalProperties") not in (None, False):
        text = "additionalProperties and properties are mutual exclusive"
        causes.append(_forbidden(child(path, "additionalProperties"), text))
    if isinstance(schema.get("items"), list):
        text = "items must be a schema object and not an array"
        causes.append(_forbidden(child(path, "items"), text))
    if schema.get("pattern"):
        problem = values.pattern_error(schema["pattern"])
        if problem:
            text = f"must be a valid regular expression, but isn't: {problem}"
            causes.append(invalid(child(path, "pattern"), schema["pattern"], text))


def _check_type(schema: Json, path: str, causes: list[Cause]) -> None:
    place = child(path, "type")
    kind = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        if kind:
            text = "must be empty if x-kubernetes-int-or-string is true"
            causes.append(invalid(place, kind, text))
    elif not kind:
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            causes.append(required(place, _empty_type_text(path)))
    elif kind not in _TYPES:
        causes.append(unsupported(place, kind, _TYPES))


def _empty_type_text(path: str) -> str:
    if path.endswith("items"):
        return "must not be empty for specified array items"
    return "must not be empty for specified object fields"


def _check_extensions(schema: Json, path: str, causes: list[Cause]) -> None:
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        place = child(path, "x-kubernetes-preserve-unknown-fields")
        causes.append(invalid(place, False, "must be true or undefined"))
    if not schema.get("x-kubernetes-embedded-resource"):
        return
    if schema.get("type") != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        place = child(path, "type")
        kind = schema.get("type")
        causes.append(invalid(place, kind, text) if kind else required(place, text))
    if not schema.get("properties") and not schema.get("x-kubernetes-preserve-unknown-fields"):
        text = (
            "must not be empty if x-kubernetes-embedded-resource is true "
            "without x-kubernetes-preserve-unknown-fields"
        )
        causes.append(required(child(path, "properties"), text))


def _check_list(schema: Json, path: str, causes: list[Cause]) -> None:
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict | list):
        causes.append(required(child(path, "items"), "must be specified"))
    list_type, map_type = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-map-type")
    if map_type:
        place = child(path, "x-kubernetes-map-type")
        if map_type not in ("atomic", "granular"):
            causes.append(unsupported(place, map_type, ("atomic", "granular")))
        elif schema.get("type") != "object":
            text = "must be object if x-kubernetes-map-type is specified"
            causes.append(invalid(child(path, "type"), schema.get("type"), text))
    keys = schema.get("x-kubernetes-list-map-keys") or []
    if list_type is None or list_type == "":
        if keys:
            text = "must be map if x-kubernetes-list-map-keys is non-empty"
            causes.append(required(child(path, "x-kubernetes-list-type"), text))
        return
    if list_type not in ("atomic", "map", "set"):
        place = child(path, "x-kubernetes-list-type")
        causes.append(unsupported(place, list_type, ("atomic", "map", "set")))
        return
    if schema.get("type") != "array":
        text = "must be array if x-kubernetes-list-type is specified"
        causes.append(invalid(child(path, "type"), schema.get("type"), text))
        return
    items = schema.get("items")
    if isinstance(items, dict):
        if list_type == "map":
            _check_map_keys(keys, items, path, causes)
        elif list_type == "set":
            _check_set_items(items, path, causes)


def _check_map_keys(keys: list[str], items: Json, path: str, causes: list[Cause]) -> None:
    place = child(path, "x-kubernetes-list-map-keys")
    if not keys:
        causes.append(required(place, "must not be empty if x-kubernetes-list-type is map"))
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        causes.append(invalid(child(path, "items.type"), items.get("type"), text))
    properties = items.get("properties") or {}
    needed = items.get("required") or ()
    for index, key in enumerate(keys):
        declared = properties.get(key)
        if declared is None:
            text = "entries must all be names of item properties"
            causes.append(invalid(f"{place}[{index}]", key, text))
        elif declared.get("type") in ("array", "object"):
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            causes.append(invalid(f"{path}.items.properties[{key}].type", declared["type"], text))
        elif declared.get("default") is None and key not in needed:
            text = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default "
                "or be a required property"
            )
            causes.append(required(f"{path}.items.properties[{key}].default", text))


def _check_set_items(items: Json, path: str, causes: list[Cause]) -> None:
    if items.get("nullable"):
        text = "cannot be nullable when x-kubernetes-list-type is set"
        causes.append(_forbidden(child(path, "items.nullable"), text))
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        text = "must be atomic as item of a list with x-kubernetes-list-type=set"
        causes.append(
            invalid(child(path, "items.x-kubernetes-map-type"), items.get("x-kubernetes-map-type"), text)
        )
    if items.get("type") == "array" and items.get("x-kubernetes-list-type") not in (None, "", "atomic"):
        text = "must be atomic as item of a list with x-kubernetes-list-type=set"
        causes.append(
            invalid(child(path, "items.x-kubernetes-list-type"), items["x-kubernetes-list-type"], text)
        )


def _check_constraint(constraint: Json, declared: Json, path: str, origin: str, causes: list[Cause]) -> None:
    """What stands in allOf, anyOf, oneOf or not: constrains and names what is declared."""
    _check_keywords(constraint, path, causes)
    causes.extend(
        _forbidden(child(path, name), "must be empty to be structural")
        for name in _ONLY_DECLARING
        if constraint.get(name) not in (None, False, [], "")
    )
    properties = declared.get("properties") or {}
    for name, below in (constraint.get("properties") or {}).items():
        place = f"{path}.properties[{name}]"
        known = properties.get(name)
        others = declared.get("additionalProperties")
        if known is None and isinstance(others, dict):
            known = others
        if known is None:
            if not declared.get("x-kubernetes-preserve-unknown-fields"):
                where = place.replace(origin, origin.rpartition(".")[0], 1)
                causes.append(required(where, f"because it is defined in {place}"))
            continue
        _check_constraint(below, known, place, origin, causes)
    if isinstance(constraint.get("items"), dict):
        items = declared.get("items")
        if isinstance(items, dict):
            _check_constraint(constraint["items"], items, child(path, "items"), origin, causes)
        else:
            where = child(path, "items")
            causes.append(
                required(
                    where.replace(origin, origin.rpartition(".")[0], 1), f"because it is defined in {where}"
                )
            )
    for name in ("allOf", "anyOf", "oneOf"):
        for index, below in enumerate(constraint.get(name) or ()):
            _check_constraint(below, declared, f"{path}.{name}[{index}]", origin, causes)
    if isinstance(constraint.get("not"), dict):
        _check_constraint(constraint["not"], declared, child(path, "not"), origin, causes)


# Defaults -----------------------------------------------------------------------------------------------


def _check_defaults(schema: Json, path: str, causes: list[Cause]) -> None:
    """Defaults must survive pruning and be valid themselves."""
    if schema.get("default") is not None:
        place = child(path, "default")
        default = copy.deepcopy(schema["default"])
        holder = {
            "type": "object",
            "properties": {"value": {k: v for k, v in schema.items() if k != "default"}},
        }
        below = StructuralSchema(holder, "", "", "")
        carrier = {"value": default}
        unknown = below.prune(carrier)
        if unknown:
            text = f"must not have unknown fields: {', '.join(unknown).replace('value.', '')}"
            causes.append(invalid(place, schema["default"], text))
        below.apply_defaults(carrier)
        for cause in below.validate(carrier):
            message = cause.message.replace("value in body", f"{place} in body")
            causes.append(Cause(cause.reason, message, place))
    for name, below_schema in (schema.get("properties") or {}).items():
        _check_defaults(below_schema, f"{path}.properties[{name}]", causes)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            _check_defaults(schema[name], child(path, name), causes)
