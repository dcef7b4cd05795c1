"""What Kubernetes adds to lists, and the list functions of cel-go's extension."""

from __future__ import annotations

import itertools
from typing import Any

from edgevirt.engine.cel.errors import EvaluationError
from edgevirt.engine.cel.functions import Overload, elements, function, method, same_size
from edgevirt.engine.cel.library.operators import checked_int
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
    parameter,
)
from edgevirt.engine.cel.values import Duration, Uint, equal, frozen, kind_of

_A = parameter("A")
_LIST = list_of(_A)
_ORDERED = (INT, UINT, DOUBLE, BOOL, DURATION, TIMESTAMP, STRING, BYTES)
_SUMMED = (INT, UINT, DOUBLE, DURATION)
_ZERO: dict[str, Any] = {"int": 0, "uint": Uint(0), "double": 0.0}


def _is_sorted(items: list[Any]) -> bool:
    _same_kind(items)
    return all(one <= other for one, other in itertools.pairwise(items))


def _same_kind(items: list[Any]) -> None:
    if len({kind_of(item) for item in items}) > 1:
        raise EvaluationError("no such overload")


def _sum(kind: str) -> Any:
    def total(items: list[Any]) -> Any:
        _same_kind(items)
        if kind == "duration":
            return Duration(sum(item.nanos for item in items))
        added: Any = sum(items, _ZERO[kind])
        return checked_int(added) if kind == "int" else Uint(added) if kind == "uint" else added

    return total


def _extreme(choose: Any, name: str) -> Any:
    def find(items: list[Any]) -> Any:
        if not items:
            raise EvaluationError(f"{name} called on empty list")
        _same_kind(items)
        return choose(items)

    return find


def _index_of(items: list[Any], wanted: Any) -> int:
    return next((index for index, item in enumerate(items) if equal(item, wanted)), -1)


def _last_index_of(items: list[Any], wanted: Any) -> int:
    return next((i for i in range(len(items) - 1, -1, -1) if equal(items[i], wanted)), -1)


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if not 0 <= start <= end <= len(items):
        raise EvaluationError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


def _flatten(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    flat: list[Any] = []
    for item in items:
        if isinstance(item, list) and depth > 0:
            flat.extend(_flatten(item, depth - 1))
        else:
            flat.append(item)
    return flat


def _distinct(items: list[Any]) -> list[Any]:
    return list({frozen(item): item for item in reversed(items)}.values())[::-1]


def _sort(items: list[Any]) -> list[Any]:
    _same_kind(items)
    return sorted(items)


def _range(end: int) -> list[int]:
    if end > 10_000:
        raise EvaluationError("range: the list would be too long")
    return list(range(end))


def _of(kind: Type, name: str, result: Type, run: Any) -> Overload:
    return method(name, (list_of(kind),), result, run, price=elements())


OVERLOADS = [
    *(_of(kind, "isSorted", BOOL, _is_sorted) for kind in _ORDERED),
    *(_of(kind, "sum", kind, _sum(kind.kind)) for kind in _SUMMED),
    *(_of(kind, "min", kind, _extreme(min, "min")) for kind in _ORDERED),
    *(_of(kind, "max", kind, _extreme(max, "max")) for kind in _ORDERED),
    method("indexOf", (_LIST, _A), INT, _index_of, price=elements()),
    method("lastIndexOf", (_LIST, _A), INT, _last_index_of, price=elements()),
    method("slice", (_LIST, INT, INT), _LIST, _slice, price=elements(), growth=same_size()),
    method("flatten", (list_of(list_of(_A)),), _LIST, _flatten, price=elements()),
    method("flatten", (list_of(DYN), INT), list_of(DYN), _flatten, price=elements()),
    *(method("sort", (list_of(kind),), list_of(kind), _sort, price=elements()) for kind in _ORDERED),
    method("distinct", (_LIST,), _LIST, _distinct, price=elements(), growth=same_size()),
    method("reverse", (_LIST,), _LIST, lambda items: items[::-1], price=elements(), growth=same_size()),
    function("lists.range", (INT,), list_of(INT), _range, price=lambda sizes: 100),
]
