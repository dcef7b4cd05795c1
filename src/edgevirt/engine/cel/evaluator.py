"""Runs checked trees. Each node becomes a closure once; what an expression costs is counted while it runs.

`||` and `&&` do not care for the order of their operands: an error on one side is forgotten if the other
decides the outcome. Steps are priced as cel-go prices them, and a budget that is used up ends the evaluation
whatever the expression says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from edgevirt.engine.cel.errors import BudgetExceeded, EvaluationError
from edgevirt.engine.cel.functions import Overload, choose, unit
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
from edgevirt.engine.cel.types import UNBOUNDED
from edgevirt.engine.cel.values import NONE, Optional, StructValue, kind_of, size_of

LIST_COST, MAP_COST, STRUCT_COST = 10, 30, 40
"""What making a list, a map or a struct costs, apart from its elements."""


class Budget:
    """What evaluations may still cost together, in steps."""

    __slots__ = ("remaining",)

    def __init__(self, limit: int = UNBOUNDED) -> None:
        self.remaining = limit

    def spend(self, cost: int) -> None:
        """Raises BudgetExceeded once nothing is left."""
        self.remaining -= cost
        if self.remaining < 0:
            raise BudgetExceeded("operation cancelled: actual cost limit exceeded")


class Frame:
    """Variables and budget of one evaluation."""

    __slots__ = ("budget", "variables")

    def __init__(self, variables: dict[str, Any], budget: Budget) -> None:
        self.variables = variables
        self.budget = budget


Run = Callable[[Frame], Any]


def runnable(node: Node) -> Run:
    """The closure that computes `node`; it raises EvaluationError or BudgetExceeded."""
    match node:
        case Literal():
            value = node.value
            return lambda frame: value
        case Ident():
            return _variable(node.name)
        case Select():
            return _variable(node.qualified) if node.qualified else _select(node)
        case Call():
            return _call(node)
        case ListLiteral():
            return _list(node)
        case MapLiteral():
            return _map(node)
        case Struct():
            return _struct(node)
        case Comprehension():
            return _comprehension(node)
        case Bind():
            return _bind(node)
        case OptionalMap():
            return _optional_map(node)
    raise TypeError(node)


def _variable(name: str) -> Run:
    def run(frame: Frame) -> Any:
        frame.budget.spend(1)
        try:
            value = frame.variables[name]
        except KeyError:
            raise EvaluationError(f"no such attribute(s): {name}") from None
        return value.get() if isinstance(value, Lazy) else value

    return run


class Lazy:
    """A variable whose value is computed on first use, once; its error is kept as well."""

    __slots__ = ("_compute", "_error", "_value")

    def __init__(self, compute: Callable[[], Any]) -> None:
        self._compute: Callable[[], Any] | None = compute
        self._value: Any = None
        self._error: EvaluationError | None = None

    def get(self) -> Any:
        if self._compute is not None:
            try:
                self._value = self._compute()
            except EvaluationError as error:
                self._error = error
            self._compute = None
        if self._error is not None:
            raise self._error
        return self._value


def _select(node: Select) -> Run:
    operand, name, test, optional = runnable(node.operand), node.name, node.test, node.optional

    def run(frame: Frame) -> Any:
        value = operand(frame)
        frame.budget.spend(1)
        wrapped = isinstance(value, Optional)
        if wrapped:
            if not value.present:
                return False if test else NONE
            value = value.value
        if not isinstance(value, dict):
            if value is None and (optional or wrapped):
                return NONE
            raise EvaluationError("no such overload")
        if name in value:
            found = value[name]
            if test:
                return True
            if isinstance(found, Lazy):
                found = found.get()
            return Optional(True, found) if optional or wrapped else found
        if test:
            return False
        if optional or wrapped:
            return NONE
        raise EvaluationError(f"no such key: {name}")

    return run


# Calls ------------------------------------------------------------------------------------------------------


def _call(node: Call) -> Run:
    special = _SPECIAL.get(node.function)
    arguments = ([node.target] if node.target is not None else []) + node.args
    runs = [runnable(argument) for argument in arguments]
    if special is not None:
        return special(*runs)
    # Without dyn arguments the checker's choice is final; otherwise the values decide.
    certain = len(node.overloads) == 1 and all(_known(argument, node) for argument in arguments)
    return _certain_call(node.overloads[0], runs) if certain else _dynamic_call(node.overloads, runs)


def _known(argument: Node, call: Call) -> bool:
    position = 0
    arguments = ([call.target] if call.target is not None else []) + call.args
    while arguments[position] is not argument:
        position += 1
    wanted = call.overloads[0].params[position].kind
    return wanted in ("dyn", "param") or argument.type.kind == wanted


def _certain_call(overload: Overload, runs: list[Run]) -> Run:
    compute, price = overload.run, overload.price
    if price is unit and len(runs) == 2:
        left, right = runs

        def run_two(frame: Frame) -> Any:
            one, other = left(frame), right(frame)
            frame.budget.spend(1)
            return compute(one, other)

        return run_two

    def run(frame: Frame) -> Any:
        args = [argument(frame) for argument in runs]
        frame.budget.spend(price([size_of(arg) for arg in args]))
        return compute(*args)

    return run


def _dynamic_call(overloads: tuple[Overload, ...], runs: list[Run]) -> Run:
    def run(frame: Frame) -> Any:
        args = [argument(frame) for argument in runs]
        overload = choose(overloads, args)
        frame.budget.spend(overload.price([size_of(arg) for arg in args]))
        return overload.run(*args)

    return run


def _conditional(condition: Run, yes: Run, no: Run) -> Run:
    def run(frame: Frame) -> Any:
        chosen = condition(frame)
        if chosen is True:
            return yes(frame)
        if chosen is False:
            return no(frame)
        raise EvaluationError("no such overload")

    return run


def _logical(decisive: bool) -> Callable[[Run, Run], Run]:
    """`||` if true decides, `&&` if false does."""

    def make(left: Run, right: Run) -> Run:
        def run(frame: Frame) -> Any:
            failure: EvaluationError | None = None
            try:
                one = left(frame)
                if one is decisive:
                    return one
                if one is not (not decisive):
                    failure = EvaluationError("no such overload")
            except EvaluationError as error:
                failure = error
            other = right(frame)
            if other is decisive:
                return other
            if failure is not None:
                raise failure
            if other is not (not decisive):
                raise EvaluationError("no such overload")
            return other

        return run

    return make


_SPECIAL: dict[str, Callable[..., Run]] = {
    "_?_:_": _conditional,
    "_||_": _logical(True),
    "_&&_": _logical(False),
}


# Aggregates -------------------------------------------------------------------------------------------------


def _list(node: ListLiteral) -> Run:
    runs = [(runnable(item), index in node.optional) for index, item in enumerate(node.items)]

    def run(frame: Frame) -> list[Any]:
        frame.budget.spend(LIST_COST)
        made: list[Any] = []
        for item, optional in runs:
            value = item(frame)
            if not optional:
                made.append(value)
            elif _held(value).present:
                made.append(value.value)
        return made

    return run


def _map(node: MapLiteral) -> Run:
    runs = [(runnable(key), runnable(value), optional) for key, value, optional in node.entries]

    def run(frame: Frame) -> dict[Any, Any]:
        frame.budget.spend(MAP_COST)
        made: dict[Any, Any] = {}
        for key_run, value_run, optional in runs:
            key, value = key_run(frame), value_run(frame)
            if optional:
                if not _held(value).present:
                    continue
                value = value.value
            _add(made, key, value)
        return made

    return run


def _struct(node: Struct) -> Run:
    runs = [(name, runnable(value), optional) for name, value, optional in node.entries]
    type_name = node.name

    def run(frame: Frame) -> StructValue:
        frame.budget.spend(STRUCT_COST)
        fields: dict[str, Any] = {}
        for name, value_run, optional in runs:
            value = value_run(frame)
            if not optional:
                fields[name] = value
            elif _held(value).present:
                fields[name] = value.value
        return StructValue(type_name, fields)

    return run


def _held(value: Any) -> Optional:
    if not isinstance(value, Optional):
        raise EvaluationError("no such overload")
    return value


def _add(made: dict[Any, Any], key: Any, value: Any) -> None:
    if kind_of(key) not in ("string", "int", "uint", "bool", "double"):
        raise EvaluationError("unsupported key type")
    if key in made:
        raise EvaluationError(f"insert failed: key {key} already exists")
    made[key] = value


# Macros -----------------------------------------------------------------------------------------------------


def _comprehension(node: Comprehension) -> Run:
    ranged, args = runnable(node.range), [runnable(argument) for argument in node.args]
    names, fold = node.variables, _FOLDS[node.kind]

    def run(frame: Frame) -> Any:
        value = ranged(frame)
        variables = frame.variables
        hidden = {name: variables[name] for name in names if name in variables}

        def steps() -> Iterable[Any]:
            """Sets the variables for each element in turn and gives the key."""
            for key, element in _elements(value, len(names)):
                frame.budget.spend(3)
                if len(names) == 2:
                    variables[names[0]], variables[names[1]] = key, element
                else:
                    variables[names[0]] = element
                yield key, element

        try:
            return fold(frame, steps(), *args)
        finally:
            for name in names:
                variables.pop(name, None)
            variables.update(hidden)

    return run


def _elements(value: Any, variables: int) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, list):
        return enumerate(value)
    if isinstance(value, dict):
        return list(value.items()) if variables == 2 else [(key, key) for key in value]
    raise EvaluationError("no such overload")


def _truth(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise EvaluationError("no such overload")


def _fold_all(frame: Frame, steps: Iterable[Any], condition: Run) -> bool:
    failure: EvaluationError | None = None
    for _ in steps:
        try:
            if not _truth(condition(frame)):
                return False
        except EvaluationError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return True


def _fold_exists(frame: Frame, steps: Iterable[Any], condition: Run) -> bool:
    failure: EvaluationError | None = None
    for _ in steps:
        try:
            if _truth(condition(frame)):
                return True
        except EvaluationError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return False


def _fold_exists_one(frame: Frame, steps: Iterable[Any], condition: Run) -> bool:
    return sum(1 for _ in steps if _truth(condition(frame))) == 1


def _fold_filter(frame: Frame, steps: Iterable[Any], condition: Run) -> list[Any]:
    return [element for _, element in steps if _truth(condition(frame))]


def _fold_list(frame: Frame, steps: Iterable[Any], *args: Run) -> list[Any]:
    *conditions, transform = args
    made = [transform(frame) for _ in steps if all(_truth(condition(frame)) for condition in conditions)]
    frame.budget.spend(LIST_COST)
    return made


def _fold_map(frame: Frame, steps: Iterable[Any], *args: Run) -> dict[Any, Any]:
    *conditions, transform = args
    frame.budget.spend(MAP_COST)
    made: dict[Any, Any] = {}
    for key, _ in steps:
        if all(_truth(condition(frame)) for condition in conditions):
            made[key] = transform(frame)
    return made


def _fold_entries(frame: Frame, steps: Iterable[Any], *args: Run) -> dict[Any, Any]:
    *conditions, transform = args
    made: dict[Any, Any] = {}
    for _ in steps:
        if all(_truth(condition(frame)) for condition in conditions):
            entry = transform(frame)
            if not isinstance(entry, dict):
                raise EvaluationError("no such overload")
            for key, value in entry.items():
                _add(made, key, value)
    return made


_FOLDS: Mapping[str, Callable[..., Any]] = {
    "all": _fold_all,
    "exists": _fold_exists,
    "exists_one": _fold_exists_one,
    "filter": _fold_filter,
    "map": _fold_list,
    "transformList": _fold_list,
    "transformMap": _fold_map,
    "transformMapEntry": _fold_entries,
}


def _bind(node: Bind) -> Run:
    return _with_variable(node.name, runnable(node.value), runnable(node.body))


def _with_variable(name: str, value: Run, body: Run) -> Run:
    def run(frame: Frame) -> Any:
        computed = value(frame)
        variables = frame.variables
        hidden = [variables[name]] if name in variables else []
        variables[name] = computed
        try:
            return body(frame)
        finally:
            del variables[name]
            if hidden:
                variables[name] = hidden[0]

    return run


def _optional_map(node: OptionalMap) -> Run:
    target, flat = runnable(node.target), node.flat
    held: list[Any] = []
    body = _with_variable(node.name, lambda frame: held.pop(), runnable(node.body))

    def run(frame: Frame) -> Optional:
        found = _held(target(frame))
        if not found.present:
            return NONE
        held.append(found.value)
        result = body(frame)
        return _held(result) if flat else Optional(True, result)

    return run
