"""Types of CEL values, and what may stand for what.

A type also carries what cost estimation needs and type equality ignores: how many elements (or bytes of
text) a value has at most, and how many bytes it takes at least in a request.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

UNBOUNDED = 2**63 - 1
"""Size of which no bound is known."""


@dataclass(frozen=True, slots=True)
class Type:
    kind: str
    name: str = ""
    params: tuple[Type, ...] = ()
    fields: Mapping[str, Type] = field(default_factory=dict, compare=False, hash=False)
    max_size: int = field(default=UNBOUNDED, compare=False)
    min_bytes: int = field(default=1, compare=False)

    def __str__(self) -> str:
        shown = _SHOWN.get(self.kind) or self.name or self.kind
        return f"{shown}({', '.join(map(str, self.params))})" if self.params else shown

    def sized(self, max_size: int) -> Type:
        """The same type with a bound on its size."""
        return dataclasses.replace(self, max_size=max_size)


_SHOWN = {"error": "!error!", "optional": "optional_type"}

DYN = Type("dyn", max_size=1)
ERROR = Type("error")
NULL = Type("null")
BOOL = Type("bool", max_size=1, min_bytes=4)
INT = Type("int", max_size=1)
UINT = Type("uint", max_size=1)
DOUBLE = Type("double", max_size=1)
STRING = Type("string", min_bytes=2)
BYTES = Type("bytes", min_bytes=2)
TIMESTAMP = Type("timestamp", max_size=1, min_bytes=22)
DURATION = Type("duration", max_size=1, min_bytes=3)


def list_of(element: Type, max_size: int = UNBOUNDED) -> Type:
    return Type("list", params=(element,), max_size=max_size, min_bytes=2)


def map_of(key: Type, value: Type, max_size: int = UNBOUNDED) -> Type:
    return Type("map", params=(key, value), max_size=max_size, min_bytes=2)


def optional_of(value: Type) -> Type:
    return Type("optional", params=(value,))


def type_of(described: Type) -> Type:
    return Type("type", params=(described,), max_size=1)


def object_type(name: str, fields: Mapping[str, Type], min_bytes: int = 2) -> Type:
    return Type("object", name=name, fields=fields, max_size=1, min_bytes=min_bytes)


def opaque(name: str) -> Type:
    """A type of an extension library, such as kubernetes.Quantity."""
    return Type("opaque", name=name, max_size=1)


def parameter(name: str) -> Type:
    return Type("param", name=name)


_NULLABLE = frozenset({"null", "object", "timestamp", "duration", "opaque", "optional", "dyn", "error"})

Bindings = dict[str, Type]


def assignable(target: Type, given: Type, bindings: Bindings) -> bool:
    """Whether `given` may stand where `target` is wanted; binds type parameters of `target` as it goes."""
    if target.kind == "param":
        bound = bindings.get(target.name)
        if bound is None or (bound.kind in ("dyn", "null") and given.kind not in ("dyn", "null")):
            if bound is not None and bound.kind == "null" and given.kind not in _NULLABLE:
                return False
            bindings[target.name] = given
            return True
        return assignable(bound, given, bindings) or _more_general(target.name, bound, given, bindings)
    if target.kind in ("dyn", "error") or given.kind in ("dyn", "error"):
        _bind_all(target, given, bindings)
        return True
    if given.kind == "param":
        return True
    if given.kind == "null":
        return target.kind in _NULLABLE
    if target.kind != given.kind:
        return False
    if target.kind == "type":
        return True
    if target.kind in ("object", "opaque"):
        return target.name == given.name
    if not target.params or not given.params:
        return True
    return all(
        assignable(wanted, found, bindings) for wanted, found in zip(target.params, given.params, strict=True)
    )


def _more_general(name: str, bound: Type, given: Type, bindings: Bindings) -> bool:
    """Whether the later argument has the wider type, as in `[] == [1]`."""
    if bound.kind in ("list", "map", "optional", "null") and assignable(given, bound, {}):
        bindings[name] = given
        return True
    return False


def _bind_all(target: Type, given: Type, bindings: Bindings) -> None:
    """An argument of unknown type leaves the parameters below `target` unknown."""
    for below in target.params:
        if below.kind == "param":
            bindings.setdefault(below.name, DYN)
        _bind_all(below, given, bindings)


def substitute(wanted: Type, bindings: Bindings) -> Type:
    """`wanted` with its type parameters replaced by what they are bound to, or dyn."""
    if wanted.kind == "param":
        return bindings.get(wanted.name, DYN)
    if not wanted.params:
        return wanted
    params = tuple(substitute(below, bindings) for below in wanted.params)
    return dataclasses.replace(wanted, params=params)


def join(types: list[Type]) -> Type:
    """The type of elements of which each has one of `types`."""
    if not types:
        return DYN
    result = types[0]
    for other in types[1:]:
        if not assignable(result, other, {}):
            if not assignable(other, result, {}):
                return DYN
            result = other
        elif result.kind == "null":
            result = other
    return result
