"""Our schemas against KubeVirt's, field by field. Needs EDGEVIRT_REFERENCE, the folder with its schemas."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from edgevirt.api import compatibility, crd
from edgevirt.api.kubevirt.instance import VirtualMachineInstanceSpec, VirtualMachineInstanceStatus

REFERENCE = os.environ.get("EDGEVIRT_REFERENCE", "")

pytestmark = [
    pytest.mark.unit,
    pytest.mark.skipif(not REFERENCE, reason="EDGEVIRT_REFERENCE is not set"),
]

_WIDTHS = {"int32", "int64", "float", "byte"}  # JSON knows one kind of number


def facts(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What a schema says about its own value, without words and without its members."""
    kept = {
        key: sorted(value) if key in ("required", "enum") else value
        for key, value in schema.items()
        if key
        not in ("properties", "items", "additionalProperties", "description", "x-kubernetes-validations")
    }
    if kept.get("format") in _WIDTHS:
        del kept["format"]
    return kept


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], path: str) -> Iterator[str]:
    if facts(ours) != facts(theirs):
        yield f"{path}: {facts(ours)} instead of {facts(theirs)}"
    left, right = ours.get("properties", {}), theirs.get("properties", {})
    for name in sorted({*left, *right}):
        if name not in left:
            yield f"{path}.{name}: missing"
        elif name not in right:
            yield f"{path}.{name}: unknown there"
        else:
            yield from differences(left[name], right[name], f"{path}.{name}")
    for below in ("items", "additionalProperties"):
        if below in ours or below in theirs:
            yield from differences(ours.get(below, {}), theirs.get(below, {}), f"{path}[]")


def reference(plural: str) -> dict[str, Any]:
    path = Path(REFERENCE) / "schema" / "crds" / f"{plural}.kubevirt.io.json"
    crd: dict[str, Any] = json.loads(path.read_text())
    return crd


@pytest.mark.parametrize("ours", crd.crds(), ids=lambda each: each["metadata"]["name"])
def test_schema_has_the_same_fields_types_enums_and_required_members(ours: dict[str, Any]) -> None:
    theirs = reference(ours["spec"]["names"]["plural"])
    mine, other = (each["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for each in (ours, theirs))
    assert list(differences(mine, other, "")) == []


@pytest.mark.parametrize("ours", crd.crds(), ids=lambda each: each["metadata"]["name"])
def test_names_columns_and_subresources_are_the_same(ours: dict[str, Any]) -> None:
    theirs = reference(ours["spec"]["names"]["plural"])
    for key in ("kind", "plural", "singular", "shortNames", "categories"):
        assert ours["spec"]["names"][key] == theirs["spec"]["names"][key]
    assert ours["spec"]["scope"] == theirs["spec"]["scope"]
    for mine, other in zip(ours["spec"]["versions"], theirs["spec"]["versions"], strict=True):
        for key in ("name", "served", "storage", "deprecated", "subresources", "additionalPrinterColumns"):
            assert mine.get(key) == other.get(key), key


def test_the_instance_has_all_its_fields() -> None:
    assert len(compatibility.leaf_paths(VirtualMachineInstanceSpec)) == 370
    assert len(compatibility.leaf_paths(VirtualMachineInstanceStatus)) == 174
