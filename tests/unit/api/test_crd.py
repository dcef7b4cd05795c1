"""CustomResourceDefinitions made from the types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, get_type_hints

import msgspec
import pytest

from edgevirt.api import cdi, crd, kubevirt
from edgevirt.api.kubevirt import (
    configuration,
    credentials,
    devices,
    domain,
    instance,
    machine,
    migration_state,
    networks,
    options,
    probes,
    volumes,
)
from edgevirt.api.meta import KubeObject, Quantity, Struct
from edgevirt.api.schema import Schema

pytestmark = pytest.mark.unit

DOCUMENTED = (
    cdi,
    configuration,
    credentials,
    devices,
    domain,
    instance,
    machine,
    migration_state,
    networks,
    options,
    probes,
    volumes,
)


def documented_types() -> Iterator[type[Struct]]:
    for module in DOCUMENTED:
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Struct) and value.__module__ == module.__name__:
                yield value


@pytest.mark.parametrize(
    "type", tuple(documented_types()), ids=lambda type: f"{type.__module__}.{type.__name__}"
)
def test_every_kubevirt_type_and_field_is_documented(type: type[Struct]) -> None:
    assert type.__doc__
    described = crd.descriptions(type)
    inherited = KubeObject.__struct_fields__ if issubclass(type, KubeObject) else ()
    missing = [name for name in type.__struct_fields__ if name not in described and name not in inherited]
    assert missing == []


def by_kind() -> dict[str, dict[str, Any]]:
    return {each["spec"]["names"]["kind"]: each for each in crd.crds()}


def test_names_scope_and_versions_are_kubevirts() -> None:
    vm = by_kind()["VirtualMachine"]
    assert vm["metadata"]["name"] == "virtualmachines.kubevirt.io"
    assert vm["spec"]["names"] == {
        "kind": "VirtualMachine",
        "listKind": "VirtualMachineList",
        "plural": "virtualmachines",
        "singular": "virtualmachine",
        "shortNames": ["vm", "vms"],
        "categories": ["all"],
    }
    versions = {each["name"]: each for each in vm["spec"]["versions"]}
    assert (versions["v1"]["storage"], versions["v1"]["served"]) == (True, True)
    assert (versions["v1alpha3"]["storage"], versions["v1alpha3"]["served"]) == (False, True)
    assert versions["v1alpha3"]["deprecated"]
    assert "kubevirt.io/v1alpha3" in versions["v1alpha3"]["deprecationWarning"]


def test_only_the_instance_has_no_status_subresource() -> None:
    with_status = {
        kind: all("status" in version.get("subresources", {}) for version in each["spec"]["versions"])
        for kind, each in by_kind().items()
    }
    assert with_status == {"VirtualMachine": True, "VirtualMachineInstance": False, "KubeVirt": True}


def schema_of(type: type[Struct], name: str) -> dict[str, Any]:
    schema: dict[str, Any] = crd.structural_schema(type)["properties"][name]
    return schema


class Sample(Struct):
    """A sample."""

    size: Quantity | None = None
    """How large."""
    names: Annotated[tuple[str, ...], Schema(list_type="set", item=Schema(min_length=1))] = ()
    kind: Annotated[str, Schema(enum=("a", "b"))] = ""
    anything: Any = None
    again: Sample | None = None
    must: int
    data: bytes | None = None


def test_struct_becomes_a_structural_schema() -> None:
    schema = crd.structural_schema(Sample)
    assert schema["required"] == ["must"]
    assert schema["description"] == "A sample."
    properties = schema["properties"]
    assert properties["size"]["x-kubernetes-int-or-string"] is True
    assert properties["size"]["pattern"] == crd.QUANTITY_PATTERN
    assert properties["names"] == {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "x-kubernetes-list-type": "set",
    }
    assert properties["kind"] == {"type": "string", "enum": ["a", "b"]}
    assert properties["anything"] == {"x-kubernetes-preserve-unknown-fields": True}
    assert properties["data"] == {"type": "string", "format": "byte"}


def test_a_type_that_contains_itself_is_cut_where_it_recurs() -> None:
    again = schema_of(Sample, "again")
    assert again["x-kubernetes-preserve-unknown-fields"] is True
    assert "properties" not in again


def test_field_documentation_becomes_the_description() -> None:
    assert schema_of(domain.Memory, "guest")["description"] == crd.descriptions(domain.Memory)["guest"]


def test_schema_has_no_references() -> None:
    assert "$ref" not in msgspec.json.encode(crd.crds()).decode()


def test_template_metadata_with_a_null_creation_time_can_be_read() -> None:
    template = msgspec.json.decode(
        b'{"metadata": {"creationTimestamp": null, "labels": {"a": "b"}}}',
        type=machine.VirtualMachineInstanceTemplateSpec,
    )
    assert template.metadata is not None
    assert template.metadata.labels == {"a": "b"}


def test_types_resolve_their_annotations() -> None:
    for type in documented_types():
        assert set(get_type_hints(type)) >= set(type.__struct_fields__)
    assert kubevirt.VIRTUAL_MACHINES.group_resource == "virtualmachines.kubevirt.io"
