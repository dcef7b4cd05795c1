"""The expressions of one ValidatingAdmissionPolicy, compiled, and their evaluation for one write.

Variables are computed when they are first used, at most once per binding and parameter. All expressions of a
policy share one budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgevirt.engine.apiserver.admission.conditions import Conditions
from edgevirt.engine.apiserver.admission.expressions import NAMESPACE, NotCompiled, compiled, environment
from edgevirt.engine.cel import Budget, BudgetExceeded, Environment, EvaluationError, Program, Type
from edgevirt.engine.cel.checker import Structs
from edgevirt.engine.cel.evaluator import Lazy
from edgevirt.engine.cel.functions import Functions
from edgevirt.engine.cel.types import BOOL, DYN, NULL, STRING, object_type

POLICY_BUDGET = 10_000_000
_MAX_MESSAGE = 5120
_KINDS = {"bool": BOOL, "string": STRING, "null": NULL}
_VARIABLES = "kubernetes.variables"


class PolicyEnvironment:
    """Where a policy's expressions are compiled; it grows with each variable that is declared.

    `object_kind` is the type of `object` and `oldObject` if one is known (for type checking only).
    """

    def __init__(
        self,
        has_params: bool,
        object_kind: Type = DYN,
        params_kind: Type = DYN,
        functions: Functions | None = None,
        structs: Structs | None = None,
    ) -> None:
        more: dict[str, Type] = {
            "namespaceObject": NAMESPACE,
            "object": object_kind,
            "oldObject": object_kind,
        }
        if has_params:
            more["params"] = params_kind
        self.conditions: Environment = environment(more, functions, structs)
        self._fields: dict[str, Type] = {}
        self.variables: dict[str, Program] = {}

    @property
    def current(self) -> Environment:
        return self.conditions.extended({"variables": object_type(_VARIABLES, dict(self._fields))})

    def declare(self, name: str, expression: str) -> str:
        """Adds a variable; gives the problem if it does not compile."""
        try:
            program = self.current.compile(expression)
        except Exception as error:
            self._fields[name] = DYN  # later expressions are judged as if it were there
            return f"compilation failed: {error}"
        self._fields[name] = program.type
        self.variables[name] = program
        return ""

    def compile(self, expression: str, *kinds: str) -> Program:
        """Raises NotCompiled."""
        wanted = [_KINDS[kind] for kind in kinds]
        return compiled(self.current, expression, *wanted)

    def problem(self, expression: str, *kinds: str, with_authorizer: bool = True) -> str:
        """Why an expression is refused, or "" if it is not."""
        try:
            program = self.compile(expression, *kinds)
        except NotCompiled as error:
            return str(error)
        if not with_authorizer and program.mentions("authorizer"):
            return "compilation failed: undeclared reference to 'authorizer' (in container '')"
        return ""


@dataclass(frozen=True, slots=True)
class Validation:
    program: Program
    message: str
    message_program: Program | None
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """One validation that did not hold, or could not be evaluated (`error`)."""

    message: str
    reason: str
    error: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    failures: tuple[Failure, ...]
    annotations: Mapping[str, str]


class PolicyProgram:
    """A policy's spec, compiled. Raises NotCompiled or ConditionError."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        within = PolicyEnvironment(spec.get("paramKind") is not None)
        for variable in spec.get("variables") or ():
            problem = within.declare(variable["name"], variable["expression"])
            if problem:
                raise NotCompiled(problem)
        self._variables = within.variables
        self.conditions = Conditions(spec.get("matchConditions") or (), within.conditions)
        self._validations = tuple(_validation(entry, within) for entry in spec.get("validations") or ())
        self._annotations = tuple(
            (entry["key"], within.compile(entry["valueExpression"], "string", "null"))
            for entry in spec.get("auditAnnotations") or ()
        )

    def evaluate(self, values: Mapping[str, Any], fail_closed: bool) -> Outcome:
        """What the validations say; an evaluation that fails counts if `fail_closed`."""
        budget = Budget(POLICY_BUDGET)
        scope = scoped(self._variables, values, budget)
        failures = [self._failure(validation, scope, budget) for validation in self._validations]
        found = [
            failure for failure in failures if failure is not None and (fail_closed or not failure.error)
        ]
        return Outcome(tuple(found), self._annotated(scope, budget))

    @staticmethod
    def _failure(validation: Validation, scope: Mapping[str, Any], budget: Budget) -> Failure | None:
        text = validation.program.text
        try:
            holds = validation.program.evaluate(scope, budget)
        except (EvaluationError, BudgetExceeded) as error:
            return Failure(f"expression '{text}' resulted in error: {error}", "", error=True)
        if holds is True:
            return None
        if holds is not False:
            return Failure(f"expression '{text}' resulted in error: not a bool", "", error=True)
        return Failure(_message(validation, scope, budget), validation.reason)

    def _annotated(self, scope: Mapping[str, Any], budget: Budget) -> dict[str, str]:
        found: dict[str, str] = {}
        for key, program in self._annotations:
            try:
                value = program.evaluate(scope, budget)
            except (EvaluationError, BudgetExceeded):
                continue
            if isinstance(value, str) and value.strip():
                found[key] = value.strip()
        return found


def scoped(variables: Mapping[str, Program], values: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    """`values` with the policy's own variables, each computed when it is first used."""
    computed: dict[str, Any] = {}
    scope = {**values, "variables": computed}
    for name, program in variables.items():
        computed[name] = Lazy(lambda program=program: program.evaluate(scope, budget))  # type: ignore[misc]
    return scope


def _validation(entry: Mapping[str, Any], within: PolicyEnvironment) -> Validation:
    text = entry.get("messageExpression")
    return Validation(
        program=within.compile(entry["expression"], "bool"),
        message=(entry.get("message") or "").strip(),
        message_program=within.compile(text, "string") if text else None,
        reason=entry.get("reason") or "",
    )


def _message(validation: Validation, scope: Mapping[str, Any], budget: Budget) -> str:
    if validation.message_program is not None:
        try:
            text = validation.message_program.evaluate(scope, budget)
        except (EvaluationError, BudgetExceeded):
            text = ""
        if isinstance(text, str) and text.strip() and "\n" not in text.strip() and len(text) <= _MAX_MESSAGE:
            return text.strip()
    return validation.message or f"failed expression: {validation.program.text.strip()}"
