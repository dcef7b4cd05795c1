"""kubectl moving from client-side to server-side apply: no conflict with itself, no stale annotation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.schema import SCALAR, SchemaNode
from edgevirt.engine.apiserver.writing import last_applied, managedfields
from edgevirt.engine.apiserver.writing.managedfields import Manager, Scope

pytestmark = pytest.mark.unit

STRINGS = SchemaNode("map", elem=SCALAR, open=True)
NODE = SchemaNode(
    "map",
    fields={
        "apiVersion": SCALAR,
        "kind": SCALAR,
        "metadata": SchemaNode("map", fields={"name": SCALAR, "annotations": STRINGS}),
        "data": STRINGS,
    },
)


def scope(manager: str, operation: str = "Apply", subresource: str = "") -> Scope:
    named = Manager(manager, operation, "v1", subresource)
    return Scope(NODE, named, "2026-01-01T00:00:00Z", {}, frozenset())


def config(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}


def applied_by_client(**data: str) -> dict[str, Any]:
    """What kubectl makes of `data` when it applies from the client's side."""
    obj = config(**data)
    obj["metadata"]["annotations"] = {last_applied.ANNOTATION: json.dumps(config(**data))}
    managedfields.record_update(scope("kubectl-client-side-apply", "Update"), None, obj)
    return obj


def owners(obj: dict[str, Any]) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", ())}


def test_kubectl_does_not_conflict_with_its_own_client_side_apply() -> None:
    live = applied_by_client(x="1", y="1")
    new = managedfields.apply(scope("kubectl"), live, config(x="2", y="1"), force=False)
    assert new["data"] == {"x": "2", "y": "1"}
    assert owners(new)["kubectl"] == {"f:data": {"f:x": {}, "f:y": {}}}


def test_other_managers_do_conflict_with_it() -> None:
    live = applied_by_client(x="1")
    with pytest.raises(StatusError, match=r'conflict with "kubectl-client-side-apply" using v1: \.data\.x'):
        managedfields.apply(scope("other"), live, config(x="2"), force=False)


def test_what_was_changed_since_still_conflicts() -> None:
    live = applied_by_client(x="1", y="1")
    changed = {**live, "metadata": dict(live["metadata"]), "data": {"x": "edited", "y": "1"}}
    managedfields.record_update(scope("editor", "Update"), live, changed)
    with pytest.raises(StatusError, match=r'conflict with "editor" using v1: \.data\.x$'):
        managedfields.apply(scope("kubectl"), changed, config(x="2", y="2"), force=False)


def test_annotation_follows_what_kubectl_applies_and_nobody_else() -> None:
    live = applied_by_client(x="1")
    by_other = managedfields.apply(scope("other"), live, config(z="<&>"), force=False)
    assert json.loads(by_other["metadata"]["annotations"][last_applied.ANNOTATION]) == config(x="1")
    by_kubectl = managedfields.apply(scope("kubectl"), by_other, config(x="<&>"), force=True)
    assert by_kubectl["metadata"]["annotations"][last_applied.ANNOTATION] == (
        '{"apiVersion":"v1","data":{"x":"\\u003c\\u0026\\u003e"},"kind":"ConfigMap","metadata":{"name":"a"}}\n'
    )


def test_object_without_the_annotation_gets_none() -> None:
    new = managedfields.apply(scope("kubectl"), None, config(x="1"), force=False)
    assert "annotations" not in new["metadata"]


def test_annotation_that_would_be_too_long_goes() -> None:
    live = applied_by_client(x="1")
    new = managedfields.apply(scope("kubectl"), live, config(x="y" * 300_000), force=True)
    assert last_applied.ANNOTATION not in new["metadata"]["annotations"]


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "null"])
def test_annotation_that_says_nothing_explains_no_conflict(text: str) -> None:
    live = config(x="1")
    live["metadata"]["annotations"] = {last_applied.ANNOTATION: text}
    assert last_applied.own_fields(NODE, live) == {}


def test_ownership_alone_can_be_edited_but_not_through_a_subresource() -> None:
    """kubectl rewrites managedFields by a JSON patch when it takes over from its client-side self."""
    live = applied_by_client(x="1")
    (entry,) = live["metadata"]["managedFields"]
    moved = [{**entry, "manager": "kubectl", "operation": "Apply"}]
    new = {**live, "metadata": {**live["metadata"], "managedFields": moved}}
    managedfields.record_update(scope("kubectl", "Update"), live, new)
    assert new["metadata"]["managedFields"] == moved
    by_status = {**live, "metadata": {**live["metadata"], "managedFields": moved}}
    managedfields.record_update(scope("kubectl", "Update", "status"), live, by_status)
    assert by_status["metadata"]["managedFields"] == live["metadata"]["managedFields"]
