"""What built-in types and fields mean, for OpenAPI: one line each, from the text file beside this module."""

from __future__ import annotations

import functools
import importlib.resources


@functools.cache
def _texts() -> dict[str, str]:
    text = importlib.resources.files(__package__).joinpath("descriptions.txt").read_text()
    lines = (line.partition(": ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: meaning for name, _, meaning in lines}


def of_type(name: str) -> str:
    """The meaning of a type, "" if nobody wrote it down."""
    return _texts().get(name, "")


def of_field(type_name: str, field: str) -> str:
    """The meaning of a field of a type, or of fields of that name in general, or ""."""
    texts = _texts()
    return texts.get(f"{type_name}.{field}") or texts.get(f".{field}", "")
