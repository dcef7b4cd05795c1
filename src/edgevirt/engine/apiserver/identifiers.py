"""Random UUIDs, with randomness drawn from the system in larger portions: the call is what costs."""

from __future__ import annotations

import os

_DIGITS = 32
_PORTION = _DIGITS * 128
_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class Identifiers:
    """A source of version 4 UUIDs as text."""

    def __init__(self) -> None:
        self._pool = ""
        self._at = _PORTION

    def __call__(self) -> str:
        if self._at == _PORTION:
            self._pool, self._at = os.urandom(_PORTION // 2).hex(), 0
        at = self._at
        self._at = at + _DIGITS
        digits = self._pool[at : at + _DIGITS]
        # Version 4 in its place; the variant's two bits are 10.
        variant = _VARIANTS[digits[16]]
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


new_uid = Identifiers()
