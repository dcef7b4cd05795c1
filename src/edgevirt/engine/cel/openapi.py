"""CEL types from a published OpenAPI v3 document, for checking expressions against kinds they are to see.

References are followed to a limited depth; below it, and where the document says nothing, values are `dyn`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgevirt.engine.cel import types
from edgevirt.engine.cel.types import Type

Json = Mapping[str, Any]

_PREFIX = "#/components/schemas/"
_GVK = "x-kubernetes-group-version-kind"
_DEEPEST = 16


def type_of_kind(document: Json, group: str, version: str, kind: str) -> Type | None:
    """The type of objects of a kind, or None if the document does not describe it."""
    schemas = (document.get("components") or {}).get("schemas") or {}
    wanted = {"group": group, "version": version, "kind": kind}
    for name, schema in schemas.items():
        if any(dict(listed) == wanted for listed in schema.get(_GVK) or ()):
            return _type(schema, schemas, name, 0)
    return None


def _type(schema: Json, schemas: Json, name: str, depth: int) -> Type:
    reference = schema.get("$ref") or next((part.get("$ref") for part in schema.get("allOf") or ()), None)
    if isinstance(reference, str):
        target = reference.removeprefix(_PREFIX)
        found = schemas.get(target)
        return _type(found, schemas, target, depth) if isinstance(found, Mapping) else types.DYN
    if depth > _DEEPEST or _is_open(schema):
        return types.DYN
    match schema.get("type"):
        case "object":
            return _object(schema, schemas, name, depth)
        case "array":
            items = schema.get("items")
            element = _type(items, schemas, name, depth + 1) if isinstance(items, Mapping) else types.DYN
            return types.list_of(element)
        case "string":
            return _FORMATS.get(schema.get("format") or "", types.STRING)
        case "integer":
            return types.INT
        case "number":
            return types.DOUBLE
        case "boolean":
            return types.BOOL
    return types.DYN


_FORMATS = {
    "date-time": types.TIMESTAMP,
    "byte": types.BYTES,
    "duration": types.DURATION,
    "int-or-string": types.DYN,
}


def _is_open(schema: Json) -> bool:
    return bool(
        schema.get("x-kubernetes-int-or-string")
        or schema.get("x-kubernetes-preserve-unknown-fields")
        or schema.get("format") == "int-or-string"
    )


def _object(schema: Json, schemas: Json, name: str, depth: int) -> Type:
    others, properties = schema.get("additionalProperties"), schema.get("properties")
    if isinstance(others, Mapping):
        return types.map_of(types.STRING, _type(others, schemas, name, depth + 1))
    if not properties:
        return types.DYN
    fields = {
        field: _type(below, schemas, f"{name}.{field}", depth + 1) for field, below in properties.items()
    }
    return types.object_type(name, fields)
