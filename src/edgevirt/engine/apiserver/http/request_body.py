"""Receiving a request body: within bounds of size and time, and noted for the audit log."""

from __future__ import annotations

import asyncio

from aiohttp import web

from edgevirt.engine.apiserver.errors import StatusError, bad_request, request_entity_too_large
from edgevirt.engine.apiserver.http.body import MAX_BYTES
from edgevirt.engine.apiserver.http.trail import trail_of

_BODY_SECONDS = 60.0


async def read_body(raw: web.BaseRequest) -> bytes:
    """The whole body, also noted for the audit log. Raises `StatusError` as `_received` does."""
    body = await _received(raw)
    trail = trail_of(raw)
    if trail.keeps_body:
        trail.body = body
    return body


async def _received(raw: web.BaseRequest) -> bytes:
    """Raises `StatusError` 413 beyond the limit and 408 for a client that stalls."""
    if not raw.body_exists:
        return b""
    length = raw.content_length
    if length is not None and length > MAX_BYTES:
        raise request_entity_too_large(MAX_BYTES)
    if raw.content.is_eof():
        # The usual case: a small body came with its head.
        body = raw.content.read_nowait()
        if len(body) > MAX_BYTES:
            raise request_entity_too_large(MAX_BYTES)
        return body
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while chunk := await raw.content.readany():
                size += len(chunk)
                if size > MAX_BYTES:
                    raise request_entity_too_large(MAX_BYTES)
                chunks.append(chunk)
    except TimeoutError:
        raise StatusError(408, "Timeout", "the request body did not arrive in time") from None
    except web.RequestPayloadError as error:
        raise bad_request(f"the request body cannot be read: {error}") from error
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
