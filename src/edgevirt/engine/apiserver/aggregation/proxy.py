"""Forwarding a request to an aggregated API: bodies and watches are streamed, nothing is buffered.

The request is forwarded with the exact path that was authorised. Paths with empty or dot segments are
refused, because the other server might resolve them to something that was not.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.aggregation.endpoints import Target
from edgevirt.engine.apiserver.aggregation.failures import describe
from edgevirt.engine.apiserver.aggregation.headers import forwarded, returned
from edgevirt.engine.apiserver.aggregation.upgrade import HandshakeFailed, proxy_upgrade, wants_upgrade
from edgevirt.engine.apiserver.request import UserInfo

CONNECT_TIMEOUT = 10.0
_AMBIGUOUS = re.compile(r"(/|%2f)((\.|%2e){1,2})?(/|%2f)|(/|%2f)(\.|%2e){1,2}$", re.IGNORECASE)


class Backend:
    """Where to forward to: an address and the TLS context to use."""

    def __init__(self, target: Target, context: ssl.SSLContext) -> None:
        self.target = target
        self.context = context


def may_be_forwarded(path: str) -> bool:
    """False for a path another server could read as a different one: `//`, `/./`, `/../`, or encoded so."""
    return not _AMBIGUOUS.search(path.partition("?")[0])


def unavailable(text: str = "service unavailable") -> web.Response:
    """503 as plain text, which is what a real aggregator answers for a service that is down."""
    return web.Response(
        status=503, text=f"{text}\n", content_type="text/plain", headers={"X-Content-Type-Options": "nosniff"}
    )


async def proxy(
    request: web.Request,
    user: UserInfo,
    backend: Backend,
    session: aiohttp.ClientSession,
    on_failure: Callable[[], None],
) -> web.StreamResponse:
    """Answers `request` with what the backend says. `on_failure` is called if it cannot be reached.

    Raises StatusError 400 for a path that must not be forwarded.
    """
    # What was authorised, and not the request's target, which may hold a host or a fragment as well.
    path = request.rel_url.raw_path
    if request.rel_url.raw_query_string:
        path += f"?{request.rel_url.raw_query_string}"
    if not may_be_forwarded(path):
        raise errors.bad_request("the path must not contain empty, . or .. segments")
    upgrade = wants_upgrade(request.headers)
    headers = forwarded(request.headers, user, request.remote or "", upgrade)
    try:
        if upgrade:
            return await proxy_upgrade(request, backend.target, backend.context, path, headers)
        return await _stream(request, backend, path, headers, session)
    except (aiohttp.ClientError, OSError, ssl.SSLError, HandshakeFailed) as error:
        on_failure()
        return unavailable(f"error trying to reach service: {describe(error)}")


async def _stream(
    request: web.Request,
    backend: Backend,
    path: str,
    headers: CIMultiDict[str],
    session: aiohttp.ClientSession,
) -> web.StreamResponse:
    target = backend.target
    url = URL(f"https://{_bracketed(target.host)}:{target.port}{path}", encoded=True)
    async with session.request(
        request.method,
        url,
        data=request.content if request.body_exists else None,
        headers=headers,
        ssl=backend.context,
        server_hostname=target.server_name,
        allow_redirects=False,
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    ) as answer:
        response = web.StreamResponse(
            status=answer.status, reason=answer.reason, headers=returned(answer.headers)
        )
        await response.prepare(request)
        try:
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
        except (aiohttp.ClientError, OSError):
            # Either side broke off in the middle of the body. All that can still be said to the client is
            # that the body is not complete, by ending the connection without the closing chunk.
            if request.transport is not None:
                request.transport.abort()
        return response


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
