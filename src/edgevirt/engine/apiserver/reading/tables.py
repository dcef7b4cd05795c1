"""Tables and partial metadata: what `kubectl get` asks for instead of objects.

Rendering is pure: objects and a point in time in, a `meta.k8s.io/v1` document out. JSON paths of
columns are parsed once.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from edgevirt.engine.apiserver.errors import bad_request
from edgevirt.engine.apiserver.registry import Column, ServedResource
from edgevirt.engine.apiserver.schema import Json
from edgevirt.engine.apiserver.schema.ages import INVALID, Since
from edgevirt.engine.apiserver.schema.builtin_columns import DEFAULT
from edgevirt.engine.apiserver.schema.json_path import JsonPath
from edgevirt.engine.apiserver.schema.timestamps import parse_time

META_VERSION = "meta.k8s.io/v1"

INCLUDE = ("", "Metadata", "Object", "None")


def check_include(value: str) -> str:
    """`includeObject` as given, or 400 for a value that does not exist. Empty means Metadata."""
    if value not in INCLUDE:
        raise bad_request(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{value}": '
            "must be 'Metadata', 'Object', 'None', or empty"
        )
    return value or "Metadata"


def render(
    resource: ServedResource,
    objects: Iterable[Json],
    include_object: str = "Metadata",
    *,
    list_metadata: Json | None = None,
    now: datetime.datetime,
) -> Json:
    """A Table of `objects`.

    `include_object` is Metadata, Object or None (see `check_include`). `list_metadata` is the metadata of the
    list or, for a single object, its resourceVersion. `now` is an aware time; ages are relative to it.
    Objects are not changed but may be part of the result.
    """
    row = row_function(resource, include_object, now)
    rows = [row(obj) for obj in objects]
    return {
        "kind": "Table",
        "apiVersion": META_VERSION,
        "metadata": list_metadata or {},
        "columnDefinitions": column_definitions(resource),
        "rows": rows or _no_rows(resource),
    }


def row_function(
    resource: ServedResource, include_object: str, now: datetime.datetime
) -> Callable[[Json], Json]:
    """What makes the Table's row of an object; arguments as of `render`."""
    cells = [_cell_function(column) for column in columns_of(resource)]

    def row(obj: Json) -> Json:
        return {
            "cells": [_resolved(cell(obj), now) for cell in cells],
            "object": _row_object(obj, resource, include_object),
        }

    return row


def _no_rows(resource: ServedResource) -> list[Json] | None:
    """An empty list; definitions answer null, as on a real server."""
    return None if resource.group == "apiextensions.k8s.io" else []


def columns_of(resource: ServedResource) -> tuple[Column, ...]:
    return resource.columns or DEFAULT


def column_definitions(resource: ServedResource) -> list[Json]:
    """The Table's column definitions."""
    return [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in columns_of(resource)
    ]


def partial_metadata(obj: Json) -> Json:
    """A PartialObjectMetadata of `obj`, sharing its metadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": META_VERSION,
        "metadata": obj.get("metadata") or {},
    }


def partial_metadata_list(objects: Iterable[Json], list_metadata: Json) -> Json:
    """A PartialObjectMetadataList; its items carry no kind, as in any list."""
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": META_VERSION,
        "metadata": list_metadata,
        "items": [partial_item(obj) for obj in objects],
    }


def partial_item(obj: Json) -> Json:
    """An item of a PartialObjectMetadataList, sharing the object's metadata."""
    return {"metadata": obj.get("metadata") or {}}


def _row_object(obj: Json, resource: ServedResource, include_object: str) -> Json | None:
    match include_object:
        case "Object":
            return {"kind": resource.kind, "apiVersion": resource.api_version, **obj}
        case "None":
            return None
        case _:
            return partial_metadata(obj)


def _resolved(value: Any, now: datetime.datetime) -> Any:
    return value.render(now) if isinstance(value, Since) else value


@functools.lru_cache(maxsize=4096)
def _cell_function(column: Column) -> Callable[[Json], Any]:
    if column.cell is not None:
        return column.cell
    path = JsonPath.parse(column.json_path)
    kind = column.type

    def cell(obj: Json) -> Any:
        found = path.find(obj)
        return typed_cell(kind, found[0]) if found else None

    return cell


def typed_cell(kind: str, value: Any) -> Any:
    """A value as a cell of a column of type `kind`; None when it does not fit."""
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "integer":
            return int(value) if is_number else None
        case "number":
            return value if is_number else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            if not isinstance(value, str):
                return None
            return Since(value) if parse_time(value) is not None else INVALID
        case _:
            return _text(value)


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"{value:g}" if isinstance(value, float) else str(value)
        case _:
            return msgspec.json.encode(value).decode()
