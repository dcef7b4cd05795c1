"""The Swagger 2 document in protobuf: gnostic's `openapi.v2.Document`.

kubectl before 1.24 reads nothing else from /openapi/v2. Field numbers are those of gnostic's published
message definitions; what the message cannot hold (anyOf and friends) the version 2 document does not have.
Vendor extensions travel as YAML text; JSON is YAML, so they are written as JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from edgevirt.engine.apiserver.openapi.wire import double, flag, integer, message, text, texts
from edgevirt.engine.apiserver.schema import Json

_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}


def encode(document: Json) -> bytes:
    """The bytes of the whole document."""
    info = document["info"]
    return b"".join(
        (
            text(1, document["swagger"]),
            message(2, text(1, info["title"]) + text(2, info["version"])),
            message(8, _named(2, document["paths"], _path_item)),
            message(9, _named(1, document["definitions"], schema)),
            b"".join(_security_requirement(entry) for entry in document.get("security", ())),
            message(13, _named(1, document.get("securityDefinitions", {}), _security_definition)),
        )
    )


def _named(number: int, entries: Json, encoder: Callable[[Any], bytes]) -> bytes:
    """A map, which gnostic writes as repeated (name, value) messages."""
    return b"".join(
        message(number, text(1, name) + message(2, encoder(value))) for name, value in entries.items()
    )


def _any(value: Any) -> bytes:
    return text(2, msgspec.json.encode(value).decode() + "\n")


def _extensions(number: int, holder: Json) -> bytes:
    return _named(number, {key: value for key, value in holder.items() if key.startswith("x-")}, _any)


def _security_requirement(entry: Json) -> bytes:
    return message(12, _named(1, entry, lambda scopes: texts(1, scopes)))


def _security_definition(entry: Json) -> bytes:
    body = text(1, entry["type"]) + text(2, entry["name"]) + text(3, entry["in"])
    return message(2, body + text(4, entry.get("description", "")))


def _path_item(item: Json) -> bytes:
    operations = b"".join(
        message(number, _operation(item[method])) for method, number in _METHODS.items() if method in item
    )
    return operations + _parameters(9, item.get("parameters", ()))


def _operation(operation: Json) -> bytes:
    return b"".join(
        (
            texts(1, operation.get("tags", ())),
            text(3, operation.get("description", "")),
            text(5, operation.get("operationId", "")),
            texts(6, operation.get("produces", ())),
            texts(7, operation.get("consumes", ())),
            _parameters(8, operation.get("parameters", ())),
            message(9, _named(1, operation["responses"], _response)),
            texts(10, operation.get("schemes", ())),
            _extensions(13, operation),
        )
    )


def _response(response: Json) -> bytes:
    body = text(1, response["description"])
    if "schema" in response:
        body += message(2, message(1, schema(response["schema"])))
    return message(1, body)


def _parameters(number: int, parameters: Any) -> bytes:
    return b"".join(message(number, message(1, _parameter(parameter))) for parameter in parameters)


def _parameter(parameter: Json) -> bytes:
    needed, place = flag(4, parameter.get("required", False)), parameter["in"]
    description, name = parameter.get("description", ""), parameter["name"]
    if place == "body":
        body = text(1, description) + text(2, name) + text(3, place) + needed
        return message(1, body + message(5, schema(parameter["schema"])))
    head = flag(1, parameter.get("required", False)) + text(2, place) + text(3, description) + text(4, name)
    unique = parameter.get("uniqueItems", False)
    if place == "query":
        return message(2, message(3, head + text(6, parameter["type"]) + flag(20, unique)))
    return message(2, message(4, head + text(5, parameter["type"]) + flag(19, unique)))


def schema(value: Json) -> bytes:
    """One schema. Fields are written in the order of the document: readers do not depend on it."""
    parts = []
    for key, item in value.items():
        encoder = _SCHEMA_FIELDS.get(key)
        if encoder is not None:
            parts.append(encoder(item))
        elif key.startswith("x-"):
            parts.append(message(31, text(1, key) + message(2, _any(item))))
    return b"".join(parts)


def _additional(value: Any) -> bytes:
    if isinstance(value, dict):
        return message(21, message(1, schema(value)))
    return message(21, flag(2, True)) if value is True else b""


def _items(value: Any) -> bytes:
    return message(23, message(1, schema(value))) if isinstance(value, dict) else b""


def _type(value: str) -> bytes:
    return message(22, text(1, value)) if value else b""


def _text_field(number: int) -> Callable[[str], bytes]:
    return lambda value: text(number, value or "")


def _double_field(number: int) -> Callable[[float], bytes]:
    return lambda value: double(number, value or 0)


def _integer_field(number: int) -> Callable[[int], bytes]:
    return lambda value: integer(number, value or 0)


def _flag_field(number: int) -> Callable[[bool], bytes]:
    return lambda value: flag(number, bool(value))


_SCHEMA_FIELDS: dict[str, Callable[[Any], bytes]] = {
    "$ref": _text_field(1),
    "format": _text_field(2),
    "title": _text_field(3),
    "description": _text_field(4),
    "default": lambda value: b"" if value is None else message(5, _any(value)),
    "multipleOf": _double_field(6),
    "maximum": _double_field(7),
    "exclusiveMaximum": _flag_field(8),
    "minimum": _double_field(9),
    "exclusiveMinimum": _flag_field(10),
    "maxLength": _integer_field(11),
    "minLength": _integer_field(12),
    "pattern": _text_field(13),
    "maxItems": _integer_field(14),
    "minItems": _integer_field(15),
    "uniqueItems": _flag_field(16),
    "maxProperties": _integer_field(17),
    "minProperties": _integer_field(18),
    "required": lambda value: texts(19, value or ()),
    "enum": lambda value: b"".join(message(20, _any(choice)) for choice in value or ()),
    "additionalProperties": _additional,
    "type": _type,
    "items": _items,
    "properties": lambda value: message(25, _named(1, value, schema)) if value else b"",
}
