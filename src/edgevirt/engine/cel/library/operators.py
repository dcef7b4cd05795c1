"""Arithmetic, comparison and access. Integers are of 64 bits and overflow is an error, as in Go."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from edgevirt.engine.cel.errors import EvaluationError
from edgevirt.engine.cel.functions import Overload, Sizes, capped, function, method, sum_of_sizes
from edgevirt.engine.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    list_of,
    map_of,
    optional_of,
    parameter,
    type_of,
)
from edgevirt.engine.cel.values import (
    NONE,
    Duration,
    Optional,
    Timestamp,
    Uint,
    UnorderedList,
    dynamic_type,
    equal,
    kind_of,
)

_A, _B = parameter("A"), parameter("B")
_LIST, _MAP = list_of(_A), map_of(_A, _B)
_INT_LIMIT, _UINT_LIMIT = 2**63, 2**64


def checked_int(value: int) -> int:
    if not -_INT_LIMIT <= value < _INT_LIMIT:
        raise EvaluationError("integer overflow")
    return value


def checked_uint(value: int) -> Uint:
    if not 0 <= value < _UINT_LIMIT:
        raise EvaluationError("unsigned integer overflow")
    return Uint(value)


def _on_ints(compute: Callable[[int, int], int]) -> Callable[[int, int], int]:
    return lambda left, right: checked_int(compute(left, right))


def _on_uints(compute: Callable[[int, int], int]) -> Callable[[int, int], Uint]:
    return lambda left, right: checked_uint(compute(int(left), int(right)))


def _quotient(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("division by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _remainder(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("modulus by zero")
    return int(math.copysign(1, left)) * (abs(left) % abs(right))


def _double_quotient(left: float, right: float) -> float:
    if right == 0:
        return (
            math.nan
            if left == 0 or math.isnan(left)
            else math.copysign(math.inf, left) * math.copysign(1, right)
        )
    return left / right


def _later(moment: Timestamp, span: Duration) -> Timestamp:
    return Timestamp(moment.nanos + span.nanos)


_LONGEST = 1_000_000


def _joined(left: list[Any], right: list[Any]) -> list[Any]:
    if len(left) + len(right) > _LONGEST:
        raise EvaluationError("the list would get too long")
    return left.merged(right) if isinstance(left, UnorderedList) else left + right


def _contains(item: Any, items: list[Any]) -> bool:
    return any(equal(item, candidate) for candidate in items)


def _item(items: list[Any], index: Any) -> Any:
    if isinstance(index, float) and index.is_integer():
        index = int(index)
    if isinstance(index, float | bool) or not isinstance(index, int):
        raise EvaluationError("no such overload")
    if not 0 <= index < len(items):
        raise EvaluationError(f"index out of bounds: {index}")
    return items[index]


def _has_key(key: Any, mapping: dict[Any, Any]) -> bool:
    kind = kind_of(key)
    if kind == "bool":
        # Python takes true for the key 1.
        return any(found is key for found in mapping)
    if kind not in ("string", "int", "uint", "double"):
        raise EvaluationError("unsupported key type")
    return key in mapping and (
        kind == "string" or not any(found is True or found is False for found in mapping)
    )


def _entry(mapping: dict[Any, Any], key: Any) -> Any:
    if not _has_key(key, mapping):
        raise EvaluationError(f"no such key: {key}")
    return mapping[key]


def _optional_item(items: list[Any], index: int) -> Optional:
    return Optional(True, items[index]) if 0 <= index < len(items) else NONE


def _optional_entry(mapping: dict[Any, Any], key: Any) -> Optional:
    return Optional(True, mapping[key]) if _has_key(key, mapping) else NONE


def _through(access: Callable[[Any, Any], Optional]) -> Callable[[Optional, Any], Optional]:
    """Access to what an optional holds."""
    return lambda holder, key: access(holder.value, key) if holder.present else NONE


def _comparison_price(sizes: Sizes) -> int:
    return max(1, capped(math.ceil(min(sizes) * 0.1)))


def _concatenation_price(sizes: Sizes) -> int:
    return max(1, capped(math.ceil(sum(sizes) * 0.1)))


def _membership_price(sizes: Sizes) -> int:
    return max(1, sizes[1])


def _arithmetic() -> list[Overload]:
    found: list[Overload] = []
    for name, compute in (("_+_", operator.add), ("_-_", operator.sub), ("_*_", operator.mul)):
        found.append(function(name, (INT, INT), INT, _on_ints(compute)))
        found.append(function(name, (UINT, UINT), UINT, _on_uints(compute)))
        found.append(function(name, (DOUBLE, DOUBLE), DOUBLE, compute))
    for name, compute in (("_/_", _quotient), ("_%_", _remainder)):
        found.append(function(name, (INT, INT), INT, _on_ints(compute)))
        found.append(function(name, (UINT, UINT), UINT, _on_uints(compute)))
    found += [
        function("_/_", (DOUBLE, DOUBLE), DOUBLE, _double_quotient),
        function("-_", (INT,), INT, lambda value: checked_int(-value)),
        function("-_", (DOUBLE,), DOUBLE, operator.neg),
        function("!_", (BOOL,), BOOL, operator.not_),
    ]
    for kind in (STRING, BYTES):
        more = {"price": _concatenation_price, "growth": sum_of_sizes}
        found.append(function("_+_", (kind, kind), kind, operator.add, **more))
    found += [
        function("_+_", (_LIST, _LIST), _LIST, _joined, growth=sum_of_sizes),
        function("_+_", (TIMESTAMP, DURATION), TIMESTAMP, _later),
        function("_+_", (DURATION, TIMESTAMP), TIMESTAMP, lambda span, moment: _later(moment, span)),
        function("_+_", (DURATION, DURATION), DURATION, lambda one, two: Duration(one.nanos + two.nanos)),
        function("_-_", (TIMESTAMP, TIMESTAMP), DURATION, lambda one, two: Duration(one.nanos - two.nanos)),
        function("_-_", (TIMESTAMP, DURATION), TIMESTAMP, lambda one, two: Timestamp(one.nanos - two.nanos)),
        function("_-_", (DURATION, DURATION), DURATION, lambda one, two: Duration(one.nanos - two.nanos)),
    ]
    return found


def _comparisons() -> list[Overload]:
    numbers = [(one, other) for one in (INT, UINT, DOUBLE) for other in (INT, UINT, DOUBLE)]
    same: list[tuple[Type, Type]] = [(kind, kind) for kind in (BOOL, STRING, BYTES, TIMESTAMP, DURATION)]
    found = [
        function(name, pair, BOOL, compare, price=_comparison_price)
        for name, compare in (
            ("_<_", operator.lt),
            ("_<=_", operator.le),
            ("_>_", operator.gt),
            ("_>=_", operator.ge),
        )
        for pair in (*numbers, *same)
    ]
    found.append(function("_==_", (_A, _A), BOOL, equal, price=_comparison_price))
    found.append(
        function("_!=_", (_A, _A), BOOL, lambda one, two: not equal(one, two), price=_comparison_price)
    )
    return found


def _never(*args: Any) -> Any:
    raise AssertionError("computed by the evaluator itself")


def _access() -> list[Overload]:
    optional_list, optional_map = optional_of(_LIST), optional_of(_MAP)
    return [
        function("_?_:_", (BOOL, _A, _A), _A, _never),
        function("_||_", (BOOL, BOOL), BOOL, _never),
        function("_&&_", (BOOL, BOOL), BOOL, _never),
        function("_[_]", (_LIST, INT), _A, _item),
        function("_[_]", (_LIST, DOUBLE), _A, _item),
        function("_[_]", (_MAP, _A), _B, _entry),
        function("_[_]", (optional_list, INT), optional_of(_A), _through(_optional_item)),
        function("_[_]", (optional_map, _A), optional_of(_B), _through(_optional_entry)),
        function("_[?_]", (_LIST, INT), optional_of(_A), _optional_item),
        function("_[?_]", (_MAP, _A), optional_of(_B), _optional_entry),
        function("_[?_]", (optional_list, INT), optional_of(_A), _through(_optional_item)),
        function("_[?_]", (optional_map, _A), optional_of(_B), _through(_optional_entry)),
        function("@in", (_A, _LIST), BOOL, _contains, price=_membership_price),
        function("@in", (_A, _MAP), BOOL, _has_key),
        function("type", (_A,), type_of(_A), dynamic_type),
        function("dyn", (_A,), DYN, lambda value: value),
        *(
            make("size", (kind,), INT, len)
            for make in (function, method)
            for kind in (STRING, BYTES, _LIST, _MAP)
        ),
    ]


OVERLOADS = [*_arithmetic(), *_comparisons(), *_access()]
