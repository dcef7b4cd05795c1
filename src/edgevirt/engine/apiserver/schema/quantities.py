"""Resource quantities in objects: what decodes, and how they are stored."""

from __future__ import annotations

import functools
from typing import Any

from edgevirt.api.quantity import QuantityError, canonical


def is_quantity(value: Any) -> bool:
    """Whether `value` can be decoded as a quantity: a number, or text such as "1.5Gi" or "100m"."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        _canonical(value)
    except QuantityError:
        return False
    return True


def stored_quantity(value: Any) -> Any:
    """The canonical text of a quantity (2 -> "2", "1024Mi" -> "1Gi"); what is none stays as it is."""
    return _canonical(value) if is_quantity(value) else value


@functools.lru_cache(maxsize=1024)
def _canonical(value: int | float | str) -> str:
    return canonical(value)
