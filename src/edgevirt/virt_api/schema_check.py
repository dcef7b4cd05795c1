"""Strict check of an object against the schema of its kind: unknown fields, types, required, enums, limits.

An API server checks the same schema before it calls a webhook, but prunes unknown fields silently where a
client asked for no field validation, and keeps them where the schema is lenient. Here every unknown field is
a mistake that is named. Objects are small; the walk is linear in their size.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Final

from edgevirt.api import quantity
from edgevirt.api.crd import structural_schema
from edgevirt.api.meta import StatusCause, Struct
from edgevirt.virt_api.causes import invalid, not_supported, required

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def check(value: Any, type: type[Struct], path: str = "") -> list[StatusCause]:
    """What is wrong with `value` as an object of an API type, with field paths; [] if nothing is."""
    return list(_check(value, _schema(type), path))


@functools.cache
def _schema(type: type[Struct]) -> Mapping[str, Any]:
    return structural_schema(type)


def _check(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[StatusCause]:
    if value is None:
        return  # an explicit null is an absent field
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, int | str):
            yield invalid(path, f"{path} must be a number or a text, not {_kind(value)}")
        elif "pattern" in schema:
            try:
                quantity.parse(value)
            except quantity.QuantityError as error:
                yield invalid(path, f"{path}: {error}")
        return
    wanted = schema.get("type")
    if wanted and (
        not isinstance(value, _TYPES[wanted]) or (isinstance(value, bool) and wanted != "boolean")
    ):
        yield invalid(path, f"{path} must be {_article(wanted)}, not {_kind(value)}")
        return
    if isinstance(value, dict):
        yield from _check_object(value, schema, path)
    elif isinstance(value, list):
        if len(value) > schema.get("maxItems", len(value)):
            yield invalid(path, f"{path} has {len(value)} items; at most {schema['maxItems']} are allowed")
        for index, item in enumerate(value):
            yield from _check(item, schema.get("items", {}), f"{path}[{index}]")
    else:
        yield from _check_scalar(value, schema, path)


def _check_object(value: dict[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[StatusCause]:
    prefix = f"{path}." if path else ""
    for name in schema.get("required", ()):
        if value.get(name) is None:
            yield required(f"{prefix}{name}", f"{prefix}{name} is required")
    properties = schema.get("properties", {})
    values = schema.get("additionalProperties")
    known = "properties" in schema or values is not None
    # Only an explicitly opaque object, or the metadata of the object itself, may hold anything.
    opaque = not known and (schema.get("x-kubernetes-preserve-unknown-fields") or path == "metadata")
    for name, below in value.items():
        if name in properties:
            yield from _check(below, properties[name], f"{prefix}{name}")
        elif values is not None:
            yield from _check(below, values, f"{prefix}{name}")
        elif not opaque and below is not None:
            yield invalid(
                f"{prefix}{name}",
                f"{prefix}{name} is not a known field; check its spelling and place",
            )


def _check_scalar(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[StatusCause]:
    choices = schema.get("enum")
    if choices and value not in choices:
        yield not_supported(path, f"{path}: {value!r} is not one of {', '.join(choices)}")
    if "minimum" in schema and value < schema["minimum"]:
        yield invalid(path, f"{path} must be at least {schema['minimum']}")
    if "maximum" in schema and value > schema["maximum"]:
        yield invalid(path, f"{path} must be at most {schema['maximum']}")
    if isinstance(value, str) and len(value) > schema.get("maxLength", len(value)):
        yield invalid(path, f"{path} is longer than {schema['maxLength']} characters")


def _kind(value: Any) -> str:
    return next(
        (
            _article(name)
            for name in ("boolean", "object", "array", "string", "integer", "number")
            if isinstance(value, _TYPES[name])
        ),
        "this",
    )


def _article(kind: str) -> str:
    words = {"object": "an object", "array": "a list", "string": "a text", "integer": "a whole number"}
    return words.get(kind, f"a {kind}")
