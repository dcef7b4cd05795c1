"""Environments, in which expressions are compiled, and programs, which are compiled expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgevirt.engine.cel import parser
from edgevirt.engine.cel.checker import Structs, check
from edgevirt.engine.cel.cost import estimate
from edgevirt.engine.cel.errors import CompileError, Issue
from edgevirt.engine.cel.evaluator import Budget, Frame, runnable
from edgevirt.engine.cel.functions import Functions
from edgevirt.engine.cel.library import standard_functions, type_names
from edgevirt.engine.cel.literals import literal_issues
from edgevirt.engine.cel.syntax import Ident, Node
from edgevirt.engine.cel.types import Type
from edgevirt.engine.cel.values import steps

PER_CALL_LIMIT = 1_000_000
"""What one evaluation may cost, as in Kubernetes."""


class Program:
    """A compiled expression: immutable, to be evaluated any number of times."""

    __slots__ = ("_names", "_root", "_run", "cost", "text", "type")

    def __init__(self, text: str, root: Node, names: Mapping[str, Any]) -> None:
        self.text = text
        self.type: Type = root.type
        self.cost = estimate(root)
        """The most it may cost, by the sizes its variables' types allow."""
        self._root = root
        self._run = runnable(root)
        self._names = names

    def evaluate(self, variables: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """The value. Raises EvaluationError, or BudgetExceeded when it gets too expensive."""
        shared = budget if budget is not None else Budget(PER_CALL_LIMIT)
        own = Budget(min(PER_CALL_LIMIT, max(shared.remaining, 0)))
        granted = own.remaining
        try:
            with steps:
                return self._run(Frame({**self._names, **variables}, own))
        finally:
            shared.remaining -= granted - own.remaining

    def mentions(self, name: str) -> bool:
        """Whether the expression uses a variable."""
        return any(isinstance(node, Ident) and node.name == name for node in parser.walk(self._root))


class Environment:
    """Variables with their types, and the functions there are."""

    def __init__(
        self,
        variables: Mapping[str, Type],
        functions: Functions | None = None,
        literals: bool = True,
        structs: Structs | None = None,
    ) -> None:
        """`literals` says whether dates, durations and patterns given as text are checked at once; `structs`
        knows the types of struct literals."""
        names = type_names()
        self._variables = {**{name: found[0] for name, found in names.items()}, **variables}
        self._names = {name: found[1] for name, found in names.items()}
        self._functions = {**standard_functions(), **(functions or {})}
        self._literals, self._structs = literals, structs

    def compile(self, text: str, wanted: Sequence[Type] = ()) -> Program:
        """Raises CompileError. `wanted` lists the types the result may have; none means any."""
        root = parser.parse(text)
        check(text, root, self._variables, self._functions, self._structs)
        if self._literals and (issues := literal_issues(root)):
            raise CompileError(text, issues)
        if wanted and root.type.kind not in ("dyn", *(kind.kind for kind in wanted)):
            raise CompileError(text, [Issue(0, f"must evaluate to {wanted[0]}")])
        return Program(text, root, self._names)

    def extended(self, variables: Mapping[str, Type]) -> Environment:
        """An environment with more variables."""
        made = Environment.__new__(Environment)
        made._variables = {**self._variables, **variables}
        made._names, made._functions = self._names, self._functions
        made._literals, made._structs = self._literals, self._structs
        return made
