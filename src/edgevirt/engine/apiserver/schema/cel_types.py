"""The CEL type of a structural schema, with the sizes its values may have.

What a schema does not limit is limited by the size of a request: so many elements fit into 3 MiB. Properties
whose schema says nothing about their type do not exist for rules.
"""

from __future__ import annotations

from edgevirt.engine.apiserver.schema import Json
from edgevirt.engine.cel import types
from edgevirt.engine.cel.lexer import RESERVED
from edgevirt.engine.cel.types import Type

_REQUEST = 3 * 1024 * 1024
_RESERVED = RESERVED | {"true", "false", "null", "in"}
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_FORMATTED_SIZES = {"date": 12, "date-time": 37, "datetime": 37, "duration": 11}


def escaped(name: str) -> str:
    """A property's name as rules have to write it (`namespace` -> `__namespace__`, `a-b` -> `a__dash__b`)."""
    if name in _RESERVED:
        return f"__{name}__"
    for plain, written in _ESCAPES:
        name = name.replace(plain, written)
    return name


def _expressible(name: str) -> bool:
    """Whether the name can be written in a rule once it is escaped."""
    return escaped(name).isidentifier() and name.isascii()


def root_type(schema: Json) -> Type:
    """The type of a whole custom resource: its metadata shows name and generateName only."""
    return type_of(with_identity(schema), "selfType") or types.object_type("selfType", {})


def with_identity(schema: Json) -> Json:
    """The schema with what every object has."""
    text = {"type": "string"}
    properties = {
        **(schema.get("properties") or {}),
        "apiVersion": text,
        "kind": text,
        "metadata": {"type": "object", "properties": {"name": text, "generateName": text}},
    }
    return {**schema, "properties": properties}


def type_of(schema: Json, name: str = "selfType") -> Type | None:
    """The type of a value, or None if rules cannot see it; `name` is what messages call an object."""
    if schema.get("x-kubernetes-int-or-string"):
        return types.DYN
    if schema.get("x-kubernetes-embedded-resource") and "metadata" not in (schema.get("properties") or {}):
        schema = with_identity(schema)
    match schema.get("type"):
        case "array":
            return _list_type(schema, name)
        case "object":
            return _object_type(schema, name)
        case "string":
            return _string_type(schema)
        case "boolean":
            return types.BOOL
        case "integer":
            return types.INT
        case "number":
            return types.DOUBLE
    return types.DYN if schema.get("x-kubernetes-preserve-unknown-fields") else None


def _list_type(schema: Json, name: str) -> Type | None:
    items = schema.get("items")
    element = type_of(items, f"{name}.@idx") if isinstance(items, dict) else None
    if element is None:
        return None
    limit = schema.get("maxItems")
    return types.list_of(element, (_REQUEST - 2) // (element.min_bytes + 1) if limit is None else limit)


def _object_type(schema: Json, name: str) -> Type | None:
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        value = type_of(others, f"{name}.@elem")
        if value is None:
            return None
        limit = schema.get("maxProperties")
        most = (_REQUEST - 2) // (value.min_bytes + 6) if limit is None else limit
        # Keys are read as if they were short, as on a real server; run time counts what they are.
        return types.map_of(types.STRING.sized(1), value, most)
    required = frozenset(schema.get("required") or ())
    fields: dict[str, Type] = {}
    least = 2
    for field, below in (schema.get("properties") or {}).items():
        found = type_of(below, f"{name}.{field}")
        if found is None:
            continue
        if _expressible(field):
            fields[escaped(field)] = found
        if field in required and below.get("default") is None:
            least += len(field) + found.min_bytes + 4
    return types.object_type(name, fields, least)


def _string_type(schema: Json) -> Type:
    form = schema.get("format")
    if form == "duration":
        return types.DURATION
    if form in ("date", "date-time", "datetime"):
        return types.TIMESTAMP
    limit = schema.get("maxLength")
    if form == "byte":
        return types.BYTES.sized(_REQUEST - 2 if limit is None else limit)
    if limit is not None:
        # Lengths count characters, and a character takes up to four bytes.
        return types.STRING.sized(4 * limit)
    choices = [text for text in schema.get("enum") or () if isinstance(text, str)]
    if choices:
        return types.STRING.sized(max(map(len, choices)))
    return types.STRING.sized(_FORMATTED_SIZES.get(form or "", _REQUEST - 2))


def cardinality(schema: Json) -> int | None:
    """How many values stand below one value of this schema, or None if the schema does not limit it."""
    if schema.get("type") == "array":
        limit = schema.get("maxItems")
        return None if limit is None else int(limit)
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        limit = schema.get("maxProperties")
        return None if limit is None else int(limit)
    return 1


def fitting(kind: Type) -> int:
    """How many values of a type fit into one request."""
    return _REQUEST // (kind.min_bytes + 1)
