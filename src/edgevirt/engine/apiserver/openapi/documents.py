"""Assembles OpenAPI documents of both versions from served resources."""

from __future__ import annotations

from collections.abc import Iterable

from edgevirt.api.meta import DeleteOptions, Status
from edgevirt.engine.apiserver.openapi.paths import paths_of
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.schema import Json
from edgevirt.engine.apiserver.schema.builtin_facts import FIELD_TEXTS
from edgevirt.engine.apiserver.schema.builtin_openapi import definitions, described_reference, reference
from edgevirt.engine.apiserver.schema.builtin_types import LIST_META, META_V1, struct_type

PATCH = f"{META_V1}.Patch"

_SECURITY: Json = {
    "BearerToken": {
        "description": "Bearer Token authentication",
        "type": "apiKey",
        "name": "authorization",
        "in": "header",
    }
}


def group_path(group: str, version: str) -> str:
    """`api/v1` or `apis/GROUP/VERSION`."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def v3_document(resources: Iterable[ServedResource], version: str) -> Json:
    """The OpenAPI 3 document of one group version. `version` is the server's."""
    listed = list(resources)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": _paths(listed, 3),
        "components": {
            "schemas": _definitions(listed, 3),
            "securitySchemes": {
                "BearerToken": {
                    "type": "apiKey",
                    "description": "Bearer Token authentication",
                    "name": "authorization",
                    "in": "header",
                }
            },
        },
    }


def v2_document(resources: Iterable[ServedResource], version: str) -> Json:
    """The Swagger 2 document of everything served."""
    listed = list(resources)
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": _paths(listed, 2),
        "definitions": _definitions(listed, 2),
        "securityDefinitions": _SECURITY,
        "security": [{"BearerToken": []}],
    }


def _paths(resources: list[ServedResource], dialect: int) -> Json:
    paths: dict[str, Json] = {}
    for resource in resources:
        paths.update(paths_of(resource, dialect))
    return dict(sorted(paths.items()))


def _definitions(resources: list[ServedResource], dialect: int) -> dict[str, Json]:
    found = definitions(struct_type(Status), None, dialect)
    found.update(definitions(struct_type(DeleteOptions), None, dialect))
    found.update(definitions(LIST_META, None, dialect))
    found[PATCH] = {"type": "object", "description": "A patch in one of the accepted patch formats."}
    for resource in resources:
        schema = resource.schema
        _add(found, schema.openapi_v3() if dialect == 3 else schema.openapi_v2())
        if "list" in resource.verbs:
            found[list_name(resource)] = _list_definition(resource, dialect)
    return dict(sorted(found.items()))


def _add(found: dict[str, Json], more: dict[str, Json]) -> None:
    """Of two definitions of one name the one that is a kind of its own stays, such as a claim's template."""
    for name, definition in more.items():
        if name not in found or "x-kubernetes-group-version-kind" in definition:
            found[name] = definition


def list_name(resource: ServedResource) -> str:
    """Name of the definition of a resource's lists."""
    package = resource.schema.definition_name.rpartition(".")[0]
    return f"{package}.{resource.list_kind}"


def _list_definition(resource: ServedResource, dialect: int) -> Json:
    gvk = {"group": resource.group, "version": resource.version, "kind": resource.list_kind}
    return {
        "type": "object",
        "description": f"A list of {resource.kind} objects.",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": FIELD_TEXTS["apiVersion"]},
            "kind": {"type": "string", "description": FIELD_TEXTS["kind"]},
            "metadata": described_reference(LIST_META.definition, dialect, "Position and size of the list."),
            "items": {
                "type": "array",
                "description": FIELD_TEXTS["items"],
                "items": reference(resource.schema.definition_name, dialect),
            },
        },
        "x-kubernetes-group-version-kind": [gvk],
    }
