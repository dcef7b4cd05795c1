"""Answers as YAML: what Kubernetes' encoder quotes, and that every reader gets back what was written."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.engine.apiserver.http.yaml_document import parse_yaml
from edgevirt.engine.apiserver.http.yaml_text import to_yaml


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("12", '"12"'),
        ("1e3", '"1e3"'),
        ("0x1f", '"0x1f"'),
        ("true", '"true"'),
        ("Yes", '"Yes"'),
        ("n", '"n"'),
        ("~", '"~"'),
        ("", '""'),
        ("12:30:45", '"12:30:45"'),
        ("2026-01-02", '"2026-01-02"'),
        ("2026-01-02T03:04:05Z", '"2026-01-02T03:04:05Z"'),
        ("a: b", "'a: b'"),
        ("1.2.3", "1.2.3"),
        ("10.0.0.1", "10.0.0.1"),
        (12, "12"),
        (True, "true"),
        (None, "null"),
        ("two\nlines\n", "|\n  two\n  lines"),
        ("x" * 200 + " " + "y" * 200, "x" * 200 + " " + "y" * 200),
    ],
)
def test_scalar_is_written_as_kubernetes_does(value: object, text: str) -> None:
    assert to_yaml({"k": value}).decode() == f"k: {text}\n"


def test_lists_are_not_indented_and_keys_are_sorted() -> None:
    assert to_yaml({"b": [{"y": 1, "x": [2]}], "a": {}}) == b'a: {}\nb:\n- x:\n  - 2\n  "y": 1\n'


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(_json)
def test_readers_get_back_what_was_written(value: object) -> None:
    written = to_yaml({"k": value})
    assert yaml.safe_load(written) == {"k": value}
    assert parse_yaml(written) == {"k": value}
