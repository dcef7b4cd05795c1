"""matchConditions: CEL expressions over object, oldObject, request and authorizer.

All conditions must be true for a webhook or policy to apply; one that is false skips it, and one that fails
while none is false counts as a failure (failurePolicy decides).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from edgevirt.engine.apiserver.admission.expressions import NotCompiled, compiled, environment, variables
from edgevirt.engine.apiserver.admission.failures import ConditionError
from edgevirt.engine.apiserver.extension import Authorizer
from edgevirt.engine.apiserver.request import AdmissionAttributes
from edgevirt.engine.cel import Budget, BudgetExceeded, Environment, EvaluationError
from edgevirt.engine.cel.types import BOOL

Json = dict[str, Any]

CONDITIONS_BUDGET = 2_500_000
"""What all match conditions of one webhook or policy may cost together, as in Kubernetes."""


@cache
def _webhook_environment() -> Environment:
    return environment()


class Condition:
    """One compiled condition. Raises ConditionError when it does not compile."""

    def __init__(self, name: str, expression: str, within: Environment | None = None) -> None:
        self.name = name
        try:
            self._program = compiled(within or _webhook_environment(), expression, BOOL)
        except NotCompiled as error:
            raise ConditionError(str(error)) from error

    def holds(self, values: Mapping[str, Any], budget: Budget) -> bool:
        """Raises ConditionError when evaluation fails or gives no boolean."""
        try:
            value = self._program.evaluate(values, budget)
        except (EvaluationError, BudgetExceeded) as error:
            text = f"expression '{self._program.text}' resulted in error: {error}"
            raise ConditionError(text) from error
        if not isinstance(value, bool):
            raise ConditionError(f"matchCondition {self.name!r} did not give a boolean: {value}")
        return value


class Conditions:
    """All conditions of one webhook or policy. Raises ConditionError when one does not compile."""

    def __init__(self, documents: Sequence[Json], within: Environment | None = None) -> None:
        self._conditions = tuple(
            Condition(entry.get("name", ""), entry.get("expression", ""), within) for entry in documents
        )

    def hold(
        self,
        attributes: AdmissionAttributes,
        request: Json,
        authorizer: Authorizer,
        document: Json | None,
        old: Json | None,
    ) -> bool:
        """Whether all hold for one write. Raises ConditionError."""
        return matches(self._conditions, variables(attributes, request, authorizer, document, old))

    def hold_for(self, values: Mapping[str, Any]) -> bool:
        """Whether all hold for variables that are given. Raises ConditionError."""
        return matches(self._conditions, values)


def matches(conditions: Sequence[Condition], values: Mapping[str, Any]) -> bool:
    """Whether every condition holds. A false one outweighs failures; else the first failure is raised."""
    failure: ConditionError | None = None
    budget = Budget(CONDITIONS_BUDGET)
    for condition in conditions:
        try:
            if not condition.holds(values, budget):
                return False
        except ConditionError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return True
