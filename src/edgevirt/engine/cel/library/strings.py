"""Text: what cel-go's standard library and its strings extension (version 2) offer."""

from __future__ import annotations

import math
import re
from typing import Any

from edgevirt.engine.cel.errors import EvaluationError
from edgevirt.engine.cel.functions import Sizes, capped, function, method, product, same_size, traversal
from edgevirt.engine.cel.library.conversions import shown_double
from edgevirt.engine.cel.library.times import shown_duration, shown_timestamp
from edgevirt.engine.cel.types import BOOL, DYN, INT, STRING, Type, list_of
from edgevirt.engine.cel.values import Opaque, kind_of, steps

_MAX_RESULT = 10 * 1024 * 1024
_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}
_CLAUSE = re.compile(r"%(?:%|(\.\d+)?([a-zA-Z]))")


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise EvaluationError(f"index out of range: {index}")
    return text[index : index + 1]


def _index_of(text: str, wanted: str, start: int = 0) -> int:
    if wanted == "":
        return start
    if not 0 <= start <= len(text):
        raise EvaluationError(f"index out of range: {start}")
    return text.find(wanted, start)


def _last_index_of(text: str, wanted: str, end: int | None = None) -> int:
    last = len(text) if end is None else end
    if wanted == "":
        return last
    if end is not None and not 0 <= end < max(len(text), 1):
        raise EvaluationError(f"index out of range: {end}")
    return text.rfind(wanted, 0, last + len(wanted))


def _substring(text: str, start: int, end: int | None = None) -> str:
    last = len(text) if end is None else end
    if not 0 <= start <= len(text):
        raise EvaluationError(f"index out of range: {start}")
    if not 0 <= last <= len(text):
        raise EvaluationError(f"index out of range: {last}")
    if start > last:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {last}")
    return text[start:last]


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    hits = text.count(old) if count < 0 else min(count, text.count(old))
    if len(text) + hits * max(0, len(new) - len(old)) > _MAX_RESULT:
        raise EvaluationError("the text would get too long")
    return text.replace(old, new, max(count, -1))


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if limit == 1:
        return [text]
    if separator == "":
        parts = list(text)
        return (
            parts if limit < 0 or len(parts) <= limit else [*parts[: limit - 1], "".join(parts[limit - 1 :])]
        )
    return text.split(separator, limit - 1 if limit > 0 else -1)


def _join(items: list[str], separator: str = "") -> str:
    if any(not isinstance(item, str) for item in items):
        raise EvaluationError("no such overload")
    if sum(map(len, items)) + len(separator) * len(items) > _MAX_RESULT:
        raise EvaluationError("the text would get too long")
    return separator.join(items)


_ASCII_LOWER = {ord("A") + i: ord("a") + i for i in range(26)}
_ASCII_UPPER = {ord("a") + i: ord("A") + i for i in range(26)}


def _lower(text: str) -> str:
    return text.translate(_ASCII_LOWER)


def _upper(text: str) -> str:
    return text.translate(_ASCII_UPPER)


def _quote(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(letter, letter) for letter in text) + '"'


def _format(template: str, args: list[Any]) -> str:
    taken, length = 0, len(template)

    def clause(match: re.Match[str]) -> str:
        nonlocal taken, length
        if match.group(0) == "%%":
            return "%"
        if taken >= len(args):
            raise EvaluationError(f"index {taken} out of range")
        taken += 1
        precision = int(match.group(1)[1:]) if match.group(1) else None
        text = _formatted(args[taken - 1], match.group(2), precision)
        length += len(text)
        if length > _MAX_RESULT:
            raise EvaluationError("the text would get too long")
        return text

    return _CLAUSE.sub(clause, template)


