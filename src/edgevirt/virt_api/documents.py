"""What the aggregated API says about itself: discovery, OpenAPI and version."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any, Final

from edgevirt.virt_api.registration import GROUP, VERSIONS

SERVED: Final = {
    "virtualmachines/start": ("update",),
    "virtualmachines/stop": ("update",),
    "virtualmachines/restart": ("update",),
    "virtualmachineinstances/console": ("get",),
}
"""Subresources that are implemented, and the verbs they take."""
_GO_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


def group() -> dict[str, Any]:
    """APIGroup of the aggregated API."""
    versions = [{"groupVersion": f"{GROUP}/{version}", "version": version} for version in VERSIONS]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": GROUP,
        "versions": versions,
        "preferredVersion": versions[0],
    }


def groups() -> dict[str, Any]:
    """APIGroupList with the one group."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group()]}


def resources(version: str) -> dict[str, Any]:
    """APIResourceList of one version."""
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{GROUP}/{version}",
        "resources": [
            {"name": name, "singularName": "", "namespaced": True, "kind": "", "verbs": list(verbs)}
            for name, verbs in SERVED.items()
        ],
    }


def openapi_v2() -> dict[str, Any]:
    """OpenAPI v2 of all versions."""
    paths = {path: item for version in VERSIONS for path, item in _paths(version, v3=False).items()}
    return {"swagger": "2.0", "info": _info(), "paths": paths, "definitions": {}}


def openapi_v3_index() -> dict[str, Any]:
    """Where the OpenAPI v3 document of each version is."""
    return {
        "paths": {
            f"apis/{GROUP}/{version}": {"serverRelativeURL": f"/openapi/v3/apis/{GROUP}/{version}"}
            for version in VERSIONS
        }
    }


def openapi_v3(version: str) -> dict[str, Any]:
    """OpenAPI v3 of one version."""
    return {"openapi": "3.0.0", "info": _info(), "paths": _paths(version, v3=True), "components": {}}


def version() -> dict[str, str]:
    """What `virtctl version` shows as the server's."""
    return {
        "gitVersion": f"v{software_version()}",
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": platform.python_implementation().lower(),
        "platform": f"linux/{_GO_ARCHITECTURES.get(platform.machine(), platform.machine())}",
    }


def software_version() -> str:
    """The version of this software; "0.0.0" when it runs from a tree that was never installed."""
    try:
        return importlib.metadata.version("edgevirt")
    except importlib.metadata.PackageNotFoundError:
        return "0.0.0"


def _info() -> dict[str, str]:
    return {"title": "edgevirt subresources", "version": software_version()}


def _paths(version: str, v3: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for served, verbs in SERVED.items():
        resource, _, subresource = served.partition("/")
        path = f"/apis/{GROUP}/{version}/namespaces/{{namespace}}/{resource}/{{name}}/{subresource}"
        kind = {"schema": {"type": "string"}} if v3 else {"type": "string"}
        found[path] = {
            "put" if verbs == ("update",) else "get": {
                "operationId": f"{version}{resource}{subresource}",
                "responses": {"202" if verbs == ("update",) else "101": {"description": "Accepted"}},
            },
            "parameters": [
                {"name": name, "in": "path", "required": True, **kind} for name in ("namespace", "name")
            ],
        }
    return found
