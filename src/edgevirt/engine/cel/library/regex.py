"""Regular expressions, in linear time whatever the pattern: RE2, the engine Go's dialect comes from.

The library is loaded with the first pattern.
"""

from __future__ import annotations

import functools
from typing import Any

from edgevirt.engine.cel.errors import EvaluationError
from edgevirt.engine.cel.functions import Sizes, capped, function, method, same_size
from edgevirt.engine.cel.types import BOOL, INT, STRING, list_of

_CACHED = 256


@functools.lru_cache(_CACHED)
def pattern(text: str) -> Any:
    """The compiled pattern. Raises EvaluationError with Go's words."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        detail = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise EvaluationError(f"error parsing regexp: {detail}") from error


def _matches(text: str, expression: str) -> bool:
    return pattern(expression).search(text) is not None


def _find(text: str, expression: str) -> str:
    match = pattern(expression).search(text)
    return match.group(0) if match is not None else ""


def _find_all(text: str, expression: str, limit: int = -1) -> list[str]:
    found: list[str] = []
    for match in pattern(expression).finditer(text):
        if 0 <= limit <= len(found):
            break
        found.append(match.group(0))
    return found


def _price(sizes: Sizes) -> int:
    return max(1, capped(-(-(sizes[0] + 1) // 10) * -(-sizes[1] // 4)))


OVERLOADS = [
    function("matches", (STRING, STRING), BOOL, _matches, price=_price),
    method("matches", (STRING, STRING), BOOL, _matches, price=_price),
    method("find", (STRING, STRING), STRING, _find, price=_price, growth=same_size()),
    method("findAll", (STRING, STRING), list_of(STRING), _find_all, price=_price, growth=same_size()),
    method("findAll", (STRING, STRING, INT), list_of(STRING), _find_all, price=_price, growth=same_size()),
]