def _formatted(value: Any, verb: str, precision: int | None) -> str:
    kind = kind_of(value)
    digits = 6 if precision is None else min(precision, 100)
    match verb:
        case "s":
            return _shown(value)
        case "d" if kind in ("int", "uint"):
            return str(int(value))
        case "d" if kind == "double" and not math.isfinite(value):
            return _infinite(value)
        case "f" if kind in ("double", "int", "uint"):
            return _infinite(value) if not math.isfinite(value) else f"{value:.{digits}f}"
        case "e" if kind in ("double", "int", "uint"):
            return _infinite(value) if not math.isfinite(value) else f"{value:.{digits}e}"
        case "b" if kind in ("int", "uint", "bool"):
            return f"{int(value):b}"
        case "o" if kind in ("int", "uint"):
            return f"{int(value):o}"
        case "x" | "X" if kind in ("int", "uint"):
            return f"{int(value):{verb}}"
        case "x" | "X" if kind in ("string", "bytes"):
            text = (value.encode() if isinstance(value, str) else value).hex()
            return text.upper() if verb == "X" else text
    raise EvaluationError(
        f"error during formatting: could not convert argument of type {kind} for the clause %{verb}"
    )


def _infinite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _shown(value: Any) -> str:
    steps.take()
    match kind_of(value):
        case "string":
            return str(value)
        case "bytes":
            return bytes(value).decode(errors="replace")
        case "bool":
            return "true" if value else "false"
        case "null":
            return "null"
        case "double":
            return shown_double(value) if math.isfinite(value) else _infinite(value)
        case "timestamp":
            return shown_timestamp(value)
        case "duration":
            return shown_duration(value)
        case "list":
            return f"[{', '.join(_shown(item) for item in value)}]"
        case "map":
            entries = sorted((_shown(key), _shown(held)) for key, held in value.items())
            return "{" + ", ".join(f"{key}: {held}" for key, held in entries) + "}"
    if isinstance(value, Type | Opaque):
        return str(value)
    return str(int(value))


def _format_price(sizes: Sizes) -> int:
    return max(1, capped(sizes[0] * 0.1) + sizes[1])


def _join_size(sizes: Sizes) -> int:
    return capped(sizes[0] * (1 + (sizes[1] if len(sizes) > 1 else 0)) * 16)


_READ = {"price": traversal(0)}
_COPY = {"price": traversal(0), "growth": same_size()}

OVERLOADS = [
    method("contains", (STRING, STRING), BOOL, lambda text, part: part in text, price=product(0, 1)),
    method("startsWith", (STRING, STRING), BOOL, str.startswith, price=traversal(1)),
    method("endsWith", (STRING, STRING), BOOL, str.endswith, price=traversal(1)),
    method("charAt", (STRING, INT), STRING, _char_at, **_READ),
    method("indexOf", (STRING, STRING), INT, _index_of, price=product(0, 1)),
    method("indexOf", (STRING, STRING, INT), INT, _index_of, price=product(0, 1)),
    method("lastIndexOf", (STRING, STRING), INT, _last_index_of, price=product(0, 1)),
    method("lastIndexOf", (STRING, STRING, INT), INT, _last_index_of, price=product(0, 1)),
    method("lowerAscii", (STRING,), STRING, _lower, **_COPY),
    method("upperAscii", (STRING,), STRING, _upper, **_COPY),
    method("trim", (STRING,), STRING, str.strip, **_COPY),
    method("replace", (STRING, STRING, STRING), STRING, _replace, **_COPY),
    method("replace", (STRING, STRING, STRING, INT), STRING, _replace, **_COPY),
    method("split", (STRING, STRING), list_of(STRING), _split, **_COPY),
    method("split", (STRING, STRING, INT), list_of(STRING), _split, **_COPY),
    method("substring", (STRING, INT), STRING, _substring, **_COPY),
    method("substring", (STRING, INT, INT), STRING, _substring, **_COPY),
    method("join", (list_of(STRING),), STRING, _join, price=traversal(0), growth=_join_size),
    method("join", (list_of(STRING), STRING), STRING, _join, price=traversal(0), growth=_join_size),
    method("format", (STRING, list_of(DYN)), STRING, _format, price=_format_price),
    function("strings.quote", (STRING,), STRING, _quote, **_COPY),
]
