"""Kubernetes resource quantities: exact arithmetic and Kubernetes' canonical text.

A quantity is a decimal number with an optional suffix: binary (Ki Mi Gi Ti Pi Ei), decimal (n u m k M G
T P E) or a decimal exponent (e3, E-2). Values are exact `Fraction`s; as in Kubernetes, parts below 10^-9
are rounded away from zero and anything beyond 2^63-1 is capped. The canonical text keeps the family of
suffixes the author chose, has no fractional digits and uses the largest suffix that allows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from edgevirt.api.meta import Quantity

_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_SUFFIXES: Final = ("", *_BINARY)
_DECIMAL_SUFFIXES: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_NUMBER: Final = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(?:([eE][+-]?\d+)|([KMGTPE]i|[numkMGTPE]?))")
_LIMIT: Final = 2**63 - 1
_NANO: Final = 10**9
_MAX_LENGTH: Final = 256


class QuantityError(ValueError):
    """The text is not a quantity. The message names the text and shows what one looks like."""

    def __init__(self, text: object) -> None:
        super().__init__(
            f"{text!r} is not a quantity; write a number with an optional suffix, "
            "such as 512Mi, 2Gi, 500m or 1.5"
        )


def parse(quantity: Quantity) -> Fraction:
    """The exact value in base units (bytes, cores).

    Raises `QuantityError` if the text is not a quantity.
    """
    return _parse(quantity)[0]


def to_bytes(quantity: Quantity) -> int:
    """The value in whole units, a fraction rounded away from zero, as Kubernetes' `Value()` does."""
    return _away_from_zero(parse(quantity))


def to_milli(quantity: Quantity) -> int:
    """The value in thousandths (millicores), rounded away from zero, as Kubernetes' `MilliValue()` does."""
    return _away_from_zero(parse(quantity) * 1000)


def to_millicores(quantity: Quantity) -> int:
    """The value of a CPU quantity in millicores; another name for `to_milli`."""
    return to_milli(quantity)


def format_binary(size: int) -> str:
    """The canonical text of a number of bytes: 536870912 is "512Mi", 1000 is "1k", 1025 is "1025"."""
    return _canonical(Fraction(size), "binary")


def format_milli(milli: int) -> str:
    """The canonical text of a number of thousandths: 1500 is "1500m", 2000 is "2"."""
    return _canonical(Fraction(milli, 1000), "decimal")


def canonical(quantity: Quantity) -> str:
    """The text Kubernetes would store for this quantity: "0.5Gi" is "512Mi", "1000m" is "1".

    Raises `QuantityError` if the text is not a quantity.
    """
    return _canonical(*_parse(quantity))


def _parse(quantity: Quantity) -> tuple[Fraction, str]:
    if isinstance(quantity, bool):
        raise QuantityError(quantity)
    text = quantity if isinstance(quantity, str) else str(quantity)
    match = _NUMBER.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        raise QuantityError(quantity)
    sign, digits, exponent, suffix = match.groups()
    value = Fraction(digits)
    if exponent is not None:
        family = "exponent"
        power = int(exponent[1:])
        # Beyond the cap or below the resolution the exact power no longer matters, only its direction.
        value *= Fraction(10) ** max(min(power, _MAX_LENGTH * 2), -_MAX_LENGTH * 2)
    elif suffix in _BINARY:
        family = "binary"
        value *= 1024 ** _BINARY[suffix]
    else:
        family = "decimal"
        value *= Fraction(10) ** _DECIMAL[suffix]
    value = min(Fraction(_away_from_zero(value * _NANO), _NANO), Fraction(_LIMIT))
    return (-value if sign == "-" else value), family


def _away_from_zero(value: Fraction) -> int:
    whole, rest = divmod(abs(value.numerator), value.denominator)
    magnitude = whole + (rest > 0)
    return magnitude if value >= 0 else -magnitude


def _canonical(value: Fraction, family: str) -> str:
    if family == "binary" and value.denominator == 1 and abs(value) >= 1024:
        number, step = value.numerator, 0
        while number % 1024 == 0 and step < len(_BINARY_SUFFIXES) - 1:
            number //= 1024
            step += 1
        return f"{number}{_BINARY_SUFFIXES[step]}"
    if value == 0:
        return "0"
    nano, exponent = int(value * _NANO), -9
    while nano % 1000 == 0 and exponent < 18:
        nano //= 1000
        exponent += 3
    if family == "exponent":
        return f"{nano}e{exponent}" if exponent else f"{nano}"
    return f"{nano}{_DECIMAL_SUFFIXES[exponent]}"


def total(quantities: Iterable[Quantity]) -> str:
    """The canonical text of a sum, in the family of suffixes of its first part that is not zero."""
    value, family = Fraction(0), ""
    for quantity in quantities:
        part, kind = _parse(quantity)
        value += part
        family = family or (kind if part else "")
    return _canonical(max(min(value, Fraction(_LIMIT)), Fraction(-_LIMIT)), family or "decimal")
