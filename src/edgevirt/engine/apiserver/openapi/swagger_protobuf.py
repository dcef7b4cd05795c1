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
    """One schema."""
    reference = text(1, value.get("$ref", ""))
    parts = [reference, text(2, value.get("format", "")), text(3, value.get("title", ""))]
    parts.append(text(4, value.get("description", "")))
    if value.get("default") is not None:
        parts.append(message(5, _any(value["default"])))
    parts += [
        double(6, value.get("multipleOf") or 0),
        double(7, value.get("maximum") or 0),
        flag(8, bool(value.get("exclusiveMaximum"))),
        double(9, value.get("minimum") or 0),
        flag(10, bool(value.get("exclusiveMinimum"))),
        integer(11, value.get("maxLength") or 0),
        integer(12, value.get("minLength") or 0),
        text(13, value.get("pattern") or ""),
        integer(14, value.get("maxItems") or 0),
        integer(15, value.get("minItems") or 0),
        flag(16, bool(value.get("uniqueItems"))),
        integer(17, value.get("maxProperties") or 0),
        integer(18, value.get("minProperties") or 0),
        texts(19, value.get("required") or ()),
        b"".join(message(20, _any(choice)) for choice in value.get("enum") or ()),
        _additional(value.get("additionalProperties")),
    ]
    if value.get("type"):
        parts.append(message(22, text(1, value["type"])))
    if isinstance(value.get("items"), dict):
        parts.append(message(23, message(1, schema(value["items"]))))
    if value.get("properties"):
        parts.append(message(25, _named(1, value["properties"], schema)))
    parts.append(_extensions(31, value))
    return b"".join(parts)


def _additional(value: Any) -> bytes:
    if isinstance(value, dict):
        return message(21, message(1, schema(value)))
    return message(21, flag(2, True)) if value is True else b""
