"""Literals that can be judged when a rule is compiled: patterns, dates and durations given as text."""

from __future__ import annotations

from collections.abc import Callable

from edgevirt.engine.cel.errors import EvaluationError, Issue
from edgevirt.engine.cel.library.regex import pattern
from edgevirt.engine.cel.library.times import parse_duration, parse_timestamp
from edgevirt.engine.cel.parser import walk
from edgevirt.engine.cel.syntax import Call, Literal, Node

_CHECKS: dict[str, Callable[[str], object]] = {
    "matches": pattern,
    "find": pattern,
    "findAll": pattern,
    "duration": parse_duration,
    "timestamp": parse_timestamp,
}


def literal_issues(root: Node) -> list[Issue]:
    """A complaint for each argument that can never be read."""
    issues: list[Issue] = []
    for node in walk(root):
        if not isinstance(node, Call) or node.function not in _CHECKS:
            continue
        position = 1 if node.function.startswith(("matches", "find")) and node.target is None else 0
        argument = node.args[position] if len(node.args) > position else None
        if isinstance(argument, Literal) and isinstance(argument.value, str):
            try:
                _CHECKS[node.function](argument.value)
            except EvaluationError:
                issues.append(Issue(argument.offset, f"invalid {node.function} argument"))
    return issues
