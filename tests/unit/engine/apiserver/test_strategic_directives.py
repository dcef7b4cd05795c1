"""What each directive of a strategic merge patch does, alone and with others, as a kube-apiserver does it."""

from __future__ import annotations

from typing import Any

import pytest

from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.kinds.builtins import builtin_registry
from edgevirt.engine.apiserver.writing.strategic import strategic_merge

pytestmark = pytest.mark.unit

DEPLOYMENTS = builtin_registry().lookup("apps", "v1", "deployments")
assert DEPLOYMENTS is not None
NODE = DEPLOYMENTS.schema.merge_node()

Json = dict[str, Any]


def containers(*names: str) -> Json:
    return {"spec": {"template": {"spec": {"containers": [{"name": name} for name in names]}}}}


def of_pod(**patch: Any) -> Json:
    return {"spec": {"template": {"spec": patch}}}


def order(*names: str) -> list[Json]:
    return [{"name": name} for name in names]


def names_after(target: Json, patch: Json) -> list[str]:
    merged = strategic_merge(NODE, target, patch)
    return [container["name"] for container in merged["spec"]["template"]["spec"]["containers"]]


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        # New items go before old ones unless the order is stated.
        ("ab", {"containers": order("c")}, "cab"),
        ("ab", {"containers": order("c", "b")}, "cab"),
        ("abc", {"containers": order("b")}, "abc"),
        ("abc", {"containers": order("c", "a")}, "bca"),
        ("ab", {"$setElementOrder/containers": order("b", "a")}, "ba"),
        ("abc", {"$setElementOrder/containers": order("c", "a")}, "bca"),
        ("ab", {"$setElementOrder/containers": order("a", "n", "b"), "containers": order("n")}, "anb"),
        (
            "ab",
            {"$setElementOrder/containers": order("a"), "containers": [{"name": "b", "$patch": "delete"}]},
            "a",
        ),
        ("ab", {"containers": [{"name": "a", "$patch": "delete"}]}, "b"),
        ("ab", {"containers": [{"name": "x", "$patch": "delete"}]}, "ab"),
        ("ab", {"containers": [{"$patch": "replace"}, {"name": "z"}]}, "z"),
        ("ab", {"containers": [{"name": "a", "$patch": "merge"}]}, "ab"),
    ],
)
def test_lists_of_objects_are_merged_by_key_in_the_order_of_kubernetes(
    before: str, patch: Json, after: str
) -> None:
    assert names_after(containers(*before), of_pod(**patch)) == list(after)


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        (["b"], {"finalizers": ["z"]}, ["z", "b"]),
        (["a", "b"], {"finalizers": ["b"]}, ["a", "b"]),
        (["a", "b"], {"$deleteFromPrimitiveList/finalizers": ["a", "x"]}, ["b"]),
        (["a", "b"], {"$setElementOrder/finalizers": ["b", "a"]}, ["b", "a"]),
        (
            ["a", "b"],
            {
                "$setElementOrder/finalizers": ["c", "b"],
                "$deleteFromPrimitiveList/finalizers": ["a"],
                "finalizers": ["c"],
            },
            ["c", "b"],
        ),
    ],
)
def test_lists_of_values_are_merged_by_value(before: list[str], patch: Json, after: list[str]) -> None:
    merged = strategic_merge(NODE, {"metadata": {"finalizers": before}}, {"metadata": patch})
    assert merged["metadata"]["finalizers"] == after


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        ({"a": "1", "b": "2"}, {"$patch": "replace", "c": "3"}, {"c": "3"}),
        ({"a": "1"}, {"$patch": "delete"}, {}),
        ({"a": "1"}, {"$patch": "merge", "b": "2"}, {"a": "1", "b": "2"}),
        ({"a": "1", "b": "2"}, {"a": None}, {"b": "2"}),
    ],
)
def test_maps_follow_their_directive(before: Json, patch: Json, after: Json) -> None:
    merged = strategic_merge(NODE, {"metadata": {"labels": before}}, {"metadata": {"labels": patch}})
    assert merged["metadata"]["labels"] == after


def test_replacing_a_map_that_is_not_there_does_nothing() -> None:
    patch = {"metadata": {"labels": {"$patch": "replace", "q": "r"}}}
    assert strategic_merge(NODE, {"metadata": {}}, patch) == {"metadata": {}}


def test_retained_keys_are_all_that_stays() -> None:
    target = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge(NODE, target, patch) == {"spec": {"strategy": {"type": "Recreate"}}}


@pytest.mark.parametrize(
    ("patch", "code", "message"),
    [
        ({"spec": {"$patch": "jump"}}, 500, "unknown patch type: jump in map: map[$patch:jump]"),
        (
            of_pod(containers=[{"name": "a", "$patch": "bogus"}]),
            500,
            "unknown patch type: bogus in map: map[$patch:bogus name:a]",
        ),
        (
            of_pod(containers=[{"image": "x"}]),
            500,
            "map: map[image:x] does not contain declared merge key: name",
        ),
        ({"spec": {"$retainKeys": ["paused"], "replicas": 1}}, 400, "must contain all fields"),
        (
            of_pod(**{"$setElementOrder/containers": order("b"), "containers": order("a")}),
            400,
            "doesn't match $setElementOrder list",
        ),
        (of_pod(**{"$setElementOrder/containers": "a"}), 400, "must be a list"),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": 1}}, 400, "must be a list"),
    ],
)
def test_directive_that_makes_no_sense_is_refused(patch: Json, code: int, message: str) -> None:
    with pytest.raises(StatusError) as refused:
        strategic_merge(NODE, {"metadata": {"finalizers": ["f"]}, **containers("a")}, patch)
    assert (refused.value.code, message in str(refused.value)) == (code, True)


def test_target_of_a_patch_stays_as_it_was() -> None:
    target = containers("a", "b")
    strategic_merge(NODE, target, of_pod(**{"$setElementOrder/containers": order("b", "a")}))
    assert target == containers("a", "b")
