"""The tree the parser makes: one class per form. Macros stay nodes of their own and are not unfolded.

`offset` is where cel-go reports problems of the node. The checker writes `type` and, at calls, the overloads
that come into question; nothing else is written after parsing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgevirt.engine.cel.types import DYN, Type

if TYPE_CHECKING:
    from edgevirt.engine.cel.functions import Overload


@dataclass(slots=True)
class Node:
    offset: int
    type: Type = field(default=DYN, init=False)


@dataclass(slots=True)
class Literal(Node):
    value: Any


@dataclass(slots=True)
class Ident(Node):
    name: str


@dataclass(slots=True)
class Select(Node):
    """`operand.name`, `operand.?name`, or with `test` the macro `has(operand.name)`."""

    operand: Node
    name: str
    optional: bool = False
    test: bool = False
    qualified: str = field(default="", init=False)
    """Set by the checker if the whole path is the name of one variable."""


@dataclass(slots=True)
class Call(Node):
    """A function, method or operator; operators have cel-go's names such as `_+_`."""

    function: str
    target: Node | None
    args: list[Node]
    overloads: tuple[Overload, ...] = field(default=(), init=False)


@dataclass(slots=True)
class ListLiteral(Node):
    items: list[Node]
    optional: frozenset[int]


@dataclass(slots=True)
class MapLiteral(Node):
    entries: list[tuple[Node, Node, bool]]


@dataclass(slots=True)
class Struct(Node):
    """`Name{field: value, ?field: value}`; the name may be dotted."""

    name: str
    entries: list[tuple[str, Node, bool]]


@dataclass(slots=True)
class Comprehension(Node):
    """`range.kind(variables..., args...)`."""

    kind: str
    range: Node
    variables: tuple[str, ...]
    args: list[Node]


@dataclass(slots=True)
class Bind(Node):
    """`cel.bind(name, value, body)`."""

    name: str
    value: Node
    body: Node


@dataclass(slots=True)
class OptionalMap(Node):
    """`target.optMap(name, body)` or, with `flat`, `target.optFlatMap(name, body)`."""

    target: Node
    name: str
    body: Node
    flat: bool
