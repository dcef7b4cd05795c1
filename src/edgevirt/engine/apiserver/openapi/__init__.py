"""The OpenAPI documents of this server.

`OpenApi` keeps them until the registry changes and builds them on first request afterwards: one version 3
document per group version behind an index with content hashes, and one version 2 document, as JSON and as
the protobuf form that older clients insist on.
"""

from __future__ import annotations

import hashlib

import msgspec

from edgevirt.engine.apiserver.discovery import Document
from edgevirt.engine.apiserver.openapi import swagger_protobuf
from edgevirt.engine.apiserver.openapi.documents import group_path, v2_document, v3_document
from edgevirt.engine.apiserver.registry import Registry
from edgevirt.engine.apiserver.schema import Json

PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_ASKED_FOR = ("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", PROTOBUF)
"""What clients ask for: the older name has an @ that is no valid media type, so it is never answered."""


def wants_protobuf(accept: str) -> bool:
    """Whether an Accept header asks for the protobuf form of version 2 before JSON."""
    for clause in accept.split(","):
        media = clause.partition(";")[0].strip().lower()
        if media in _ASKED_FOR:
            return True
        if media in ("application/json", "*/*"):
            return False
    return False


class OpenApi:
    """Answers `/openapi/v2` and `/openapi/v3`. Used on the event loop only."""

    def __init__(self, registry: Registry, version: str) -> None:
        """`version` is the Kubernetes version the documents name, such as 1.36."""
        self._registry = registry
        self._version = version
        self._generation = -1
        self._documents: dict[str, Document] = {}
        self._swagger: Json | None = None

    def v3_index(self) -> Document:
        """`/openapi/v3`: the paths of all group version documents, each with its hash."""
        self._forget_outdated()
        if "" not in self._documents:
            paths: dict[str, Json] = {}
            for group, versions in sorted(self._registry.groups().items()):
                for version in sorted(versions):
                    path = group_path(group, version)
                    document = self._v3(group, version)
                    digest = document.etag.strip('"')
                    paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
            self._documents[""] = _document({"paths": paths}, "text/plain; charset=utf-8")
        return self._documents[""]

    def v3_group_version(self, path: str) -> Document | None:
        """`/openapi/v3/PATH` with PATH such as `api/v1` or `apis/apps/v1`; None if it is not served."""
        self._forget_outdated()
        for group, versions in self._registry.groups().items():
            for version in versions:
                if group_path(group, version) == path.strip("/"):
                    return self._v3(group, version)
        return None

    def v2_json(self) -> Document:
        """`/openapi/v2` as JSON."""
        self._forget_outdated()
        if "v2 json" not in self._documents:
            self._documents["v2 json"] = _document(self._v2(), "application/json")
        return self._documents["v2 json"]

    def v2_protobuf(self) -> Document:
        """`/openapi/v2` as gnostic's openapi.v2.Document."""
        self._forget_outdated()
        if "v2 protobuf" not in self._documents:
            body = swagger_protobuf.encode(self._v2())
            self._documents["v2 protobuf"] = Document(body, _etag(body), PROTOBUF)
        return self._documents["v2 protobuf"]

    def _forget_outdated(self) -> None:
        if self._generation != self._registry.generation:
            self._documents.clear()
            self._swagger = None
            self._generation = self._registry.generation

    def _v3(self, group: str, version: str) -> Document:
        path = group_path(group, version)
        found = self._documents.get(path)
        if found is None:
            resources = [r for r in self._registry.list() if r.group == group and r.version == version]
            content = v3_document(resources, self._version)
            found = self._documents[path] = _document(content, "application/json")
        return found

    def _v2(self) -> Json:
        if self._swagger is None:
            self._swagger = v2_document(self._registry.list(), self._version)
        return self._swagger


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha512(body).hexdigest().upper()}"'


def _document(content: Json, content_type: str) -> Document:
    body = msgspec.json.encode(content)
    return Document(body, _etag(body), content_type)
