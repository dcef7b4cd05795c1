"""The three patches that are not apply."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.kinds.builtins import builtin_registry
from edgevirt.engine.apiserver.objects import encode_json
from edgevirt.engine.apiserver.writing.patch import json_patch, merge_patch
from edgevirt.engine.apiserver.writing.strategic import strategic_merge

pytestmark = pytest.mark.unit

PODS = builtin_registry().lookup("", "v1", "pods")
assert PODS is not None
POD_NODE = PODS.schema.merge_node()


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": "b"}, ["c"], ["c"]),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_follows_the_rfc(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(target)
    assert merge_patch(target, patch) == result
    assert target == before


def test_json_patch_operations_apply_in_order() -> None:
    obj = {"a": [1, 2], "b": {"c": 1}}
    operations = [
        {"op": "test", "path": "/a/0", "value": 1},
        {"op": "remove", "path": "/a/0"},
        {"op": "add", "path": "/a/-", "value": 3},
        {"op": "move", "from": "/b/c", "path": "/d"},
    ]
    assert json_patch(obj, operations) == {"a": [2, 3], "b": {}, "d": 1}


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "test", "path": "/a", "value": 2}],
        [{"op": "remove", "path": "/nope"}],
        [{"op": "jump", "path": "/a"}],
        [{"path": "/a"}],
        ["text"],
        [{"op": "replace", "path": "", "value": 1}],
    ],
)
def test_json_patch_that_cannot_apply_is_refused(operations: list[Any]) -> None:
    with pytest.raises(StatusError) as caught:
        json_patch({"a": 1}, operations)
    assert caught.value.code == 422


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"finalizers": ["a/a", "b/b"]}, "spec": {"containers": list(containers), **spec}}


def patched(obj: dict[str, Any], spec: dict[str, Any]) -> Any:
    return strategic_merge(POD_NODE, obj, {"spec": spec})["spec"]


def test_containers_merge_by_name() -> None:
    result = patched(
        pod({"name": "a", "image": "1"}, {"name": "b"}), {"containers": [{"name": "a", "image": "2"}]}
    )
    assert result["containers"] == [{"name": "a", "image": "2"}, {"name": "b"}]


def test_patch_delete_removes_an_item() -> None:
    result = patched(pod({"name": "a"}, {"name": "b"}), {"containers": [{"name": "a", "$patch": "delete"}]})
    assert result["containers"] == [{"name": "b"}]


def test_patch_replace_replaces_the_list() -> None:
    result = patched(pod({"name": "a"}), {"containers": [{"$patch": "replace"}, {"name": "c"}]})
    assert result["containers"] == [{"name": "c"}]


def test_element_order_is_set() -> None:
    result = patched(
        pod({"name": "a"}, {"name": "b"}),
        {
            "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
            "containers": [{"name": "a", "image": "x"}],
        },
    )
    assert [container["name"] for container in result["containers"]] == ["b", "a"]


def test_list_without_strategy_is_replaced() -> None:
    result = patched(pod(tolerations=[{"key": "a"}]), {"tolerations": [{"key": "b"}]})
    assert result["tolerations"] == [{"key": "b"}]


def test_primitives_are_merged_and_deleted_by_value() -> None:
    obj = pod()
    result = strategic_merge(
        POD_NODE, obj, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/a"], "finalizers": ["c/c"]}}
    )
    assert result["metadata"]["finalizers"] == ["c/c", "b/b"]
    assert obj["metadata"]["finalizers"] == ["a/a", "b/b"]


def test_item_without_its_merge_key_is_refused() -> None:
    with pytest.raises(StatusError, match="does not contain declared merge key"):
        patched(pod({"name": "a"}), {"containers": [{"image": "x"}]})


@given(st.dictionaries(st.sampled_from("abc"), st.integers() | st.none(), max_size=3))
def test_merge_patch_is_idempotent(patch: dict[str, Any]) -> None:
    once = merge_patch({"a": 1, "b": {"c": 2}}, patch)
    assert merge_patch(once, patch) == once


def test_copies_that_double_the_object_again_and_again_are_refused() -> None:
    target = {"data": {"a": "x" * 1000}}
    doubling = [{"op": "copy", "from": "/data", "path": f"/data/{number}"} for number in range(40)]
    with pytest.raises(StatusError) as refused:
        json_patch(target, doubling)
    assert refused.value.code == 422
    assert len(encode_json(target)) < 8 * 1024 * 1024


def test_copies_within_bounds_see_what_came_before_them() -> None:
    operations = [
        {"op": "add", "path": "/b", "value": {"c": 1}},
        {"op": "copy", "from": "/b", "path": "/d"},
        {"op": "replace", "path": "/b/c", "value": 2},
    ]
    assert json_patch({"a": 0}, operations) == {"a": 0, "b": {"c": 2}, "d": {"c": 1}}


def test_copy_from_nowhere_is_refused() -> None:
    with pytest.raises(StatusError) as refused:
        json_patch({}, [{"op": "copy", "from": "/no", "path": "/b"}])
    assert refused.value.code == 422
