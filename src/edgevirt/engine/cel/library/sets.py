"""Lists as sets: contains, equivalent, intersects."""

from __future__ import annotations

from typing import Any

from edgevirt.engine.cel.functions import function, product
from edgevirt.engine.cel.types import BOOL, list_of, parameter
from edgevirt.engine.cel.values import equal

_LIST = list_of(parameter("A"))
_PRICE = product(0, 1, 1, 1)


def _contains(holder: list[Any], wanted: list[Any]) -> bool:
    return all(any(equal(item, candidate) for candidate in holder) for item in wanted)


def _equivalent(one: list[Any], other: list[Any]) -> bool:
    return _contains(one, other) and _contains(other, one)


def _intersects(one: list[Any], other: list[Any]) -> bool:
    return any(any(equal(item, candidate) for candidate in other) for item in one)


OVERLOADS = [
    function("sets.contains", (_LIST, _LIST), BOOL, _contains, price=_PRICE),
    function("sets.equivalent", (_LIST, _LIST), BOOL, _equivalent, price=_PRICE),
    function("sets.intersects", (_LIST, _LIST), BOOL, _intersects, price=_PRICE),
]
