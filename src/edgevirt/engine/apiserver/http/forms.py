"""Answers in the form the client accepts: objects, tables or metadata only; JSON or YAML; pretty or not."""

from __future__ import annotations

import asyncio
import datetime
import functools
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import msgspec
from aiohttp import HttpVersion11, web
from multidict import CIMultiDict

from edgevirt.engine.apiserver.cluster import Cluster
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.http import compression
from edgevirt.engine.apiserver.http.negotiation import JSON, Accepted, Form
from edgevirt.engine.apiserver.http.options import is_true
from edgevirt.engine.apiserver.http.yaml_text import to_yaml
from edgevirt.engine.apiserver.objects import decode_json, encode_json
from edgevirt.engine.apiserver.reading import tables
from edgevirt.engine.apiserver.reading.read import Page, list_metadata, list_pieces
from edgevirt.engine.apiserver.reading.watch import Render
from edgevirt.engine.apiserver.registry import ServedResource

Json = dict[str, Any]

_PIECE_ENTRIES = 100
"""Table rows made at a time: about a millisecond's work."""


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

    async def page(
        self,
        request: web.BaseRequest,
        accepted: Accepted,
        resource: ServedResource,
        page: Page,
        warnings: list[str] | None = None,
    ) -> web.StreamResponse:
        """A list, sent in pieces when it is long."""
        if accepted.form is Form.OBJECT:
            return await _send(request, list_pieces(self._cluster, resource, page), accepted, warnings)
        metadata = list_metadata(resource, page)
        if not page.token:
            metadata.pop("continue", None)
        if accepted.form is Form.PARTIAL:
            document = tables.partial_metadata_list((), metadata)
            pieces = self._pieces(document, "items", resource, page, tables.partial_item)
        else:
            include, now = tables.check_include(request.query.get("includeObject", "")), self._now()
            document = tables.render(resource, (), include, list_metadata=metadata, now=now)
            row = tables.row_function(resource, include, now)
            pieces = self._pieces(document, "rows", resource, page, row)
        return await _send(request, pieces, accepted, warnings)

    def _pieces(
        self,
        document: Json,
        field: str,
        resource: ServedResource,
        page: Page,
        entry: Callable[[Json], Json],
    ) -> Iterator[bytes]:
        """`document` as JSON, with an entry for each record in its list `field`."""
        if not page.records:
            yield encode_json(document)
            return
        del document[field]
        parts = [encode_json(document)[:-1], f',"{field}":['.encode()]
        separator = b""
        for number, record in enumerate(page.records, 1):
            parts += (separator, encode_json(entry(self._cluster.object(resource, record))))
            separator = b","
            if number % _PIECE_ENTRIES == 0:
                yield b"".join(parts)
                parts = []
        parts.append(b"]}")
        yield b"".join(parts)

    def computed(
        self, request: web.BaseRequest, accepted: Accepted, resource: ServedResource, objects: list[Json]
    ) -> web.Response:
        """A list of objects that are not in the store."""
        if accepted.form is Form.OBJECT:
            head = {"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": {}}
            document: Json = {**head, "items": objects}
        elif accepted.form is Form.PARTIAL:
            document = tables.partial_metadata_list(objects, {})
        else:
            include = tables.check_include(request.query.get("includeObject", ""))
            document = tables.render(resource, objects, include, now=self._now())
        return respond(request, encode_json(document), accepted)

    def event_renderers(
        self, request: web.BaseRequest, accepted: Accepted, resource: ServedResource
    ) -> tuple[Render | None, Render | None]:
        """How a watch renders objects and bookmarks; None for as they are."""
        if accepted.form is Form.OBJECT:
            return None, None
        if accepted.form is Form.PARTIAL:
            return _partial, _partial
        include = tables.check_include(request.query.get("includeObject", ""))
        first = True

        def table(data: bytes) -> bytes:
            nonlocal first
            columns, first = first, False  # columns are told once per stream
            return _table(resource, data, include, columns, self._second())

        def bookmark(data: bytes) -> bytes:
            return _table(resource, data, "Metadata", first, self._second())

        return table, bookmark

    def _second(self) -> datetime.datetime:
        """Ages are told in seconds: within one, all watchers of an object see the same."""
        return self._now().replace(microsecond=0)


_SHARED = 64
"""Rendered events kept: watchers in the same form take them one after the other, a batch at a time."""
_SHARED_BYTES = 64 * 1024


