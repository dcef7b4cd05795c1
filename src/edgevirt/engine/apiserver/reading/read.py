"""Listing: bytes from memory, joined, without decoding unless a table or selector needs it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgevirt.engine.apiserver.cluster import Cluster
from edgevirt.engine.apiserver.errors import (
    bad_request,
    expired,
    too_large_resource_version,
)
from edgevirt.engine.apiserver.http.json_syntax import parse_json
from edgevirt.engine.apiserver.http.options import ListOptions
from edgevirt.engine.apiserver.objects import as_version, encode_json
from edgevirt.engine.apiserver.reading.selectors import Selector
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.store.errors import Compacted
from edgevirt.engine.store.records import Record


@dataclass(frozen=True, slots=True)
class Page:
    """The result of a list: records in key order and what the list's metadata says."""

    records: list[Record]
    revision: int
    token: str = ""
    remaining: int = 0


async def list_records(
    cluster: Cluster, resource: ServedResource, namespace: str, options: ListOptions, selector: Selector
) -> Page:
    """Raises `StatusError` 400, 410 or 504."""
    store, collection = cluster.store, cluster.collection(resource)
    prefix, current = resource.prefix(namespace), store.revision
    after, revision = _start(options, current)
    exact = _exact_key(resource, namespace, selector)
    if exact is not None and revision == current:
        record = collection.get(exact)
        found = [record] if record is not None and selector.matches(record, resource) else []
        return Page(found, revision)
    unlimited = options.resource_version == 0 and not options.continue_token
    limit = 0 if unlimited else options.limit
    # Nothing is awaited until the records are collected, so the state cannot change underneath.
    if revision == current or collection.revision <= revision:
        if limit and selector.empty:
            found, remaining = collection.page(prefix, after, limit)
            token = _write_token(found[-1].key, revision) if remaining else ""
            return Page(found, revision, token, remaining)
        candidates = list(collection.scan(prefix, after))
    else:
        try:
            candidates = store.snapshot(collection, prefix, revision)
        except Compacted as error:
            raise _expired_list(options, after, current) from error
        if after:
            candidates = [record for record in candidates if record.key > after]
    if not selector.empty:
        return await _matching(candidates, resource, selector, limit, revision)
    if limit and len(candidates) > limit:
        page = candidates[:limit]
        return Page(page, revision, _write_token(page[-1].key, revision), len(candidates) - limit)
    return Page(candidates, revision)


def _start(options: ListOptions, current: int) -> tuple[str, int]:
    """After which key, and at which revision. Raises `StatusError` 400 or 504."""
    if options.continue_token:
        return _read_token(options.continue_token, current)
    if not options.resource_version:
        return "", current
    if options.resource_version > current:
        raise too_large_resource_version(options.resource_version, current)
    exact = options.match == "Exact" or (options.limit and options.match != "NotOlderThan")
    return "", options.resource_version if exact else current


_MATCHED_AT_ONCE = 500
"""Records looked at before others get their turn: labels are decoded the first time they are asked for."""


async def _matching(
    candidates: list[Record], resource: ServedResource, selector: Selector, limit: int, revision: int
) -> Page:
    matching: list[Record] = []
    for number, record in enumerate(candidates, 1):
        if selector.matches(record, resource):
            if limit and len(matching) == limit:
                return Page(matching, revision, _write_token(matching[-1].key, revision))
            matching.append(record)
        if number % _MATCHED_AT_ONCE == 0:
            await asyncio.sleep(0)  # matching a long list does not keep others waiting
    return Page(matching, revision)


def _exact_key(resource: ServedResource, namespace: str, selector: Selector) -> str | None:
    """The only key that can match, if the request names one object."""
    name = selector.exact("metadata.name")
    if name is None:
        return None
    if not resource.namespaced:
        return name
    chosen = namespace or selector.exact("metadata.namespace")
    return f"{chosen}/{name}" if chosen else None


def _write_token(key: str, revision: int) -> str:
    document = {"v": "meta.k8s.io/v1", "rv": revision, "start": key}
    return base64.urlsafe_b64encode(encode_json(document)).decode().rstrip("=")


def _read_token(token: str, current: int) -> tuple[str, int]:
    try:
        document: Any = parse_json(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        start, revision = document["start"], document["rv"]
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request(f"invalid continue token: continue key is not valid: {error}") from error
    if not isinstance(start, str) or not isinstance(revision, int):
        raise bad_request("invalid continue token: continue key is not valid: incorrect encoded start key")
    if revision == -1 or revision > current:
        revision = current
    return start, revision


def _expired_list(options: ListOptions, after: str, current: int) -> Exception:
    if not options.continue_token:
        return expired(f"The resourceVersion for the provided list is too old: {options.resource_version}")
    error = expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new "
        "list without the continue parameter, or use the continue token in this response to retrieve the "
        "remainder of the results. Continuing with the provided token results in an "
        "inconsistent list - objects "
        "that were created, modified, or deleted between the time the first chunk was returned "
        "and now may show "
        "up in the list."
    )
    error.list_continue = _write_token(after, -1)
    return error


PIECE_BYTES = 128 * 1024
"""How much of a list is put together at a time; other requests get their turn in between."""


def list_metadata(resource: ServedResource, page: Page) -> dict[str, Any]:
    """What a list says of itself."""
    metadata: dict[str, Any] = {"resourceVersion": str(page.revision)}
    if page.token:
        metadata["continue"] = page.token
        if page.remaining:
            metadata["remainingItemCount"] = page.remaining
    elif resource.custom:
        metadata["continue"] = ""
    return metadata


def list_pieces(cluster: Cluster, resource: ServedResource, page: Page) -> Iterator[bytes]:
    """The list as JSON, joined from the stored bytes, in pieces of about `PIECE_BYTES`."""
    head = {
        "kind": resource.list_kind,
        "apiVersion": resource.api_version,
        "metadata": list_metadata(resource, page),
    }
    parts = [encode_json(head)[:-1], b',"items":[']
    size, separator = 0, b""
    for item in items(cluster, resource, page.records):
        parts += (separator, item)
        separator = b","
        size += len(item)
        if size >= PIECE_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    parts.append(b"]}")
    yield b"".join(parts)


def items(cluster: Cluster, resource: ServedResource, records: list[Record]) -> Iterator[bytes]:
    """Each record as a list item: built-in kinds without their type, custom ones with it."""
    prefix = cluster.prefix(resource)
    if resource.custom:
        return (as_version(record.data, prefix) for record in records)
    skip = len(prefix)
    return (
        b"{"
        + (record.data[skip:] if record.data.startswith(prefix) else as_version(record.data, prefix)[skip:])
        for record in records
    )
