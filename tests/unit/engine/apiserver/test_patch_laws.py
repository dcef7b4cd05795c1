"""Patches against their RFCs, written down a second time in the plainest way, and laws that hold for all."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.schema import OPEN_MAP, SCALAR, SchemaNode
from edgevirt.engine.apiserver.writing.patch import json_patch, merge_patch
from edgevirt.engine.apiserver.writing.strategic import strategic_merge

pytestmark = pytest.mark.unit

KEYS = st.sampled_from(("a", "b", "a/b", "m~n", "", "0", "-"))
SCALARS: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(("x", ""))
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=3)
POINTERS = st.lists(
    st.sampled_from(("a", "b", "a~1b", "m~0n", "", "0", "1", "2", "-", "01")), max_size=3
).map(lambda parts: "".join("/" + part for part in parts))
OPERATIONS = st.one_of(
    st.fixed_dictionaries(
        {"op": st.sampled_from(("add", "replace", "test")), "path": POINTERS, "value": VALUES}
    ),
    st.fixed_dictionaries({"op": st.just("remove"), "path": POINTERS}),
    st.fixed_dictionaries({"op": st.sampled_from(("move", "copy")), "path": POINTERS, "from": POINTERS}),
)


class Refused(Exception):
    """The operation cannot be applied."""


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is not true."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def tokens(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def index(text: str, size: int) -> int:
    if not text.isdecimal() or (text != "0" and text.startswith("0")) or int(text) >= size:
        raise Refused(text)
    return int(text)


def look(document: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(document, list):
            document = document[index(part, len(document))]
        elif isinstance(document, dict) and part in document:
            document = document[part]
        else:
            raise Refused(part)
    return document


def put(document: Any, path: list[str], value: Any, existing: bool) -> Any:
    """`document` with a value added (or, `existing`, replaced) there."""
    if not path:
        return value
    parent, last = look(document, path[:-1]), path[-1]
    if existing:
        look(parent, [last])
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list) and existing:
        parent[index(last, len(parent))] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else index(last, len(parent) + 1), value)
    else:
        raise Refused(last)
    return document


def take(document: Any, path: list[str]) -> Any:
    value = look(document, path)
    if not path:
        raise Refused("the whole document")
    parent = look(document, path[:-1])
    del parent[index(path[-1], len(parent)) if isinstance(parent, list) else path[-1]]
    return value


def rfc_6902(document: Any, operations: list[dict[str, Any]]) -> Any:
    for operation in copy.deepcopy(operations):
        path = tokens(operation["path"])
        match operation["op"]:
            case "add":
                document = put(document, path, operation["value"], False)
            case "replace":
                document = put(document, path, operation["value"], True)
            case "remove":
                take(document, path)
            case "test":
                if not same(look(document, path), operation["value"]):
                    raise Refused("test")
            case "copy":
                document = put(
                    document, path, copy.deepcopy(look(document, tokens(operation["from"]))), False
                )
            case "move":
                source = tokens(operation["from"])
                if path == source:
                    look(document, source)
                    continue
                if path[: len(source)] == source:
                    raise Refused("into itself")
                document = put(document, path, take(document, source), False)
    return document


@given(document=OBJECTS, operations=st.lists(OPERATIONS, max_size=4))
def test_json_patch_does_what_the_rfc_says(
    document: dict[str, Any], operations: list[dict[str, Any]]
) -> None:
    try:
        expected = rfc_6902(copy.deepcopy(document), operations)
    except Refused:
        expected = None
    try:
        result = json_patch(copy.deepcopy(document), copy.deepcopy(operations))
    except StatusError as error:
        code, result = error.code, None
    else:
        code = 0
    assert same(result, expected if isinstance(expected, dict) else None)
    assert code in (0, 400, 422)


@given(document=OBJECTS, operations=st.lists(VALUES, max_size=3) | VALUES)
def test_any_json_is_a_patch_or_refused(document: dict[str, Any], operations: Any) -> None:
    code = 0
    try:
        assert isinstance(json_patch(document, operations), dict)
    except StatusError as error:
        code = error.code
    assert code in (0, 400, 413, 422)


def rfc_7386(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = rfc_7386(target.get(name), value)
    return target


@given(target=OBJECTS, patch=OBJECTS)
def test_merge_patch_does_what_the_rfc_says_and_touches_nothing(
    target: dict[str, Any], patch: dict[str, Any]
) -> None:
    before = copy.deepcopy((target, patch))
    result = merge_patch(target, patch)
    assert same(result, rfc_7386(*before))
    assert (target, patch) == before
    assert same(merge_patch(result, patch), result)
    assert same(merge_patch(target, {}), target)


def difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The merge patch that leads from one object without nulls to another."""
    patch: dict[str, Any] = dict.fromkeys(old.keys() - new.keys())
    for name, value in new.items():
        before = old.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            patch[name] = difference(before, value)
        elif name not in old or not same(before, value):
            patch[name] = value
    return patch


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    return value


