"""What can go wrong with an expression: when it is compiled, when it is run, and when it runs too long."""

from __future__ import annotations

from typing import NamedTuple


class Issue(NamedTuple):
    """One complaint of the parser or the checker; `offset` counts characters."""

    offset: int
    message: str


class CompileError(Exception):
    """The expression is not valid; `str()` is the report cel-go gives, with the place marked."""

    def __init__(self, source: str, issues: list[Issue]) -> None:
        ordered = sorted(issues, key=lambda issue: issue.offset)
        super().__init__("\n".join(_report(source, issue) for issue in ordered))
        self.issues = tuple(ordered)


class EvaluationError(Exception):
    """The expression has no value for this input, such as a key that is missing."""


class BudgetExceeded(Exception):
    """The evaluation cost more than it may."""


def _report(source: str, issue: Issue) -> str:
    before = source[: issue.offset]
    line = before.count("\n")
    column = issue.offset - (before.rfind("\n") + 1)
    text = source.split("\n")[line] if source else ""
    return (
        f"ERROR: <input>:{line + 1}:{column + 1}: {issue.message}\n"
        f" | {text.replace(chr(9), ' ')}\n"
        f" | {'.' * column}^"
    )
