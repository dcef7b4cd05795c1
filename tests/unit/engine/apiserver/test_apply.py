"""Field ownership: what updates take, what apply states, conflicts, and what goes when nobody states it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.schema import OPEN_MAP, SCALAR, SchemaNode
from edgevirt.engine.apiserver.writing import fieldset, managedfields
from edgevirt.engine.apiserver.writing.managedfields import Manager, Scope
from edgevirt.engine.apiserver.writing.typed import check_unique, compare, field_set, merge

pytestmark = pytest.mark.unit

ITEM = SchemaNode("map", fields={"name": SCALAR, "value": SCALAR, "image": SCALAR})
NODE = SchemaNode(
    "map",
    fields={
        "apiVersion": SCALAR,
        "kind": SCALAR,
        "metadata": SchemaNode(
            "map",
            fields={
                "name": SCALAR,
                "labels": SchemaNode("map", elem=SCALAR, open=True),
                "finalizers": SchemaNode("set", elem=SCALAR),
            },
        ),
        "spec": SchemaNode(
            "map",
            fields={
                "items": SchemaNode("list", elem=ITEM, keys=("name",)),
                "whole": SchemaNode("atomic"),
                "size": SCALAR,
            },
        ),
    },
)


def scope(manager: str, operation: str = "Apply") -> Scope:
    return Scope(NODE, Manager(manager, operation, "v1"), "2026-01-01T00:00:00Z", {}, frozenset())


def config(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "K", "metadata": {"name": "a"}, "spec": spec}


def managers(obj: dict[str, Any]) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", ())}


def item(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, **fields}


def test_first_apply_owns_what_it_states() -> None:
    obj = managedfields.apply(scope("one"), None, config(size=1, items=[item("a", value="1")]), force=False)
    assert managers(obj)["one"] == {
        "f:spec": {
            "f:size": {},
            "f:items": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:value": {}}},
        }
    }


def test_second_manager_adds_its_item_beside_the_first() -> None:
    live = managedfields.apply(scope("one"), None, config(items=[item("a", value="1")]), force=False)
    live = managedfields.apply(scope("two"), live, config(items=[item("b", value="2")]), force=False)
    assert live["spec"]["items"] == [item("a", value="1"), item("b", value="2")]


def test_change_of_anothers_field_is_a_conflict_and_force_takes_it() -> None:
    live = managedfields.apply(scope("one"), None, config(size=1), force=False)
    with pytest.raises(StatusError, match=r'conflict with "one": \.spec\.size') as caught:
        managedfields.apply(scope("two"), live, config(size=2), force=False)
    assert caught.value.code == 409
    forced = managedfields.apply(scope("two"), live, config(size=2), force=True)
    assert forced["spec"]["size"] == 2
    assert "one" not in managers(forced)


def test_same_value_is_shared_without_conflict() -> None:
    live = managedfields.apply(scope("one"), None, config(size=1), force=False)
    live = managedfields.apply(scope("two"), live, config(size=1), force=False)
    assert set(managers(live)) == {"one", "two"}


def test_what_is_no_longer_stated_goes_unless_somebody_else_states_it() -> None:
    live = managedfields.apply(scope("one"), None, config(size=1, items=[item("a"), item("b")]), force=False)
    live = managedfields.apply(scope("two"), live, config(items=[item("b")]), force=False)
    live = managedfields.apply(scope("one"), live, config(items=[]), force=False)
    assert live["spec"] == {"items": [item("b")]}


def test_item_goes_with_what_was_added_below_it() -> None:
    live = managedfields.apply(
        scope("one"), None, config(items=[item("a", value="1"), item("b")]), force=False
    )
    live = managedfields.apply(scope("one"), live, config(items=[item("b")]), force=False)
    assert live["spec"]["items"] == [item("b")]


def test_atomic_value_has_one_owner() -> None:
    live = managedfields.apply(scope("one"), None, config(whole=[1, 2]), force=False)
    assert managers(live)["one"] == {"f:spec": {"f:whole": {}}}
    with pytest.raises(StatusError, match=r"\.spec\.whole"):
        managedfields.apply(scope("two"), live, config(whole=[1, 2, 3]), force=False)


def test_update_takes_changed_fields_from_their_owner() -> None:
    live = managedfields.apply(scope("one"), None, config(size=1, whole=[]), force=False)
    new = {**live, "metadata": dict(live["metadata"]), "spec": {**live["spec"], "size": 5}}
    managedfields.record_update(scope("editor", "Update"), live, new)
    assert managers(new) == {"one": {"f:spec": {"f:whole": {}}}, "editor": {"f:spec": {"f:size": {}}}}


def test_update_without_change_leaves_ownership_alone() -> None:
    live = managedfields.apply(scope("one"), None, config(size=1), force=False)
    new = {**live, "metadata": dict(live["metadata"])}
    managedfields.record_update(scope("editor", "Update"), live, new)
    assert new["metadata"]["managedFields"] == live["metadata"]["managedFields"]


def test_empty_managed_fields_reset_ownership() -> None:
    live = managedfields.apply(scope("one"), None, config(size=1), force=False)
    new = {**live, "metadata": {**live["metadata"], "managedFields": []}}
    managedfields.record_update(scope("editor", "Update"), live, new)
    assert "managedFields" not in new["metadata"]


def test_first_apply_to_an_untracked_object_respects_what_is_there() -> None:
    live = config(size=1)
    with pytest.raises(StatusError, match="before-first-apply"):
        managedfields.apply(scope("one"), live, config(size=2), force=False)


def test_old_update_managers_are_merged_into_one() -> None:
    live: dict[str, Any] = {}
    for number in range(15):
        new = config(size=number)
        new["metadata"] = {
            **live.get("metadata", {}),
            "name": "a",
            "labels": {f"k{n}": "" for n in range(number + 1)},
        }
        managedfields.record_update(scope(f"m{number}", "Update"), live or None, new)
        live = new
    assert len(live["metadata"]["managedFields"]) == managedfields.MAX_UPDATE_MANAGERS
    assert "ancient-changes" in managers(live)


def test_duplicate_item_is_refused() -> None:
    with pytest.raises(StatusError, match="duplicate entries"):
        check_unique(scope("one").node, config(items=[item("a"), item("a")]))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
json_objects = st.dictionaries(st.text("abc", min_size=1, max_size=2), json_values, max_size=4)


@given(json_objects, json_objects)
def test_merging_twice_changes_nothing_more(old: dict[str, Any], new: dict[str, Any]) -> None:
    once = merge(OPEN_MAP, old, new)
    assert merge(OPEN_MAP, once, new) == once


@given(json_objects)
def test_nothing_differs_from_itself(obj: dict[str, Any]) -> None:
    difference = compare(OPEN_MAP, obj, merge(OPEN_MAP, {}, obj))
    assert (difference.added, difference.removed, difference.modified) == ({}, {}, {})


@given(json_objects, json_objects)
def test_field_set_algebra_holds(left: dict[str, Any], right: dict[str, Any]) -> None:
    a, b = field_set(OPEN_MAP, left), field_set(OPEN_MAP, right)
    both, either = set(fieldset.paths(fieldset.intersection(a, b))), set(fieldset.paths(fieldset.union(a, b)))
    in_a, in_b = set(fieldset.paths(a)), set(fieldset.paths(b))
    assert both == in_a & in_b
    assert either == in_a | in_b
    assert set(fieldset.paths(fieldset.difference(a, b))) == in_a - in_b
