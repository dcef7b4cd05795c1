"""Fixtures for schema, discovery, OpenAPI and table tests: a small registry and recorded answers."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from edgevirt.api import resources
from edgevirt.api.meta import Resource
from edgevirt.engine.apiserver.registry import Registry, ServedResource, WriteContext
from edgevirt.engine.apiserver.schema.builtin import builtin_schema
from edgevirt.engine.apiserver.schema.builtin_columns import builtin_columns

Json = dict[str, Any]


class NoStrategy:
    """A strategy that adds nothing."""

    def prepare_for_create(self, obj: Json, context: WriteContext) -> None:
        return None

    def prepare_for_update(self, obj: Json, old: Json, context: WriteContext) -> None:
        return None

    def validate(self, obj: Json, old: Json | None) -> list[Any]:
        return []

    def field_labels(self, obj: Json) -> dict[str, str]:
        return {}


def serve(resource: Resource[Any], **more: Any) -> ServedResource:
    return ServedResource(
        group=resource.group,
        version=resource.version,
        plural=resource.plural,
        singular=resource.kind.lower(),
        kind=resource.kind,
        list_kind=f"{resource.kind}List",
        namespaced=resource.namespaced,
        schema=builtin_schema(resource.type, resource.group, resource.version, resource.kind),
        strategy=NoStrategy(),
        storage_prefix=f"/{resource.plural}/",
        columns=builtin_columns(resource.group, resource.plural),
        **more,
    )


@pytest.fixture(scope="session")
def strategy() -> NoStrategy:
    return NoStrategy()


@pytest.fixture(scope="session")
def pods() -> ServedResource:
    return serve(resources.PODS, short_names=("po",), subresources=frozenset({"status", "eviction", "exec"}))


@pytest.fixture
def registry(pods: ServedResource) -> Registry:
    return Registry(
        [
            pods,
            serve(resources.CONFIG_MAPS, short_names=("cm",)),
            serve(resources.NODES),
            serve(
                resources.CUSTOM_RESOURCE_DEFINITIONS,
                short_names=("crd", "crds"),
                categories=("api-extensions",),
            ),
            serve(resources.LEASES),
            serve(resources.ROLES),
        ]
    )


@pytest.fixture(scope="session")
def served() -> Callable[..., ServedResource]:
    return serve


@pytest.fixture(scope="session")
def recording() -> Callable[[str], Json]:
    """Loads a recorded scenario by its number; skips when the recordings are not at hand."""
    reference = os.environ.get("EDGEVIRT_REFERENCE")
    if not reference:
        pytest.skip("EDGEVIRT_REFERENCE is not set")
    folder = pathlib.Path(reference) / "kubernetes" / "recordings"

    def load(number: str) -> Json:
        (path,) = folder.glob(f"{number}-*.json")
        found: Json = json.loads(path.read_text())
        return found

    return load


@pytest.fixture
def widget() -> Json:
    """A valid definition with most of what a definition can have."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {
                "plural": "widgets",
                "singular": "widget",
                "kind": "Widget",
                "listKind": "WidgetList",
                "shortNames": ["wd"],
                "categories": ["all"],
            },
            "conversion": {"strategy": "None"},
            "versions": [
                {
                    "name": "v1beta1",
                    "served": True,
                    "storage": False,
                    "deprecated": True,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                },
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {
                        "status": {},
                        "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
                    },
                    "selectableFields": [{"jsonPath": ".spec.color"}],
                    "additionalPrinterColumns": [
                        {"name": "Color", "type": "string", "jsonPath": ".spec.color"}
                    ],
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "spec": {
                                    "type": "object",
                                    "properties": {
                                        "color": {"type": "string", "enum": ["red", "blue"]},
                                        "size": {"type": "integer", "default": 1},
                                        "port": {"x-kubernetes-int-or-string": True},
                                        "note": {"type": "string", "nullable": True},
                                    },
                                },
                                "status": {
                                    "type": "object",
                                    "x-kubernetes-preserve-unknown-fields": True,
                                },
                            },
                        }
                    },
                },
            ],
        },
    }
