"""The one error a command ends with."""

from __future__ import annotations


class CommandError(Exception):
    """`str()` says what happened and what it means; `next_step` what to do, as a command where possible."""

    def __init__(self, words: str, next_step: str = "") -> None:
        super().__init__(words)
        self.next_step = next_step
