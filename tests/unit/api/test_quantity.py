"""Quantities: exact values and Kubernetes' canonical text."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevirt.api import quantity

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "canonical", "whole", "milli"),
    [
        ("0", "0", 0, 0),
        ("0.5Gi", "512Mi", 512 << 20, (512 << 20) * 1000),
        ("1025Ki", "1025Ki", 1025 << 10, (1025 << 10) * 1000),
        ("128Mi", "128Mi", 128 << 20, (128 << 20) * 1000),
        ("1000m", "1", 1, 1000),
        ("1500m", "1500m", 2, 1500),
        (".5", "500m", 1, 500),
        ("100M", "100M", 10**8, 10**11),
        ("1000M", "1G", 10**9, 10**12),
        ("1e3", "1e3", 1000, 10**6),
        ("12E-1", "1200e-3", 2, 1200),
        ("1E", "1E", 10**18, 10**21),
        ("0.1Ki", "102400m", 103, 102400),
        ("-1Gi", "-1Gi", -(1 << 30), -(1 << 30) * 1000),
        ("1n", "1n", 1, 1),
        (2, "2", 2, 2000),
        (0.25, "250m", 1, 250),
    ],
)
def test_quantity_is_read_exactly_and_written_canonically(
    text: str | int | float, canonical: str, whole: int, milli: int
) -> None:
    assert quantity.canonical(text) == canonical
    assert quantity.to_bytes(text) == whole
    assert quantity.to_milli(text) == milli


@pytest.mark.parametrize(
    "text", ["", "abc", "1 Gi", "1gi", "1KI", "--1", "1.2.3", "Mi", "1e", "0x10", "1" * 300]
)
def test_text_that_is_no_quantity_is_refused_by_name(text: str) -> None:
    with pytest.raises(quantity.QuantityError, match="is not a quantity") as error:
        quantity.parse(text)
    assert repr(text) in str(error.value)


def test_a_boolean_is_no_quantity() -> None:
    with pytest.raises(quantity.QuantityError):
        quantity.parse(True)


def test_what_is_finer_than_a_billionth_is_rounded_away_from_zero() -> None:
    assert quantity.parse("0.1n") == Fraction(1, 10**9)
    assert quantity.parse("-0.1n") == Fraction(-1, 10**9)


def test_what_is_too_large_is_capped() -> None:
    assert quantity.to_bytes("9Ei") == 2**63 - 1
    assert quantity.to_bytes("1e999999999") == 2**63 - 1


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=2**62))
def test_bytes_survive_being_written_and_read(size: int) -> None:
    assert quantity.to_bytes(quantity.format_binary(size)) == size


@settings(deadline=None)
@given(
    st.integers(min_value=-(10**12), max_value=10**12), st.sampled_from(["", "m", "k", "Ki", "Mi", "M", "e3"])
)
def test_canonical_text_has_the_same_value_and_is_stable(number: int, suffix: str) -> None:
    text = f"{number}{suffix}"
    canonical = quantity.canonical(text)
    assert quantity.parse(canonical) == quantity.parse(text)
    assert quantity.canonical(canonical) == canonical


SUFFIXES = {
    **{suffix: Fraction(10) ** power for suffix, power in zip("num", (-9, -6, -3), strict=True)},
    **{suffix: Fraction(10) ** power for suffix, power in zip("kMGTPE", range(3, 21, 3), strict=True)},
    **{f"{suffix}i": Fraction(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
    "": Fraction(1),
    "e3": Fraction(1000),
    "E-2": Fraction(1, 100),
}


@given(
    sign=st.sampled_from(("", "+", "-")),
    whole=st.integers(0, 10**6),
    rest=st.text("0123456789", max_size=3),
    suffix=st.sampled_from(sorted(SUFFIXES)),
)
def test_quantity_is_its_number_times_its_suffix(sign: str, whole: int, rest: str, suffix: str) -> None:
    text = f"{sign}{whole}{'.' + rest if rest else ''}{suffix}"
    value = Fraction(f"{whole}.{rest or 0}") * SUFFIXES[suffix]
    # What is finer than a billionth is rounded away from zero, what is too large is cut.
    nano = -(-value.numerator * 10**9 // value.denominator)
    expected = min(Fraction(nano, 10**9), Fraction(2**63 - 1)) * (-1 if sign == "-" else 1)
    assert quantity.parse(text) == expected
    assert quantity.parse(quantity.canonical(text)) == expected
    assert quantity.canonical(quantity.canonical(text)) == quantity.canonical(text)


@given(st.text(max_size=12) | st.text("0123456789.eE+-mKMGi", max_size=8))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    try:
        quantity.canonical(text)
    except quantity.QuantityError as error:
        refusal = str(error)
    else:
        return
    assert repr(text) in refusal
