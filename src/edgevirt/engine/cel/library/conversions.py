"""Conversions between the basic types: int(x), string(x) and so on."""

from __future__ import annotations

import math
from typing import Any

from edgevirt.engine.cel.errors import EvaluationError
from edgevirt.engine.cel.functions import function, same_size, traversal
from edgevirt.engine.cel.library.operators import checked_int, checked_uint
from edgevirt.engine.cel.library.times import shown_duration, shown_timestamp
from edgevirt.engine.cel.types import BOOL, BYTES, DOUBLE, DURATION, INT, STRING, TIMESTAMP, UINT
from edgevirt.engine.cel.values import Uint

_TRUTHS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def _whole(value: float) -> int:
    if math.isnan(value) or math.isinf(value):
        raise EvaluationError("integer overflow")
    return math.trunc(value)


def _parsed_int(text: str) -> int:
    if not text.removeprefix("-").removeprefix("+").isdecimal() or not text.isascii():
        raise EvaluationError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return checked_int(int(text))


def _parsed_uint(text: str) -> Uint:
    if not text.isdecimal() or not text.isascii():
        raise EvaluationError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    return checked_uint(int(text))


def _parsed_double(text: str) -> float:
    try:
        if text != text.strip() or "_" in text:
            raise ValueError
        return float(text)
    except ValueError:
        raise EvaluationError(f'strconv.ParseFloat: parsing "{text}": invalid syntax') from None


def _parsed_bool(text: str) -> bool:
    if text not in _TRUTHS:
        raise EvaluationError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return _TRUTHS[text]


def shown_double(value: float) -> str:
    """As Go's %g with the shortest digits that give the number back."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    mantissa, _, exponent = text.partition("e")
    if exponent:
        number = int(exponent)
        return f"{mantissa.removesuffix('.0')}e{'-' if number < 0 else '+'}{abs(number):02d}"
    return text.removesuffix(".0")


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None


def _identity(value: Any) -> Any:
    return value


def _shown_bool(value: bool) -> str:
    return "true" if value else "false"


OVERLOADS = [
    function("int", (INT,), INT, _identity),
    function("int", (UINT,), INT, lambda value: checked_int(int(value))),
    function("int", (DOUBLE,), INT, lambda value: checked_int(_whole(value))),
    function("int", (STRING,), INT, _parsed_int),
    function("int", (TIMESTAMP,), INT, lambda moment: moment.nanos // 10**9),
    function("int", (DURATION,), INT, lambda span: span.nanos),
    function("uint", (UINT,), UINT, _identity),
    function("uint", (INT,), UINT, checked_uint),
    function("uint", (DOUBLE,), UINT, lambda value: checked_uint(_whole(value))),
    function("uint", (STRING,), UINT, _parsed_uint),
    function("double", (DOUBLE,), DOUBLE, _identity),
    function("double", (INT,), DOUBLE, float),
    function("double", (UINT,), DOUBLE, float),
    function("double", (STRING,), DOUBLE, _parsed_double),
    function("bool", (BOOL,), BOOL, _identity),
    function("bool", (STRING,), BOOL, _parsed_bool),
    function("string", (STRING,), STRING, _identity),
    function("string", (BOOL,), STRING, _shown_bool),
    function("string", (INT,), STRING, str),
    function("string", (UINT,), STRING, lambda value: str(int(value))),
    function("string", (DOUBLE,), STRING, shown_double),
    function("string", (BYTES,), STRING, _decoded, price=traversal(0), growth=same_size()),
    function("string", (TIMESTAMP,), STRING, shown_timestamp),
    function("string", (DURATION,), STRING, shown_duration),
    function("bytes", (BYTES,), BYTES, _identity),
    function("bytes", (STRING,), BYTES, str.encode, price=traversal(0), growth=same_size()),
]
