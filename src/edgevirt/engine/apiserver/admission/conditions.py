"""matchConditions of webhooks: CEL expressions over object, oldObject and request.

All conditions must be true for the webhook to be called; one that is false skips it, and one that fails
while none is false counts as a failed call (failurePolicy decides). `authorizer` is not offered: an
expression that uses it does not compile, so a configuration with it is refused rather than misjudged.
The CEL library is loaded with the first condition, because most installations never have one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cel_expr_python import cel


class ConditionError(Exception):
    """An expression does not compile, or could not be evaluated."""


@cache
def _environment() -> cel.Env:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_math, ext_optional, ext_strings

    return cel.NewEnv(
        variables={"object": cel.Type.DYN, "oldObject": cel.Type.DYN, "request": cel.Type.DYN},
        extensions=[ext_strings.ExtStrings(), ext_optional.ExtOptional(), ext_math.ExtMath()],
    )


class Condition:
    """One compiled matchCondition. Raises ConditionError when it does not compile."""

    def __init__(self, name: str, expression: str) -> None:
        self.name = name
        try:
            self._compiled = _environment().compile(expression)
        except RuntimeError as error:
            text = str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
            raise ConditionError(text) from error

    def holds(self, variables: Mapping[str, Any]) -> bool:
        """Raises ConditionError when evaluation fails or gives no boolean."""
        try:
            value = self._compiled.eval(data=dict(variables)).plain_value()
        except RuntimeError as error:
            raise ConditionError(f"expression of matchCondition {self.name!r} failed: {error}") from error
        if not isinstance(value, bool):
            raise ConditionError(f"matchCondition {self.name!r} did not give a boolean: {value}")
        return value


def matches(conditions: Sequence[Condition], variables: Mapping[str, Any]) -> bool:
    """Whether every condition holds. A false one outweighs failures; else the first failure is raised."""
    failure: ConditionError | None = None
    for condition in conditions:
        try:
            if not condition.holds(variables):
                return False
        except ConditionError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return True
