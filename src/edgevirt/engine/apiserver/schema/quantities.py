"""Kubernetes resource quantities as text: is it one, and how is a bare number written.

Only what decoding needs; arithmetic on quantities belongs to whoever compares resources.
"""

from __future__ import annotations

import re
from typing import Any

_QUANTITY = re.compile(r"[+-]?(\d+|\d+\.\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?", re.ASCII)


def is_quantity(value: Any) -> bool:
    """Whether `value` can be decoded as a quantity: a number, or text such as "1.5Gi" or "100m"."""
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float) or (isinstance(value, str) and bool(_QUANTITY.fullmatch(value)))


def canonical_number(value: Any) -> Any:
    """A quantity written as a JSON number becomes text (2 -> "2", 0.5 -> "500m"); text stays as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, int) or value.is_integer():
        return str(int(value))
    return f"{round(value * 1000)}m"
