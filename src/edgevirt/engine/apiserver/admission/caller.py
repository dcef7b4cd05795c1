"""One HTTPS call to a webhook, of admission or conversion: keep-alive, verified TLS, a deadline, a bounded
answer.

Failures are worded as a Go client words them, because that is what people search for when admission of
everything they try fails.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import aiohttp
from yarl import URL

from edgevirt.engine.apiserver.aggregation.endpoints import ServiceDirectory, Unresolved
from edgevirt.engine.apiserver.aggregation.failures import describe
from edgevirt.engine.apiserver.aggregation.trust import BadBundle, TrustStore
from edgevirt.engine.apiserver.conversion import NotConverted

MAX_ANSWER = 8 * 1024 * 1024
_KEEP_ALIVE = 90.0
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}


class Address(Protocol):
    """A service in the cluster, as a client configuration names it."""

    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def path(self) -> str: ...


class Callee(Protocol):
    """Who is called: at a URL or at a service, trusted by a CA bundle, for so many seconds."""

    @property
    def url(self) -> str: ...
    @property
    def service(self) -> Address | None: ...
    @property
    def ca_bundle(self) -> str: ...
    @property
    def timeout(self) -> int: ...


class CallFailed(Exception):
    """The webhook could not be asked; `str()` goes into the client's message."""


class WebhookCaller:
    """Calls webhooks through one session. Close it when done."""

    def __init__(self, directory: ServiceDirectory, trust: TrustStore) -> None:
        self._directory = directory
        self._trust = trust
        self._session: aiohttp.ClientSession | None = None

    async def call(self, webhook: Callee, body: bytes) -> bytes:
        """Posts an AdmissionReview and returns the raw answer. Raises CallFailed."""
        shown = f"{_shown_url(webhook)}?timeout={webhook.timeout}s"
        try:
            async with asyncio.timeout(webhook.timeout):
                try:
                    return await self._post(webhook, body)
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionResetError):
                    # The server closed an idle kept-alive connection just as we used it. Webhooks must
                    # tolerate being asked twice, so asking again is safe.
                    return await self._post(webhook, body)
        except TimeoutError as error:
            raise CallFailed(f'failed to call webhook: Post "{shown}": context deadline exceeded') from error
        except (aiohttp.ClientError, OSError, ssl.SSLError, Unresolved, BadBundle) as error:
            raise CallFailed(f'failed to call webhook: Post "{shown}": {describe(error)}') from error

    async def post(self, endpoint: Callee, body: bytes) -> bytes:
        """Posts a ConversionReview and returns the raw answer. Raises NotConverted."""
        try:
            return await self.call(endpoint, body)
        except CallFailed as error:
            raise NotConverted(str(error).removeprefix("failed to call webhook: ")) from error

    async def close(self) -> None:
        """Closes the connections kept open."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, webhook: Callee, body: bytes) -> bytes:
        if self._session is None:
            connector = aiohttp.TCPConnector(keepalive_timeout=_KEEP_ALIVE, limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # nothing small becomes large in here
            )
        url, server_name = self._place(webhook)
        context = self._trust.context(webhook.ca_bundle)
        async with (
            self._session.post(
                url.update_query(timeout=f"{webhook.timeout}s"),
                data=body,
                headers=_HEADERS,
                ssl=context,
                server_hostname=server_name,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None),
            ) as response,
            _bounded(response) as answer,
        ):
            if response.status != 200:
                raise CallFailed(f"failed to call webhook: {_http_failure(response.status, answer)}")
            return answer

    def _place(self, webhook: Callee) -> tuple[URL, str | None]:
        if webhook.service is None:
            return URL(webhook.url), None
        service = webhook.service
        target = self._directory.resolve(service.namespace, service.name, service.port)
        path = "/" + service.path.lstrip("/")
        return URL.build(scheme="https", host=target.host, port=target.port, path=path), target.server_name


@asynccontextmanager
async def _bounded(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The whole body, never more than MAX_ANSWER."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_ANSWER:
            raise CallFailed(f"failed to call webhook: the response is larger than {MAX_ANSWER} bytes")
        chunks.append(chunk)
    yield b"".join(chunks)


def _shown_url(webhook: Callee) -> str:
    if webhook.service is None:
        return webhook.url
    service = webhook.service
    return f"https://{service.name}.{service.namespace}.svc:{service.port}/{service.path.lstrip('/')}"


def _http_failure(status: int, body: bytes) -> str:
    if status == 404:
        return "the server could not find the requested resource"
    text = body[:2048].decode(errors="replace").strip()
    if not text:
        text = f"HTTP status {status}"
    return f'an error on the server ("{text}") has prevented the request from succeeding'
