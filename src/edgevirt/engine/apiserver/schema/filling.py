"""Filling in what an object leaves out, tolerant of values whose type validation will complain about."""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.schema import Json


def items_of(holder: Json, name: str) -> list[Json]:
    """The objects of list field `name`; empty when absent or of a wrong type."""
    value = holder.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def object_of(holder: Json, name: str) -> Json | None:
    """The object in field `name`; None when absent or of a wrong type."""
    value = holder.get(name)
    return value if isinstance(value, dict) else None


def fill(holder: Json, **defaults: Any) -> None:
    """Set what is absent or, for text, empty."""
    for name, value in defaults.items():
        if holder.get(name) in (None, ""):
            holder[name] = value
