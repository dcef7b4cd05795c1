"""What an expression may cost at most, before it is ever run.

The estimate follows cel-go's: each step has a price, a comprehension pays its body once per element, and the
price of a function depends on the sizes its arguments may have. Sizes come from the types, which carry the
limits of the schema they were made from.
"""

from __future__ import annotations

from typing import NamedTuple

from edgevirt.engine.cel.evaluator import LIST_COST, MAP_COST, STRUCT_COST
from edgevirt.engine.cel.functions import capped
from edgevirt.engine.cel.syntax import (
    Bind,
    Call,
    Comprehension,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Node,
    OptionalMap,
    Select,
    Struct,
)
from edgevirt.engine.cel.types import Type


class Estimate(NamedTuple):
    cost: int
    size: int
    """Elements or characters the result may have."""


_LOOP_COST = 3
"""Per element: testing the accumulator, and joining the result of the body to it."""


def estimate(node: Node) -> int:
    """The highest cost of a checked tree."""
    return _estimate(node).cost


def _estimate(node: Node) -> Estimate:
    size = _size_of(node.type)
    match node:
        case Literal():
            return Estimate(0, len(node.value) if isinstance(node.value, str | bytes) else 1)
        case Ident():
            return Estimate(1, size)
        case Select():
            return Estimate(1 if node.qualified else capped(1 + estimate(node.operand)), size)
        case ListLiteral():
            return Estimate(capped(LIST_COST + sum(map(estimate, node.items))), len(node.items))
        case MapLiteral():
            parts = sum(estimate(key) + estimate(value) for key, value, _ in node.entries)
            return Estimate(capped(MAP_COST + parts), len(node.entries))
        case Struct():
            parts = sum(estimate(value) for _, value, _ in node.entries)
            return Estimate(capped(STRUCT_COST + parts), len(node.entries))
        case Call():
            return _call(node, size)
        case Comprehension():
            return _comprehension(node)
        case Bind():
            body = _estimate(node.body)
            return Estimate(capped(estimate(node.value) + body.cost), body.size)
        case OptionalMap():
            body = _estimate(node.body)
            return Estimate(capped(estimate(node.target) + body.cost + 1), body.size)
    raise TypeError(node)


def _size_of(kind: Type) -> int:
    if kind.kind == "optional" and kind.params:
        return kind.params[0].max_size
    return kind.max_size


def _call(node: Call, size: int) -> Estimate:
    arguments = ([node.target] if node.target is not None else []) + node.args
    parts = [_estimate(argument) for argument in arguments]
    total = sum(part.cost for part in parts)
    if node.function == "_?_:_":
        condition, yes, no = parts
        cost = capped(condition.cost + max(yes.cost, no.cost))
        return Estimate(cost, max(yes.size, no.size))
    if node.function in ("_||_", "_&&_"):
        return Estimate(capped(total), 1)
    sizes = [part.size for part in parts]
    price = max(overload.price(sizes) for overload in node.overloads)
    growths = [overload.growth(sizes) for overload in node.overloads if overload.growth is not None]
    return Estimate(capped(total + price), min(max(growths), size) if growths else size)


def _comprehension(node: Comprehension) -> Estimate:
    ranged = _estimate(node.range)
    bodies = [_estimate(argument) for argument in node.args]
    per_element = _LOOP_COST + sum(body.cost for body in bodies)
    if node.kind in ("filter", "map", "transformList"):
        per_element += LIST_COST + 1
    elif node.kind in ("transformMap", "transformMapEntry"):
        per_element += MAP_COST + 1
    boolean = node.kind in ("all", "exists", "exists_one")
    return Estimate(capped(ranged.cost + ranged.size * per_element + 1), 1 if boolean else ranged.size)
