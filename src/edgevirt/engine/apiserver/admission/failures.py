"""What keeps an expression of admission from giving an answer."""

from __future__ import annotations


class ConditionError(Exception):
    """A match condition does not compile, or could not be evaluated."""
