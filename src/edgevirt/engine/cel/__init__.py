"""The Common Expression Language as a Kubernetes API server speaks it: typed, bounded, without surprises.

`Environment.compile` parses and type-checks an expression and estimates what it may cost at most;
`Program.evaluate` runs it under a budget, so that no expression can keep the server busy. Functions, messages
and costs follow cel-go with Kubernetes' libraries, because rules are written against those.

Our own implementation and not a binding: the libraries there are know neither Kubernetes' types and functions
nor cost limits, and hold 19 MiB. google-re2 supplies the one part that must not be home-made, regular
expressions in linear time.
"""

from __future__ import annotations

from edgevirt.engine.cel.errors import BudgetExceeded, CompileError, EvaluationError
from edgevirt.engine.cel.evaluator import Budget
from edgevirt.engine.cel.program import Environment, Program
from edgevirt.engine.cel.types import Type

__all__ = [
    "Budget",
    "BudgetExceeded",
    "CompileError",
    "Environment",
    "EvaluationError",
    "Program",
    "Type",
]
