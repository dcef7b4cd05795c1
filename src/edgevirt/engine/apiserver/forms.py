"""Answers in the form the client accepts: objects, tables or metadata only; JSON or YAML; pretty or not."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from edgevirt.engine.apiserver import tables
from edgevirt.engine.apiserver.cluster import Cluster
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.negotiation import JSON, Accepted, Form
from edgevirt.engine.apiserver.objects import decode_json, encode_json
from edgevirt.engine.apiserver.options import is_true
from edgevirt.engine.apiserver.read import Page, list_body
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.watch import Render
from edgevirt.engine.apiserver.yaml_text import to_yaml


class Answers:
    """Renders bytes and records for one accepted form."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self._cluster.clock(), datetime.UTC)

    def object(
        self,
        request: web.BaseRequest,
        accepted: Accepted,
        resource: ServedResource,
        data: bytes,
        status: int = 200,
        warnings: list[str] | None = None,
    ) -> web.Response:
        """One object, given as JSON in the resource's version."""
        if accepted.form is not Form.OBJECT and not data.startswith(b'{"kind":"Status"'):
            data = self._formed(request, accepted, resource, data)
        return respond(request, data, accepted, status, warnings)

    def _formed(
        self, request: web.BaseRequest, accepted: Accepted, resource: ServedResource, data: bytes
    ) -> bytes:
        document = decode_json(data)
        if accepted.form is Form.PARTIAL:
            return encode_json(tables.partial_metadata(document))
        include = tables.check_include(request.query.get("includeObject", ""))
        metadata = {"resourceVersion": document["metadata"].get("resourceVersion", "")}
        return encode_json(
            tables.render(resource, [document], include, list_metadata=metadata, now=self._now())
        )

    def page(
        self, request: web.BaseRequest, accepted: Accepted, resource: ServedResource, page: Page
    ) -> web.Response:
        if accepted.form is Form.OBJECT:
            return respond(request, list_body(self._cluster, resource, page), accepted)
        metadata: dict[str, Any] = {"resourceVersion": str(page.revision)}
        if page.token:
            metadata["continue"] = page.token
            if page.remaining:
                metadata["remainingItemCount"] = page.remaining
        objects = [self._cluster.object(resource, record) for record in page.records]
        if accepted.form is Form.PARTIAL:
            document = tables.partial_metadata_list(objects, metadata)
        else:
            include = tables.check_include(request.query.get("includeObject", ""))
            document = tables.render(resource, objects, include, list_metadata=metadata, now=self._now())
        return respond(request, encode_json(document), accepted)

    def event_renderers(
        self, request: web.BaseRequest, accepted: Accepted, resource: ServedResource
    ) -> tuple[Render | None, Render | None]:
        """How a watch renders objects and bookmarks; None for as they are."""
        if accepted.form is Form.OBJECT:
            return None, None
        if accepted.form is Form.PARTIAL:

            def partial(data: bytes) -> bytes:
                return encode_json(tables.partial_metadata(decode_json(data)))

            return partial, partial
        include = tables.check_include(request.query.get("includeObject", ""))
        first = True

        def table(data: bytes) -> bytes:
            nonlocal first
            document = decode_json(data)
            metadata = {"resourceVersion": document["metadata"].get("resourceVersion", "")}
            rendered = tables.render(resource, [document], include, list_metadata=metadata, now=self._now())
            if not first:
                # Columns are told once per stream.
                rendered["columnDefinitions"] = None
            first = False
            return encode_json(rendered)

        def bookmark(data: bytes) -> bytes:
            document = decode_json(data)
            metadata = {"resourceVersion": document["metadata"].get("resourceVersion", "")}
            rendered = tables.render(
                resource, [document], "Metadata", list_metadata=metadata, now=self._now()
            )
            if not first:
                rendered["columnDefinitions"] = None
            return encode_json(rendered)

        return table, bookmark


def respond(
    request: web.BaseRequest,
    data: bytes,
    accepted: Accepted = JSON,
    status: int = 200,
    warnings: list[str] | None = None,
) -> web.Response:
    """The response for a JSON body, rewritten as YAML or indented if the client wants it."""
    if accepted.yaml:
        data = to_yaml(decode_json(data))
    elif request.query_string and is_true(request.query.get("pretty")):
        data = msgspec.json.format(data, indent=2)
    headers: CIMultiDict[str] = CIMultiDict(_PLAIN_HEADERS)
    headers["Content-Type"] = accepted.content_type
    for text in dict.fromkeys(warnings or ()):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ").replace("\r", " ")
        headers.add("Warning", f'299 - "{escaped}"')
    return web.Response(body=data, status=status, headers=headers)


_PLAIN_HEADERS = {"Cache-Control": "no-cache, private"}


def refuse(request: web.BaseRequest, error: StatusError, warnings: list[str] | None = None) -> web.Response:
    """The response for an error."""
    response = respond(request, encode_json(error.to_status()), JSON, error.code, warnings)
    details = error.details
    if details is not None and details.retry_after_seconds:
        response.headers["Retry-After"] = str(details.retry_after_seconds)
    if error.code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
