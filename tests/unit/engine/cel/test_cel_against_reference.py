"""Our CEL against Google's C++ implementation, on expressions that both know."""

from __future__ import annotations

from typing import Any

import pytest
from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevirt.engine.cel import Environment, EvaluationError, types

pytestmark = pytest.mark.unit

OURS = Environment({"x": types.DYN, "y": types.DYN, "s": types.STRING})
THEIRS = cel.NewEnv(
    variables={"x": cel.Type.DYN, "y": cel.Type.DYN, "s": cel.Type.STRING},
    extensions=[ext_optional.ExtOptional(), ext_strings.ExtStrings()],
)
FAILED = "failed"
SCALARS = st.booleans() | st.integers(-1000, 1000) | st.floats(-1e6, 1e6) | st.text("abc é", max_size=4)
VALUES = (
    SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text("abc", max_size=2), SCALARS, max_size=3)
)
BINARY = ("+", "-", "*", "/", "%", "<", "<=", ">", ">=", "==", "!=", "in")


def ours(text: str, data: dict[str, Any]) -> Any:
    try:
        return OURS.compile(text).evaluate(data)
    except EvaluationError:
        return FAILED


def theirs(text: str, data: dict[str, Any]) -> Any:
    result = THEIRS.compile(text).eval(data=data)
    if result.type().name() in ("*error*", "ERROR"):
        return FAILED
    return result.plain_value()


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and one != one:
        return other != other
    return type(one) is type(other) and bool(one == other)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(BINARY), VALUES, VALUES)
def test_operators_on_any_values_agree(operator: str, x: Any, y: Any) -> None:
    data = {"x": x, "y": y, "s": ""}
    text = f"x {operator} y"
    assert same(ours(text, data), theirs(text, data)), (text, data)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(
        (
            "size(x)",
            "x.exists(e, e == y)",
            "x.all(e, e != y)",
            "x.map(e, e == y)",
            "x.filter(e, e == y)",
            "has(x.a)",
            "x.a",
            "x[y]",
            "x ? 1 : 2",
            "x || y == 1",
            "x && y == 1",
            "!x",
            "-x",
            "string(x)",
            "bool(x)",
            "type(x) == type(y)",
            "x.startsWith('a')",
            "x.contains(s)",
        )
    ),
    VALUES,
    VALUES,
    st.text("abc", max_size=2),
)
def test_functions_and_macros_on_any_values_agree(text: str, x: Any, y: Any, s: str) -> None:
    data = {"x": x, "y": y, "s": s}
    one, other = ours(text, data), theirs(text, data)
    if isinstance(x, dict) and isinstance(one, list) and isinstance(other, list):
        # The order in which a map is walked is nobody's promise.
        one, other = sorted(one, key=repr), sorted(other, key=repr)
    assert same(one, other), (text, data)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(
        (
            "s.lowerAscii() + s.upperAscii()",
            "s.replace('a', 'bb')",
            "s.split('a')",
            "s.trim()",
            "s.indexOf('b')",
            "s.lastIndexOf('b')",
            "s.substring(1)",
            "s.charAt(1)",
            "s.size()",
            "s.endsWith('c')",
            "s.split('b', 2)",
            "s.replace('', 'x')",
        )
    ),
    st.text("abcABC é\t", max_size=6),
)
def test_text_functions_agree(text: str, s: str) -> None:
    data = {"x": 1, "y": 1, "s": s}
    assert same(ours(text, data), theirs(text, data)), (text, data)