def _partial(data: bytes) -> bytes:
    """An object's metadata as an event shows it."""
    return (_shared_partial if len(data) <= _SHARED_BYTES else _render_partial)(data)


def _render_partial(data: bytes) -> bytes:
    return encode_json(tables.partial_metadata(decode_json(data)))


def _table(
    resource: ServedResource, data: bytes, include: str, columns: bool, now: datetime.datetime
) -> bytes:
    """A table of one object as an event shows it, with or without the columns' definitions."""
    render = _shared_table if len(data) <= _SHARED_BYTES else _render_table
    return render(resource, data, include, columns, now)


def _render_table(
    resource: ServedResource, data: bytes, include: str, columns: bool, now: datetime.datetime
) -> bytes:
    document = decode_json(data)
    metadata = {"resourceVersion": document["metadata"].get("resourceVersion", "")}
    rendered = tables.render(resource, [document], include, list_metadata=metadata, now=now)
    if not columns:
        rendered["columnDefinitions"] = None
    return encode_json(rendered)


_shared_partial = functools.lru_cache(_SHARED)(_render_partial)
_shared_table = functools.lru_cache(_SHARED)(_render_table)


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
    headers = CIMultiDict(_YAML_HEADERS if accepted.yaml else _JSON_HEADERS)
    if warnings:
        _warn(headers, warnings)
    return web.Response(body=data, status=status, headers=headers)


def _warn(headers: CIMultiDict[str], warnings: list[str] | None) -> None:
    for value in warning_headers(warnings or ()):
        headers.add("Warning", value)


def warning_headers(warnings: Iterable[str]) -> list[str]:
    """The values of the Warning headers, each warning once."""
    values: list[str] = []
    for text in _fitting(dict.fromkeys(warnings)):
        escaped = _CONTROL.sub(" ", text.replace("\\", "\\\\").replace('"', '\\"'))
        values.append(f'299 - "{escaped}"')
    return values


_WARNINGS_LENGTH, _WARNING_LENGTH = 4096, 256


def _fitting(warnings: Iterable[str]) -> Iterator[str]:
    """Within what clients take as a head: all of them as they are, or cut, and as many as fit."""
    texts = list(warnings)
    if sum(map(len, texts)) > _WARNINGS_LENGTH:
        texts = [text[:_WARNING_LENGTH] for text in texts]
    room = _WARNINGS_LENGTH
    for text in texts:
        room -= len(text)
        if room < 0:
            return
        yield text


_CONTROL = re.compile("[\x00-\x1f\x7f]")
"""No header may hold these."""
_PLAIN_HEADERS = {"Cache-Control": "no-cache, private"}
_JSON_HEADERS: CIMultiDict[str] = CIMultiDict({**_PLAIN_HEADERS, "Content-Type": "application/json"})
_YAML_HEADERS: CIMultiDict[str] = CIMultiDict({**_PLAIN_HEADERS, "Content-Type": "application/yaml"})


async def _send(
    request: web.BaseRequest, pieces: Iterator[bytes], accepted: Accepted, warnings: list[str] | None
) -> web.StreamResponse:
    """One piece is an ordinary answer; of several each is made when the one before has been sent.

    So a long list neither lies in memory as a whole nor keeps the loop from other requests.
    """
    first = next(pieces)
    second = next(pieces, None)
    if second is None:
        return respond(request, first, accepted, warnings=warnings)
    if accepted.yaml or request.version < HttpVersion11 or is_true(request.query.get("pretty")):
        return respond(request, b"".join((first, second, *pieces)), accepted, warnings=warnings)
    response = web.StreamResponse(headers={**_PLAIN_HEADERS, "Content-Type": accepted.content_type})
    _warn(response.headers, warnings)
    response.enable_chunked_encoding()
    if compression.is_wanted(request):
        response.enable_compression(web.ContentCoding.gzip)
        response.headers["Vary"] = "Accept-Encoding"
    await response.prepare(request)
    for piece in chain((first, second), pieces):
        await response.write(piece)
        await asyncio.sleep(0)  # a write that need not wait would not let others in
    await response.write_eof()
    return response


def refuse(request: web.BaseRequest, error: StatusError, warnings: list[str] | None = None) -> web.Response:
    """The response for an error."""
    response = respond(request, encode_json(error.to_status()), JSON, error.code, warnings)
    details = error.details
    if details is not None and details.retry_after_seconds:
        response.headers["Retry-After"] = str(details.retry_after_seconds)
    if error.code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