@given(old=OBJECTS.map(without_nulls), new=OBJECTS.map(without_nulls))
def test_merge_patch_of_a_difference_makes_the_new_object(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert same(merge_patch(old, difference(old, new)), new)


ITEM = SchemaNode("map", fields={"name": SCALAR, "value": SCALAR, "sub": OPEN_MAP})
NODE = SchemaNode(
    "map",
    fields={
        "items": SchemaNode(
            "list", elem=ITEM, keys=("name",), patch_strategy="merge", patch_merge_key="name"
        ),
        "words": SchemaNode("set", elem=SCALAR, patch_strategy="merge"),
        "map": OPEN_MAP,
        "plain": SCALAR,
    },
)
ITEMS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from("abc")},
        optional={
            "value": st.integers(0, 2) | st.none(),
            "sub": st.dictionaries(st.sampled_from("xy"), st.integers(0, 2) | st.none(), max_size=2),
            "$patch": st.just("delete"),
        },
    ),
    max_size=3,
    unique_by=lambda item: item["name"],
)
STRATEGIC = st.fixed_dictionaries(
    {},
    optional={
        "items": ITEMS,
        "words": st.lists(st.sampled_from("abc"), unique=True, max_size=3),
        "$deleteFromPrimitiveList/words": st.lists(st.sampled_from("de"), unique=True, max_size=2),
        "map": st.dictionaries(st.sampled_from("xy"), st.integers(0, 2) | st.none(), max_size=2)
        | st.fixed_dictionaries({"$patch": st.sampled_from(("replace", "delete")), "z": st.integers(0, 1)}),
        "plain": st.integers(0, 2) | st.none(),
    },
)
TARGETS = st.fixed_dictionaries(
    {},
    optional={
        "items": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from("abcd"), "value": st.integers(0, 2)}),
            max_size=4,
            unique_by=lambda item: item["name"],
        ),
        "words": st.lists(st.sampled_from("abcde"), unique=True, max_size=4),
        "map": st.dictionaries(st.sampled_from("xyz"), st.integers(0, 2), max_size=3),
        "plain": st.integers(0, 2),
    },
)


@given(target=TARGETS, patch=STRATEGIC)
def test_strategic_merge_is_idempotent_and_touches_nothing(
    target: dict[str, Any], patch: dict[str, Any]
) -> None:
    before = copy.deepcopy((target, patch))
    once = strategic_merge(NODE, target, patch)
    assert (target, patch) == before
    assert same(strategic_merge(NODE, copy.deepcopy(once), patch), once)
    assert "$patch" not in json.dumps(once)


@given(target=TARGETS, patch=STRATEGIC)
def test_strategic_merge_has_each_item_once_and_keeps_what_it_does_not_name(
    target: dict[str, Any], patch: dict[str, Any]
) -> None:
    merged = strategic_merge(NODE, target, patch).get("items") or []
    names = [item["name"] for item in merged]
    assert len(names) == len(set(names))
    named = {item["name"] for item in patch.get("items") or ()}
    kept = [item for item in target.get("items") or () if item["name"] not in named]
    assert [item for item in merged if item["name"] not in named] == kept
    deleted = {item["name"] for item in patch.get("items") or () if item.get("$patch") == "delete"}
    assert not deleted & set(names)
