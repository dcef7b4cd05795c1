"""YAML from clients is read within bounds: depth and aliases cannot end the process or fill its memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.engine.apiserver.http.yaml_document import parse_yaml
from edgevirt.kube.yaml_bounds import MAX_DEPTH

pytestmark = pytest.mark.unit

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize("opening", ["[", '{"a":', "- ", "a:\n"], ids=["flow", "object", "block", "blank"])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 50_000])
def test_deep_nesting_is_refused_instead_of_ending_the_process(opening: str, depth: int) -> None:
    """The library recurses in C without looking: 50,000 brackets were a segmentation fault."""
    text = opening * depth
    if opening == "a:\n":
        text = "".join(" " * level + "a:\n" for level in range(MAX_DEPTH + 2))
    with pytest.raises((ValueError, RecursionError)):
        parse_yaml(text.encode())


def test_aliases_of_aliases_are_refused_before_they_are_built() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(ValueError, match="excessive aliasing"):
        parse_yaml("\n".join(lines).encode())


def test_moderate_nesting_and_aliases_are_read() -> None:
    assert parse_yaml(b"a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}\n") == {
        "a": {"b": 1},
        "c": {"b": 1},
        "d": {"b": 1, "e": 2},
    }
    deep = parse_yaml(b"[" * 100 + b"]" * 100)
    assert json.dumps(deep) == "[" * 100 + "]" * 100


def test_flow_style_that_is_not_json_is_read_as_yaml() -> None:
    assert parse_yaml(b"{a: b, 'c': 1,}") == {"a": "b", "c": 1}


@given(VALUES)
def test_json_objects_are_read_as_json(value: Any) -> None:
    document = {"value": value}
    assert parse_yaml(json.dumps(document).encode()) == document


@given(st.binary(max_size=200) | st.text(alphabet="{}[]&*a:,-?!|>\n '\"#%@`", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        json.dumps(parse_yaml(data))
    except (ValueError, RecursionError):
        pass
