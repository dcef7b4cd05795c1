"""From a CustomResourceDefinition to the resources it serves.

The definition must have passed `crd_rules.validate_crd`. Names come from `spec.names`; whoever registers the
resources has settled conflicts with other definitions before and writes the conditions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgevirt.engine.apiserver.registry import Column, Scale, ServedResource, Strategy
from edgevirt.engine.apiserver.schema import Json
from edgevirt.engine.apiserver.schema.structural import StructuralSchema

if TYPE_CHECKING:
    from edgevirt.engine.apiserver.conversion import Converter

AGE = Column("Age", type="date", json_path=".metadata.creationTimestamp", description="Time since creation.")
NAME = Column("Name", format="name", json_path=".metadata.name", description="Name of the object.")


def served_resources(
    crd: Json, strategy: Strategy, storage_prefix: str, converter: Converter | None = None
) -> list[ServedResource]:
    """One resource per served version, the preferred version first (GA before beta before alpha)."""
    spec = crd["spec"]
    names = spec["names"]
    keep_all = bool(spec.get("preserveUnknownFields"))
    versions = sorted(spec["versions"], key=lambda version: version_order(version["name"]))
    served: list[ServedResource] = []
    for version in versions:
        if not version.get("served"):
            continue
        subresources = version.get("subresources") or {}
        served.append(
            ServedResource(
                group=spec["group"],
                version=version["name"],
                plural=names["plural"],
                singular=names.get("singular") or names["kind"].lower(),
                kind=names["kind"],
                list_kind=names.get("listKind") or f"{names['kind']}List",
                namespaced=spec["scope"] == "Namespaced",
                schema=_schema(version, spec["group"], names["kind"], keep_all),
                strategy=strategy,
                storage_prefix=storage_prefix,
                converter=converter,
                short_names=tuple(names.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                subresources=frozenset(
                    name for name in ("status", "scale") if subresources.get(name) is not None
                ),
                columns=_columns(version),
                storage_version=bool(version.get("storage")),
                deprecated_warning=_deprecation(version, spec["group"], names["kind"]),
                selectable_fields=frozenset(
                    entry["jsonPath"].removeprefix(".") for entry in version.get("selectableFields") or ()
                ),
                scale=_scale(subresources.get("scale")),
                custom=True,
                generation=True,
            )
        )
    return served


def _schema(version: Json, group: str, kind: str, keep_all: bool) -> StructuralSchema:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is not None and keep_all:
        schema = {**schema, "x-kubernetes-preserve-unknown-fields": True}
    return StructuralSchema(schema, group, version["name"], kind)


def _columns(version: Json) -> tuple[Column, ...]:
    """The name, then the columns of the definition, or the age if it has none."""
    declared = version.get("additionalPrinterColumns") or ()
    columns = [
        Column(
            name=entry["name"],
            type=entry["type"],
            format=entry.get("format") or "",
            description=entry.get("description")
            or f"Custom resource definition column (in JSONPath format): {entry['jsonPath']}",
            priority=entry.get("priority") or 0,
            json_path=entry["jsonPath"],
        )
        for entry in declared
    ]
    return (NAME, *columns) if columns else (NAME, AGE)


def _scale(declared: Any) -> Scale | None:
    if not isinstance(declared, dict):
        return None
    return Scale(
        spec_replicas_path=declared["specReplicasPath"],
        status_replicas_path=declared["statusReplicasPath"],
        label_selector_path=declared.get("labelSelectorPath") or "",
    )


def _deprecation(version: Json, group: str, kind: str) -> str:
    if not version.get("deprecated"):
        return ""
    return version.get("deprecationWarning") or f"{group}/{version['name']} {kind} is deprecated"


def version_order(name: str) -> tuple[int, int, int, str]:
    """Sort key that puts the preferred version first: v2, v1, v1beta2, v1beta1, v1alpha1, then the rest."""
    rank = {"": 0, "beta": 1, "alpha": 2}
    for stability in ("alpha", "beta", ""):
        major, found, minor = (
            name.removeprefix("v").partition(stability) if stability else (name[1:], "", "0")
        )
        if name.startswith("v") and major.isdecimal() and (found or not stability) and minor.isdecimal():
            return rank[stability], -int(major), -int(minor), ""
    return 3, 0, 0, name
