"""Reading raw JSON objects without trusting their shape, and the difference of two of them as a JSON patch.

Admission works on raw objects, because a typed object would lose fields it does not know and the patch
could then delete them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

JsonObject = dict[str, Any]


def child(value: Mapping[str, Any], *path: str) -> JsonObject:
    """The object at a path, or an empty one (not connected to `value`) if there is none."""
    current: Any = value
    for step in path:
        current = current.get(step) if isinstance(current, Mapping) else None
    return current if isinstance(current, dict) else {}


def items(value: Mapping[str, Any], *path: str) -> list[JsonObject]:
    """The objects in the list at a path; () if there is none."""
    found = child(value, *path[:-1]).get(path[-1])
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def ensure(value: JsonObject, *path: str) -> JsonObject:
    """The object at a path, made if there is none, to be changed in place."""
    for step in path:
        below = value.get(step)
        if not isinstance(below, dict):
            below = {}
            value[step] = below
        value = below
    return value


def difference(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> Iterator[JsonObject]:
    """JSON patch operations that turn `before` into `after`. Lists are replaced as a whole."""
    for key in before:
        if key not in after:
            yield {"op": "remove", "path": f"{path}/{_escaped(key)}"}
    for key, wanted in after.items():
        here = f"{path}/{_escaped(key)}"
        if key not in before:
            yield {"op": "add", "path": here, "value": wanted}
        elif isinstance(wanted, Mapping) and isinstance(before[key], Mapping):
            yield from difference(before[key], wanted, here)
        elif before[key] != wanted:
            yield {"op": "replace", "path": here, "value": wanted}


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
