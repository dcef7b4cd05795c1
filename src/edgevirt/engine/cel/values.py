"""Values while an expression runs: plain Python ones where they fit, small classes where they do not.

bool, int, float, str, bytes, list, dict and None stand for themselves; `Uint` is told from int by its class.
Times count nanoseconds, because Python's own stop at microseconds. Types of extension libraries subclass
`Opaque`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from edgevirt.engine.cel import types
from edgevirt.engine.cel.errors import BudgetExceeded, EvaluationError
from edgevirt.engine.cel.types import Type


class Uint(int):
    """An unsigned integer of 64 bits."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """Nanoseconds since 1970 in UTC."""

    nanos: int


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    nanos: int


class Optional:
    """A value that may be absent; `NONE` is the absent one."""

    __slots__ = ("present", "value")

    def __init__(self, present: bool, value: Any = None) -> None:
        self.present = present
        self.value = value


NONE = Optional(False)


class StructValue(dict[str, Any]):
    """What a struct literal makes: a map that knows the name of its type."""

    __slots__ = ("type_name",)

    def __init__(self, type_name: str, fields: dict[str, Any]) -> None:
        super().__init__(fields)
        self.type_name = type_name


class Opaque:
    """Base of values of extension libraries. `cel_type` names their type; equality is the class's own."""

    __slots__ = ()
    cel_type: ClassVar[Type]


_KINDS: dict[type, str] = {
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
    type(None): "null",
    Timestamp: "timestamp",
    Duration: "duration",
    Optional: "optional",
    Type: "type",
}
_BY_KIND: dict[str, Type] = {
    "bool": types.BOOL,
    "int": types.INT,
    "uint": types.UINT,
    "double": types.DOUBLE,
    "string": types.STRING,
    "bytes": types.BYTES,
    "list": types.list_of(types.DYN),
    "map": types.map_of(types.DYN, types.DYN),
    "null": types.NULL,
    "timestamp": types.TIMESTAMP,
    "duration": types.DURATION,
    "optional": types.optional_of(types.DYN),
    "type": types.type_of(types.DYN),
}


def kind_of(value: Any) -> str:
    """The kind of a value's type; of an opaque value the name of its type."""
    kind = _KINDS.get(type(value))
    if kind is not None:
        return kind
    if isinstance(value, Opaque):
        return value.cel_type.name
    for known, name in _KINDS.items():
        if isinstance(value, known):
            return name
    raise EvaluationError(f"unsupported value of {type(value).__name__}")


def dynamic_type(value: Any) -> Type:
    """The type of a value as `type(x)` gives it."""
    return value.cel_type if isinstance(value, Opaque) else _BY_KIND[kind_of(value)]


_NUMERIC = frozenset({"int", "uint", "double"})


MOST_VALUES = 500_000
"""How many values the comparisons and conversions to text of one evaluation visit at most.

Values may share parts, so a short expression can build one that is small in memory and endless to walk.
"""


class Steps:
    """Counts the values that are visited, anew for each outermost evaluation; the loop runs one at a time."""

    __slots__ = ("_depth", "_left")

    def __init__(self) -> None:
        self._left, self._depth = MOST_VALUES, 0

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *failure: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._left = MOST_VALUES

    def take(self, count: int = 1) -> None:
        """Raises BudgetExceeded when it were too many."""
        self._left -= count
        if self._left < 0:
            raise BudgetExceeded("operation cancelled: actual cost limit exceeded")


steps = Steps()


def equal(left: Any, right: Any) -> bool:
    """CEL's equality: numbers by value, other types never equal to each other. Raises BudgetExceeded."""
    one, other = kind_of(left), kind_of(right)
    if one != other:
        return one in _NUMERIC and other in _NUMERIC and left == right
    if one in ("list", "map", "optional"):
        return _equal_parts(one, left, right)
    return bool(left == right)


def _equal_parts(kind: str, left: Any, right: Any) -> bool:
    if kind == "optional":
        return left.present == right.present and (not left.present or equal(left.value, right.value))
    if len(left) != len(right):
        return False
    steps.take(len(left))
    if kind == "map":
        return all(key in right and equal(value, right[key]) for key, value in left.items())
    if isinstance(left, UnorderedList) and isinstance(right, list):
        return left.same_elements(right)
    return all(map(equal, left, right))


class UnorderedList(list[Any]):
    """A list that is a set or a map by keys (x-kubernetes-list-type): order does not tell two apart."""

    __slots__ = ("keys",)

    def __init__(self, items: list[Any], keys: tuple[str, ...] = ()) -> None:
        super().__init__(items)
        self.keys = keys
        """Names of the fields that identify an item; none if items identify themselves."""

    def identity(self, item: Any) -> Any:
        """What tells `item` from the others, hashable."""
        if not self.keys:
            return frozen(item)
        return tuple(frozen(item.get(key)) if isinstance(item, dict) else None for key in self.keys)

    def same_elements(self, other: list[Any]) -> bool:
        known = {self.identity(item): item for item in self}
        return all(
            (found := known.get(self.identity(item), _MISSING)) is not _MISSING and equal(found, item)
            for item in other
        )

    def merged(self, other: list[Any]) -> UnorderedList:
        """Items of `other` replace their counterparts in place; the rest is appended."""
        items, places = list(self), {self.identity(item): index for index, item in enumerate(self)}
        for item in other:
            place = places.get(self.identity(item))
            if place is None:
                places[self.identity(item)] = len(items)
                items.append(item)
            else:
                items[place] = item
        return UnorderedList(items, self.keys)


_MISSING = object()


def frozen(value: Any) -> Any:
    """A hashable stand-in for any value, equal for equal values. Raises BudgetExceeded."""
    if not isinstance(value, list | dict):
        return (kind_of(value) == "bool", value)
    steps.take(len(value))
    if isinstance(value, list):
        return tuple(frozen(item) for item in value)
    return frozenset((key, frozen(item)) for key, item in value.items())


def size_of(value: Any) -> int:
    """Elements of a list or map, characters of a text, 1 for everything else: what costs are made of."""
    return len(value) if isinstance(value, str | list | dict | bytes) else 1
