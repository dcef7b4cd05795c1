"""Differences of objects as JSON patches."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgevirt.virt_api.json_values import child, difference, ensure, items

pytestmark = pytest.mark.unit

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3)
    ),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text("ab/~", max_size=2), VALUES, max_size=4)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(OBJECTS, OBJECTS)
def test_patch_turns_one_object_into_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert jsonpatch.apply_patch(before, list(difference(before, after))) == after


def test_equal_objects_need_no_patch() -> None:
    assert list(difference({"a": {"b": [1]}}, {"a": {"b": [1]}})) == []


def test_reading_what_is_not_there_or_of_another_shape_gives_nothing() -> None:
    assert child({"a": None}, "a", "b") == {}
    assert child({"a": [1]}, "a") == {}
    assert items({"a": {"b": [{"c": 1}, 2]}}, "a", "b") == [{"c": 1}]
    assert items({}, "a") == []


def test_missing_objects_are_made_on_the_way() -> None:
    value: dict[str, Any] = {"a": None}
    ensure(value, "a", "b")["c"] = 1
    assert value == {"a": {"b": {"c": 1}}}
