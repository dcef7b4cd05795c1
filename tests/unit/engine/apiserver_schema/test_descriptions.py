"""Descriptions of built-in kinds: about things that exist, and there where people look first."""

from __future__ import annotations

import importlib.resources

import pytest

from edgevirt.engine.apiserver import schema
from edgevirt.engine.apiserver.kinds.builtins import builtin_registry
from edgevirt.engine.apiserver.schema import Json

pytestmark = pytest.mark.unit

_FORMATS = {"Quantity", "IntOrString", "Time", "MicroTime", "FieldsV1"}


def definitions() -> dict[str, Json]:
    """Every definition of the built-in kinds by its short name."""
    found: dict[str, Json] = {}
    for resource in builtin_registry().list():
        for name, document in resource.schema.openapi_v3().items():
            found.setdefault(name.rpartition(".")[2], document)
    return found


def entries() -> list[str]:
    text = importlib.resources.files(schema).joinpath("descriptions.txt").read_text()
    return [line.partition(": ")[0] for line in text.splitlines() if line and not line.startswith("#")]


def test_every_served_kind_says_what_it_is() -> None:
    kinds = {resource.kind for resource in builtin_registry().list()}
    assert [kind for kind in sorted(kinds) if not definitions()[kind].get("description")] == []


def test_every_description_is_about_something_that_exists() -> None:
    known = definitions()
    fields = {field for document in known.values() for field in document.get("properties") or ()}
    strays = []
    for entry in entries():
        kind, dot, field = entry.partition(".")
        if not dot:
            exists = kind in known or kind in _FORMATS
        elif kind:
            exists = field in (known.get(kind, {}).get("properties") or {})
        else:
            exists = field in fields
        if not exists:
            strays.append(entry)
    assert strays == []


def test_nothing_is_described_twice() -> None:
    listed = entries()
    assert sorted(set(listed)) == sorted(listed)


@pytest.mark.parametrize(
    "kind", ["PodSpec", "Container", "ServiceSpec", "DeploymentSpec", "ObjectMeta", "Secret"]
)
def test_fields_people_write_are_described(kind: str) -> None:
    properties = definitions()[kind]["properties"]
    described = [name for name, shape in properties.items() if shape.get("description")]
    assert len(described) >= 0.6 * len(properties)
