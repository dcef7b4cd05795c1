"""Kubernetes' quantities ("500Mi", "1.5", "2e3"): exact decimal numbers with a unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from edgevirt.engine.cel.errors import EvaluationError
from edgevirt.engine.cel.functions import function, method, traversal
from edgevirt.engine.cel.types import BOOL, DOUBLE, INT, STRING, Type, opaque
from edgevirt.engine.cel.values import Opaque

QUANTITY = opaque("kubernetes.Quantity")
_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([numkKMGTPE]i?)|[eE]([+-]?\d{1,3}))?", re.ASCII)
_UNITS: dict[str, Fraction] = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    **{unit: Fraction(1000 ** (power + 1)) for power, unit in enumerate("kMGTPE")},
    **{f"{unit}i": Fraction(1024 ** (power + 1)) for power, unit in enumerate("KMGTPE")},
}
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Quantity(Opaque):
    cel_type: ClassVar[Type] = QUANTITY
    value: Fraction


def parse(text: str) -> Quantity:
    """Raises EvaluationError if `text` is no quantity."""
    match = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None or (match.group(2) and match.group(2) not in _UNITS):
        raise EvaluationError(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    value = Fraction(match.group(1))
    if match.group(2):
        value *= _UNITS[match.group(2)]
    elif match.group(3):
        value *= Fraction(10) ** int(match.group(3))
    return Quantity(value)


def _is_quantity(text: str) -> bool:
    try:
        parse(text)
    except EvaluationError:
        return False
    return True


def _whole(quantity: Quantity) -> int:
    if quantity.value.denominator != 1 or not -(2**63) <= quantity.value < 2**63:
        raise EvaluationError("cannot convert value to integer")
    return int(quantity.value)


def _is_integer(quantity: Quantity) -> bool:
    return quantity.value.denominator == 1 and -(2**63) <= quantity.value < 2**63


def _sign(value: Fraction) -> int:
    return (value > 0) - (value < 0)


def _amount(other: Any) -> Fraction:
    return other.value if isinstance(other, Quantity) else Fraction(other)


_READ = {"price": traversal(0)}

OVERLOADS = [
    function("quantity", (STRING,), QUANTITY, parse, **_READ),
    function("isQuantity", (STRING,), BOOL, _is_quantity, **_READ),
    method("sign", (QUANTITY,), INT, lambda quantity: _sign(quantity.value)),
    method("isInteger", (QUANTITY,), BOOL, _is_integer),
    method("asInteger", (QUANTITY,), INT, _whole),
    method("asApproximateFloat", (QUANTITY,), DOUBLE, lambda quantity: float(quantity.value)),
    method("isGreaterThan", (QUANTITY, QUANTITY), BOOL, lambda one, two: one.value > two.value),
    method("isLessThan", (QUANTITY, QUANTITY), BOOL, lambda one, two: one.value < two.value),
    method("compareTo", (QUANTITY, QUANTITY), INT, lambda one, two: _sign(one.value - two.value)),
    *(
        method("add", (QUANTITY, other), QUANTITY, lambda one, two: Quantity(one.value + _amount(two)))
        for other in (QUANTITY, INT)
    ),
    *(
        method("sub", (QUANTITY, other), QUANTITY, lambda one, two: Quantity(one.value - _amount(two)))
        for other in (QUANTITY, INT)
    ),
]
