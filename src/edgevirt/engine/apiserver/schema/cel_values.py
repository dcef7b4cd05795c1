"""Values of custom resources as rules see them.

Names are escaped, fields that the schema does not declare are gone, numbers are doubles where the schema says
`number`, and text with the format of a date, a duration or base64 is what it stands for.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from edgevirt.engine.apiserver.schema import Json
from edgevirt.engine.apiserver.schema.cel_types import escaped
from edgevirt.engine.cel.errors import EvaluationError
from edgevirt.engine.cel.library.times import parse_duration, parse_timestamp
from edgevirt.engine.cel.values import UnorderedList


def bound(schema: Json, value: Any, is_root: bool = False) -> Any:
    """`value` as rules see it; `is_root` says it is a whole object."""
    if isinstance(value, dict):
        return _object(schema, value, is_root or bool(schema.get("x-kubernetes-embedded-resource")))
    if isinstance(value, list):
        return _list(schema, value)
    kind = schema.get("type")
    if kind == "string" and isinstance(value, str):
        return _text(schema.get("format") or "", value)
    if isinstance(value, bool):
        return value
    if kind == "number" and isinstance(value, int):
        return float(value)
    if kind == "integer" and isinstance(value, float):
        return int(value)
    return value


def _object(schema: Json, value: Json, identified: bool) -> Json:
    properties = schema.get("properties") or {}
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        return {name: bound(others, item) for name, item in value.items()}
    if not properties and not identified and schema.get("type") != "object":
        return value  # nothing is known about it: dyn
    seen = {
        escaped(name): bound(properties[name], item) for name, item in value.items() if name in properties
    }
    if identified:
        metadata = value.get("metadata") or {}
        seen["metadata"] = {key: metadata[key] for key in ("name", "generateName") if metadata.get(key)}
        seen.update({key: value[key] for key in ("apiVersion", "kind") if key in value})
    return seen


def _list(schema: Json, value: list[Any]) -> list[Any]:
    items = schema.get("items")
    seen = [bound(items, item) for item in value] if isinstance(items, dict) else value
    match schema.get("x-kubernetes-list-type"):
        case "set":
            return UnorderedList(seen)
        case "map":
            keys = schema.get("x-kubernetes-list-map-keys") or ()
            return UnorderedList(seen, tuple(map(escaped, keys)))
    return seen


def _text(form: str, value: str) -> Any:
    try:
        match form:
            case "date-time" | "datetime":
                return parse_timestamp(value)
            case "date":
                return parse_timestamp(f"{value}T00:00:00Z")
            case "duration":
                return parse_duration(value)
            case "byte":
                return base64.b64decode(value, validate=True)
    except (EvaluationError, binascii.Error):
        # The format's own check has complained, or took what CEL cannot read; the rule then sees the text.
        return value
    return value
