"""Why no domain can be made from a VMI."""

from __future__ import annotations


class UnsupportedField(ValueError):
    """A field of the VMI cannot be honoured. `field` is its path from `spec`, `problem` what is wrong."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem
