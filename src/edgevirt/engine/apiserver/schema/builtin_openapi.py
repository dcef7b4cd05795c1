"""OpenAPI definitions of built-in kinds, in both dialects, from the same type graph.

Version 2 and 3 differ in where references point and in how they carry siblings; version 3 also spells out
that a quantity may be a number. Descriptions are one line where the tables have one.
"""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.schema import Json, descriptions
from edgevirt.engine.apiserver.schema import builtin_facts as facts
from edgevirt.engine.apiserver.schema.builtin_types import META_V1, StructType, ValueType

QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
TIME = f"{META_V1}.Time"
MICRO_TIME = f"{META_V1}.MicroTime"
FIELDS_V1 = f"{META_V1}.FieldsV1"
RAW_EXTENSION = "io.k8s.apimachinery.pkg.runtime.RawExtension"
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"
ANY_JSON = f"{_EXTENSIONS}.JSON"
SCHEMA_OR_MORE = f"{_EXTENSIONS}.JSONSchemaPropsOrBool"

_LEAVES: dict[str, Json] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "double": {"type": "number", "format": "double"},
    "bytes": {"type": "string", "format": "byte"},
}

_NAMED = {
    "time": TIME,
    "microtime": MICRO_TIME,
    "quantity": QUANTITY,
    "int-or-string": INT_OR_STRING,
    "any": ANY_JSON,
    "schema": SCHEMA_OR_MORE,
}

_OPEN_PLACES: dict[facts.Place, str] = {
    ("ManagedFieldsEntry", "fieldsV1"): FIELDS_V1,
    ("ControllerRevision", "data"): RAW_EXTENSION,
    ("CustomResourceSubresources", "status"): f"{_EXTENSIONS}.CustomResourceSubresourceStatus",
}
"""Fields that hold any object."""


def definitions(root: StructType, gvk: Json | None, dialect: int) -> dict[str, Json]:
    """`root` and all it refers to, by name; `gvk`, if given, marks the root. `dialect` is 2 or 3."""
    found: dict[str, Json] = {}
    pending = [root]
    while pending:
        struct = pending.pop()
        if struct.definition not in found:
            found[struct.definition] = _definition(struct, dialect, pending, found)
    if gvk is not None:
        found[root.definition]["x-kubernetes-group-version-kind"] = [gvk]
    return found


def reference(name: str, dialect: int) -> Json:
    """A reference to definition `name`."""
    return {"$ref": f"#/definitions/{name}" if dialect == 2 else f"#/components/schemas/{name}"}


def described_reference(name: str, dialect: int, text: str) -> Json:
    """A reference with a description beside it; version 3 needs a wrapper for that."""
    if not text:
        return reference(name, dialect)
    if dialect == 2:
        return {"description": text, **reference(name, dialect)}
    return {"description": text, "allOf": [reference(name, dialect)]}


def _definition(struct: StructType, dialect: int, pending: list[StructType], found: dict[str, Json]) -> Json:
    properties: Json = {}
    for name, value_type in struct.fields.items():
        text = descriptions.of_field(struct.name, name) or facts.FIELD_TEXTS.get(name, "")
        open_name = _OPEN_PLACES.get((struct.name, name))
        if open_name is not None:
            found.setdefault(open_name, {"type": "object"})
            properties[name] = described_reference(open_name, dialect, text)
            continue
        schema = _schema(value_type, dialect, pending, found, text)
        schema.update(_merge_marks((struct.name, name), value_type))
        properties[name] = schema
    document: Json = {"type": "object", "properties": properties}
    text = descriptions.of_type(struct.name)
    if text:
        document["description"] = text
    needed = facts.DOCUMENTED_REQUIRED.get(struct.name) or facts.REQUIRED_FIELDS.get(struct.name)
    if needed:
        document["required"] = sorted(name for name in needed if name in properties)
    if struct.name in facts.ATOMIC_TYPES:
        document["x-kubernetes-map-type"] = "atomic"
    return document


def _schema(
    value_type: ValueType, dialect: int, pending: list[StructType], found: dict[str, Json], text: str
) -> Json:
    shape = value_type.shape
    if shape in _LEAVES:
        return {"description": text, **_LEAVES[shape]} if text else dict(_LEAVES[shape])
    if shape in _NAMED:
        name = _NAMED[shape]
        found.setdefault(name, _named_definition(shape, dialect))
        return described_reference(name, dialect, text)
    if shape == "struct" and value_type.struct is not None:
        pending.append(value_type.struct)
        return described_reference(value_type.struct.definition, dialect, text)
    if value_type.elem is not None and shape in ("list", "map"):
        below = _schema(value_type.elem, dialect, pending, found, "")
        nested: Json = {"type": "array", "items": below}
        if shape == "map":
            nested = {"type": "object", "additionalProperties": below}
        return {"description": text, **nested} if text else nested
    return {"description": text} if text else {}


def _named_definition(shape: str, dialect: int) -> Json:
    match shape:
        case "time":
            return {"description": descriptions.of_type("Time"), "type": "string", "format": "date-time"}
        case "microtime":
            return {"description": descriptions.of_type("MicroTime"), "type": "string", "format": "date-time"}
        case "quantity":
            text = {"description": descriptions.of_type("Quantity")}
            return {**text, "type": "string"} if dialect == 2 else {**text, **_one_of("string", "number")}
        case "any":
            return {"description": "Any JSON value."}
        case "schema":
            return {"description": "A JSON schema, a list of them, or true or false."}
        case _:
            if dialect == 2:
                return {"type": "string", "format": "int-or-string"}
            return {"format": "int-or-string", **_one_of("integer", "string")}


def _one_of(*kinds: str) -> Json:
    return {"oneOf": [{"type": kind} for kind in kinds]}


def _merge_marks(place: facts.Place, value_type: ValueType) -> dict[str, Any]:
    marks: dict[str, Any] = {}
    if value_type.shape == "list":
        merged = facts.MERGE_LISTS.get(place)
        if merged is not None:
            keys, merge_key, strategy = merged
            if keys:
                marks["x-kubernetes-list-map-keys"] = list(keys)
            marks["x-kubernetes-list-type"] = "map" if keys else "atomic"
            if strategy:
                marks["x-kubernetes-patch-strategy"] = strategy
            if merge_key:
                marks["x-kubernetes-patch-merge-key"] = merge_key
        elif place in facts.SETS:
            marks["x-kubernetes-list-type"] = "set"
            if facts.SETS[place]:
                marks["x-kubernetes-patch-strategy"] = facts.SETS[place]
        else:
            marks["x-kubernetes-list-type"] = "atomic"
    elif place in facts.ATOMIC_FIELDS and value_type.shape == "map":
        marks["x-kubernetes-map-type"] = "atomic"
    return marks
