"""Functions: named sets of overloads, and how one is chosen for values whose types were not known.

An overload carries its signature, its implementation and its price. The price is a function of argument
sizes and serves twice: with the sizes there are, while an expression runs, and with the sizes there may be,
when its cost is estimated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgevirt.engine.cel.errors import EvaluationError
from edgevirt.engine.cel.types import UNBOUNDED, Type
from edgevirt.engine.cel.values import kind_of

Sizes = Sequence[int]
Price = Callable[[Sizes], int]
Growth = Callable[[Sizes], int]


def unit(sizes: Sizes) -> int:
    return 1


def capped(value: float) -> int:
    """A cost or size that stays an integer of bounded size."""
    return UNBOUNDED if value >= UNBOUNDED else int(value)


def traversal(*positions: int, factor: float = 0.1) -> Price:
    """The price of reading the arguments at `positions` once from end to end."""

    def price(sizes: Sizes) -> int:
        return capped(sum(math.ceil(sizes[position] * factor) for position in positions))

    return price


def product(first: int, second: int, factor: float = 0.1, second_factor: float = 0.1) -> Price:
    """The price of comparing each part of one argument with each of another."""

    def price(sizes: Sizes) -> int:
        return capped(math.ceil(sizes[first] * factor) * math.ceil(sizes[second] * second_factor))

    return price


def elements(position: int = 0) -> Price:
    """The price of visiting each element of one argument."""
    return lambda sizes: max(1, sizes[position])


def same_size(position: int = 0) -> Growth:
    return lambda sizes: sizes[position]


def sum_of_sizes(sizes: Sizes) -> int:
    return capped(sum(sizes))


@dataclass(frozen=True, slots=True)
class Overload:
    name: str
    params: tuple[Type, ...]
    result: Type
    run: Callable[..., Any]
    member: bool = False
    price: Price = unit
    growth: Growth | None = None
    """Size of the result by the sizes of the arguments; None if the type says enough."""

    def takes(self, kinds: Sequence[str]) -> bool:
        """Whether values of these kinds are arguments for it."""
        return len(kinds) == len(self.params) and all(
            param.kind in ("dyn", "param") or kind == (param.name if param.kind == "opaque" else param.kind)
            for param, kind in zip(self.params, kinds, strict=True)
        )


def function(
    name: str, params: Sequence[Type], result: Type, run: Callable[..., Any], **more: Any
) -> Overload:
    """An overload called as `name(a, b)`."""
    return Overload(name, tuple(params), result, run, **more)


def method(name: str, params: Sequence[Type], result: Type, run: Callable[..., Any], **more: Any) -> Overload:
    """An overload called as `a.name(b)`."""
    return Overload(name, tuple(params), result, run, member=True, **more)


Functions = Mapping[str, tuple[Overload, ...]]


def indexed(overloads: Sequence[Overload]) -> dict[str, tuple[Overload, ...]]:
    """Overloads by the name of their function."""
    found: dict[str, tuple[Overload, ...]] = {}
    for overload in overloads:
        found[overload.name] = (*found.get(overload.name, ()), overload)
    return found


def choose(candidates: tuple[Overload, ...], args: Sequence[Any]) -> Overload:
    """The overload for these values. Raises EvaluationError."""
    kinds = [kind_of(arg) for arg in args]
    for candidate in candidates:
        if candidate.takes(kinds):
            return candidate
    raise EvaluationError("no such overload")
