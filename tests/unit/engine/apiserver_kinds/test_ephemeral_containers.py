from __future__ import annotations

import copy
from typing import Any

import pytest

from edgevirt.engine.apiserver.kinds.ephemeral_containers import faults, only_theirs

pytestmark = pytest.mark.unit
OLD: dict[str, Any] = {
    "kind": "Pod",
    "metadata": {"name": "p", "resourceVersion": "7", "labels": {"a": "b"}, "managedFields": ["old"]},
    "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"},
    "status": {"phase": "Running"},
}


def test_the_endpoint_changes_nothing_else() -> None:
    new = copy.deepcopy(OLD)
    new["metadata"] |= {"labels": {"x": "y"}, "managedFields": ["new"], "resourceVersion": "6"}
    new["spec"] = {"containers": [], "ephemeralContainers": [{"name": "d"}]}
    new["status"] = {}
    only_theirs(OLD, new)
    assert new["spec"] == {**OLD["spec"], "ephemeralContainers": [{"name": "d"}]}
    assert new["status"] == OLD["status"]
    assert new["metadata"] == {
        "name": "p",
        "resourceVersion": "6",
        "labels": {"a": "b"},
        "managedFields": ["new"],
    }
    assert OLD["metadata"]["managedFields"] == ["old"]


def spec(*added: dict[str, Any]) -> dict[str, Any]:
    return {**OLD["spec"], "ephemeralContainers": list(added)}


def test_what_was_there_stays_as_it_was() -> None:
    one = {"name": "d", "image": "i"}
    assert faults(spec(one, {"name": "e", "image": "i"}), spec(one)) == []
    assert [cause.message for cause in faults(spec(), spec(one))] == [
        'Forbidden: existing ephemeral containers "d" may not be removed\n'
    ]
    assert [cause.message for cause in faults(spec({**one, "image": "other"}), spec(one))] == [
        'Forbidden: existing ephemeral containers "d" may not be changed\n'
    ]


def test_stored_ones_are_not_judged_again() -> None:
    odd = {"name": "d", "image": ""}
    assert faults(spec(odd), spec(odd)) == []
