"""Types from published schemas, as expressions are checked against."""

from __future__ import annotations

from typing import Any

import pytest

from edgevirt.engine.apiserver.kinds.builtins import builtin_registry
from edgevirt.engine.cel import CompileError, Environment, types
from edgevirt.engine.cel.openapi import type_of_kind

pytestmark = pytest.mark.unit

RESOURCE = builtin_registry().lookup("apps", "v1", "deployments")
assert RESOURCE is not None
DOCUMENT: dict[str, Any] = {"components": {"schemas": RESOURCE.schema.openapi_v3()}}


def problem(text: str) -> str:
    kind = type_of_kind(DOCUMENT, "apps", "v1", "Deployment")
    assert kind is not None
    try:
        Environment({"object": kind}).compile(text)
    except CompileError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "text",
    [
        "object.spec.replicas > 1",
        "object.metadata.labels['a'] == 'b'",
        "object.spec.template.spec.containers.all(c, c.ports.exists(p, p.containerPort > 1))",
        "object.metadata.creationTimestamp < timestamp('2030-01-01T00:00:00Z')",
        "object.spec.strategy.rollingUpdate.maxSurge in [dyn(1), '25%']",
        "object.spec.template.spec.containers[0].resources.limits['cpu'] == '1'",
    ],
)
def test_what_the_schema_has_compiles(text: str) -> None:
    assert problem(text) == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("object.replicas > 1", "undefined field 'replicas'"),
        ("object.spec.replicas == '1'", "found no matching overload for '_==_' applied to '(int, string)'"),
        ("object.spec.template.spec.containers.all(c, c.nope == '')", "undefined field 'nope'"),
    ],
)
def test_what_the_schema_lacks_is_told(text: str, told: str) -> None:
    assert told in problem(text)


def test_a_kind_that_is_not_described_has_no_type_and_circles_end_in_dyn() -> None:
    assert type_of_kind(DOCUMENT, "apps", "v1", "Nope") is None
    circle = {
        "x-kubernetes-group-version-kind": [{"group": "g", "version": "v", "kind": "K"}],
        "type": "object",
        "properties": {"next": {"$ref": "#/components/schemas/K"}},
    }
    found = type_of_kind({"components": {"schemas": {"K": circle}}}, "g", "v", "K")
    for _ in range(30):
        assert found is not None
        if found.kind == "dyn":
            break
        found = found.fields["next"]
    assert found == types.DYN
