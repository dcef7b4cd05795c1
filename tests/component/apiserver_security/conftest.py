"""Real TLS servers for webhooks and aggregated APIs, with certificates of our own authority."""

from __future__ import annotations

import base64
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from edgevirt.engine.pki.authority import Authority, write_leaf

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "engine" / "auth"))

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Pki:
    """A serving authority, the front proxy's authority, and where their files are."""

    directory: Path
    serving: Authority
    front_proxy: Authority

    @property
    def bundle(self) -> str:
        return base64.b64encode(self.serving.cert_pem).decode()

    def server_context(self, *names: str, client_ca: Authority | None = None) -> ssl.SSLContext:
        leaf = self.serving.issue("server", dns=names, ips=("127.0.0.1",), server=True)
        certificate, key = write_leaf(self.directory, f"server-{'-'.join(names)}", leaf)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=client_ca.cert_pem.decode())
        return context

    def client_files(self, common_name: str, authority: Authority) -> tuple[Path, Path]:
        return write_leaf(self.directory, common_name, authority.issue(common_name, client=True))


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(
        tmp_path,
        Authority.load_or_create(tmp_path, "serving-ca", "serving-ca"),
        Authority.load_or_create(tmp_path, "front-proxy-ca", "front-proxy-ca"),
    )


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext, port: int = 0) -> AsyncIterator[int]:
    """Serves every path with `handler` on 127.0.0.1; yields the port."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=context)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@pytest.fixture
def serve() -> Callable[..., object]:
    return serving
