"""Input no sane client sends, each once an internal error: read as Go's decoder reads it, or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.http.body import read_object, read_options
from edgevirt.engine.apiserver.http.forms import warning_headers
from edgevirt.engine.apiserver.kinds.builtins import builtin_registry
from edgevirt.engine.apiserver.kinds.definition import Definitions
from edgevirt.engine.apiserver.registry import ServedResource, WriteContext
from edgevirt.engine.apiserver.request import ADMIN
from edgevirt.engine.apiserver.schema.request_types import check_body

pytestmark = pytest.mark.unit


def resource(group: str, plural: str) -> ServedResource:
    found = builtin_registry().lookup(group, "v1", plural)
    assert found is not None
    return found


def test_null_in_a_map_or_list_is_the_zero_value() -> None:
    obj: dict[str, Any] = {
        "metadata": {"name": "x", "annotations": {"a": None}, "finalizers": [None]},
        "data": {"k": None, "l": "v"},
    }
    assert resource("", "configmaps").schema.prune(obj) == []
    assert obj["metadata"] == {"name": "x", "annotations": {"a": ""}, "finalizers": [""]}
    assert obj["data"] == {"k": "", "l": "v"}
    pod: dict[str, Any] = {
        "metadata": {},
        "spec": {"containers": [None], "overhead": {"cpu": None}, "nodeSelector": None},
    }
    resource("", "pods").schema.prune(pod)
    assert pod["spec"] == {"containers": [{}], "overhead": {"cpu": "0"}}


def test_half_a_surrogate_pair_is_a_replacement_character() -> None:
    obj, _ = read_object(b'{"metadata":{"name":"\\ud800x"},"n":"\\ud83d\\ude00"}', "application/json", "Pod")
    assert obj == {"metadata": {"name": "\ufffdx"}, "n": "\U0001f600"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"preconditions":5}',
        b'{"preconditions":{"uid":[]}}',
        b'{"gracePeriodSeconds":"soon"}',
        b'{"dryRun":"All"}',
        b'{"propagationPolicy":0}',
        b'{"orphanDependents":"yes"}',
    ],
)
def test_delete_options_of_wrong_types_are_refused(body: bytes) -> None:
    with pytest.raises(
        StatusError, match="cannot be handled as a DeleteOptions: json: cannot unmarshal"
    ) as it:
        read_options(body, "application/json", "DeleteOptions")
    assert it.value.code == 400


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("Binding", {"target": "node"}),
        ("Eviction", {"deleteOptions": []}),
        ("Scale", {"spec": {"replicas": "3"}}),
        ("TokenRequest", {"spec": {"audiences": "a"}}),
        ("TokenRequest", {"metadata": 3}),
    ],
)
def test_bodies_of_subresources_of_wrong_types_are_refused(kind: str, document: dict[str, Any]) -> None:
    with pytest.raises(StatusError, match=f"cannot be handled as a {kind}") as it:
        check_body(kind, document)
    assert it.value.code == 400


def test_definition_whose_version_has_no_name_is_left_to_validation() -> None:
    obj: dict[str, Any] = {"metadata": {}, "spec": {"versions": [{"storage": True}]}}
    Definitions().prepare_for_create(obj, WriteContext(ADMIN, "now", "", False))
    assert obj["status"]["storedVersions"] == [""]


def test_warnings_fit_into_the_head_of_an_answer_and_hold_no_control_characters() -> None:
    assert warning_headers(['a "b"\r\n\0\x7fc']) == ['299 - "a \\"b\\"    c"']
    many = warning_headers([f'unknown field "{n}{"x" * 3000}"' for n in range(100)])
    assert 10 < len(many) < 20
    assert sum(map(len, many)) < 5000


@pytest.mark.parametrize("field", ["apiVersion", "kind"])
@pytest.mark.parametrize("value", [5, [], {}, True])
def test_object_whose_type_is_no_text_is_refused(field: str, value: Any) -> None:
    """A custom resource of kind 5 was an internal error."""
    with pytest.raises(StatusError, match=f"into Go struct field .{field} of type string") as it:
        read_object(json.dumps({field: value}).encode(), "application/json", "Thing")
    assert it.value.code == 400
