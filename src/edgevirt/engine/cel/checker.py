"""Type checking: every node gets its type, every call the overloads that come into question.

What is declared `dyn` is taken on trust and looked at when the expression runs; everything else must fit.
Complaints are cel-go's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgevirt.engine.cel import types
from edgevirt.engine.cel.errors import CompileError, Issue
from edgevirt.engine.cel.functions import Functions, Overload
from edgevirt.engine.cel.parser import dotted
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
from edgevirt.engine.cel.types import BOOL, DYN, ERROR, Bindings, Type, assignable, substitute
from edgevirt.engine.cel.values import dynamic_type

_UNKNOWN = ("dyn", "error")


Structs = Callable[[str], Type | None]
"""The type of struct literals of a name, or None if there is no such type."""


def check(
    source: str,
    root: Node,
    variables: Mapping[str, Type],
    functions: Functions,
    structs: Structs | None = None,
) -> None:
    """Types the tree in place. Raises CompileError with everything that does not fit."""
    checker = _Checker(variables, functions, structs)
    checker.check(root)
    if checker.issues:
        raise CompileError(source, checker.issues)


class _Checker:
    def __init__(self, variables: Mapping[str, Type], functions: Functions, structs: Structs | None) -> None:
        self._variables = dict(variables)
        self._structs = structs
        self._functions = functions
        self.issues: list[Issue] = []

    def check(self, node: Node) -> Type:
        match node:
            case Literal():
                found = self._literal(node.value)
            case Ident():
                found = self._ident(node)
            case Select():
                found = self._select(node)
            case Call():
                found = self._call(node)
            case ListLiteral():
                found = self._list(node)
            case MapLiteral():
                found = self._map(node)
            case Struct():
                found = self._struct(node)
            case Comprehension():
                found = self._comprehension(node)
            case Bind():
                self.check(node.value)
                found = self._scoped({node.name: node.value.type}, node.body)
            case OptionalMap():
                found = self._optional_map(node)
            case _:
                raise TypeError(node)
        node.type = found
        return found

    def _report(self, node: Node, message: str) -> Type:
        self.issues.append(Issue(node.offset, message))
        return ERROR

    @staticmethod
    def _literal(value: Any) -> Type:
        found = dynamic_type(value)
        return found.sized(len(value)) if isinstance(value, str | bytes) else found

    def _ident(self, node: Ident) -> Type:
        found = self._variables.get(node.name)
        if found is None:
            return self._report(node, f"undeclared reference to '{node.name}' (in container '')")
        return found

    def _scoped(self, declared: Mapping[str, Type], body: Node) -> Type:
        before = {name: self._variables.get(name) for name in declared}
        self._variables.update(declared)
        found = self.check(body)
        for name, hidden in before.items():
            if hidden is None:
                del self._variables[name]
            else:
                self._variables[name] = hidden
        return found

    # Fields -------------------------------------------------------------------------------------------

    def _select(self, node: Select) -> Type:
        path = dotted(node)
        if path in self._variables:
            node.qualified = path
            return self._variables[path]
        operand = self.check(node.operand)
        wrapped = operand.kind == "optional"
        if wrapped:
            operand = operand.params[0] if operand.params else DYN
        field = self._field(node, operand)
        if node.test:
            return BOOL
        return types.optional_of(field) if (wrapped or node.optional) and field.kind != "optional" else field

    def _field(self, node: Select, operand: Type) -> Type:
        if operand.kind in _UNKNOWN:
            return DYN
        if operand.kind == "map":
            return operand.params[1] if operand.params else DYN
        if operand.kind == "object":
            found = operand.fields.get(node.name)
            return found if found is not None else self._report(node, f"undefined field '{node.name}'")
        return self._report(node, f"type '{operand}' does not support field selection")

    # Calls --------------------------------------------------------------------------------------------

    def _call(self, node: Call) -> Type:
        if node.target is not None:
            prefix = dotted(node.target)
            if prefix and prefix.split(".")[0] not in self._variables:
                qualified = f"{prefix}.{node.function}"
                if qualified in self._functions:
                    node.function, node.target = qualified, None
        name = node.function
        arguments = ([node.target] if node.target is not None else []) + node.args
        given = [self._argument(name, argument) for argument in arguments]
        declared = self._functions.get(name)
        if declared is None:
            return self._report(node, f"undeclared reference to '{name}' (in container '')")
        fitting: list[tuple[Overload, Type]] = []
        for overload in declared:
            if overload.member == (node.target is not None) and len(overload.params) == len(given):
                bindings: Bindings = {}
                if all(map(assignable, overload.params, given, [bindings] * len(given))):
                    fitting.append((overload, substitute(overload.result, bindings)))
        if not fitting:
            return self._no_overload(node, given)
        node.overloads = tuple(overload for overload, _ in fitting)
        results = [result for _, result in fitting]
        same = all(result == results[0] for result in results)
        return results[0] if same else DYN

    def _argument(self, name: str, node: Node) -> Type:
        """The arguments of a format may differ in type; elsewhere the elements of a literal may not."""
        if name != "format" or not isinstance(node, ListLiteral):
            return self.check(node)
        for item in node.items:
            self.check(item)
        node.type = types.list_of(DYN, len(node.items))
        return node.type

    def _no_overload(self, node: Call, given: list[Type]) -> Type:
        if any(found.kind == "error" for found in given):
            return ERROR
        if node.target is not None:
            shown = f"{given[0]}.({', '.join(map(str, given[1:]))})"
        else:
            shown = f"({', '.join(map(str, given))})"
        return self._report(node, f"found no matching overload for '{node.function}' applied to '{shown}'")

    # Aggregates ---------------------------------------------------------------------------------------

    def _list(self, node: ListLiteral) -> Type:
        found: list[Type] = []
        for index, item in enumerate(node.items):
            kind = self.check(item)
            if index in node.optional:
                kind = self._unwrapped(item, kind)
            found.append(kind)
        self._require_same(node.items, found)
        return types.list_of(types.join(found), len(found))

    def _map(self, node: MapLiteral) -> Type:
        keys: list[Type] = []
        held: list[Type] = []
        for key, value, optional in node.entries:
            keys.append(self.check(key))
            kind = self.check(value)
            held.append(self._unwrapped(value, kind) if optional else kind)
        self._require_same([key for key, _, _ in node.entries], keys)
        self._require_same([value for _, value, _ in node.entries], held)
        return types.map_of(types.join(keys), types.join(held), len(held))

    def _struct(self, node: Struct) -> Type:
        """Fields of a type without declared ones may be anything; others must fit."""
        found = self._structs(node.name) if self._structs is not None else None
        for name, value, optional in node.entries:
            kind = self.check(value)
            kind = self._unwrapped(value, kind) if optional else kind
            if found is None or not found.fields:
                continue
            wanted = found.fields.get(name)
            if wanted is None:
                self._report(value, f"undefined field '{name}'")
            elif not assignable(wanted, kind, {}):
                self._report(
                    value, f"expected type of field '{name}' is '{wanted}' but provided type is '{kind}'"
                )
        if found is None:
            return self._report(node, f"undeclared reference to '{node.name}' (in container '')")
        return found

    def _unwrapped(self, node: Node, kind: Type) -> Type:
        if kind.kind == "optional":
            return kind.params[0] if kind.params else DYN
        if kind.kind not in _UNKNOWN:
            self._report(node, f"expected type 'optional_type({kind})' but found '{kind}'")
        return kind

    def _require_same(self, nodes: list[Node], found: list[Type]) -> None:
        """Kubernetes wants all elements of a literal to be of one type."""
        first: Type | None = None
        for node, kind in zip(nodes, found, strict=True):
            if kind.kind in _UNKNOWN:
                continue
            if first is None:
                first = kind
            elif not assignable(first, kind, {}) and not assignable(kind, first, {}):
                self._report(node, f"expected type '{first}' but found '{kind}'")

    # Macros -------------------------------------------------------------------------------------------

    def _comprehension(self, node: Comprehension) -> Type:
        ranged = self.check(node.range)
        if ranged.kind == "list":
            key, element = types.INT, ranged.params[0] if ranged.params else DYN
        elif ranged.kind == "map":
            key, element = ranged.params if ranged.params else (DYN, DYN)
        elif ranged.kind in _UNKNOWN:
            key = element = DYN
        else:
            text = (
                f"expression of type '{ranged}' cannot be range of a comprehension "
                "(must be list, map, or dynamic)"
            )
            self._report(node.range, text)
            key = element = ERROR
        if len(node.variables) == 1:
            scope = {node.variables[0]: key if ranged.kind == "map" else element}
        else:
            scope = dict(zip(node.variables, (key, element), strict=True))
        found = [self._scoped(scope, argument) for argument in node.args]
        conditions = node.args if node.kind in ("all", "exists", "exists_one", "filter") else node.args[:-1]
        for condition, kind in zip(conditions, found, strict=False):
            if kind.kind not in ("bool", *_UNKNOWN):
                self._report(condition, f"expected type 'bool' but found '{kind}'")
        return self._comprehended(node, ranged, key, next(iter(scope.values())), found[-1])

    def _comprehended(
        self, node: Comprehension, ranged: Type, key: Type, element: Type, result: Type
    ) -> Type:
        match node.kind:
            case "all" | "exists" | "exists_one":
                return BOOL
            case "filter":
                return types.list_of(element, ranged.max_size)
            case "map" | "transformList":
                return types.list_of(result, ranged.max_size)
            case "transformMap":
                return types.map_of(key, result, ranged.max_size)
        if result.kind == "map" and result.params:
            return types.map_of(result.params[0], result.params[1], ranged.max_size)
        if result.kind not in _UNKNOWN:
            self._report(node, f"expected type 'map' but found '{result}'")
        return types.map_of(DYN, DYN, ranged.max_size)

    def _optional_map(self, node: OptionalMap) -> Type:
        target = self.check(node.target)
        if target.kind not in ("optional", *_UNKNOWN):
            name = "optFlatMap" if node.flat else "optMap"
            return self._report(node, f"found no matching overload for '{name}' applied to '{target}.()'")
        held = target.params[0] if target.params else DYN
        result = self._scoped({node.name: held}, node.body)
        if not node.flat:
            return types.optional_of(result)
        if result.kind not in ("optional", *_UNKNOWN):
            self._report(node.body, f"expected type 'optional_type(dyn)' but found '{result}'")
        return result
