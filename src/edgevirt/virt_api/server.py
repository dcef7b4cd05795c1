"""The process part of virt-api: TLS, the webhook endpoint, and everything wired together."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import ssl
import uuid
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from aiohttp import web

from edgevirt.api.core import ConfigMap
from edgevirt.api.kubevirt import KUBEVIRTS
from edgevirt.api.resources import CONFIG_MAPS
from edgevirt.kube.client import Client
from edgevirt.kube.clock import SystemClock, timestamp
from edgevirt.kube.tls import CurrentContext
from edgevirt.virt_api import admission, console
from edgevirt.virt_api.accounts import Accounts
from edgevirt.virt_api.admission import AdmissionAnswer, AdmissionReview, Handler
from edgevirt.virt_api.defaults import Source
from edgevirt.virt_api.subresources import Subresources

_MAX_REVIEW: Final = 8 * 1024 * 1024
"""Bytes; a review holds the old and the new object, each at most 3 MiB in an API server."""
_SHUTDOWN_SECONDS: Final = 5.0

_log = logging.getLogger("edgevirt.virt_api")


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What virt-api is told to run."""

    kubeconfig: Path
    tls_cert: Path
    tls_key: Path
    handler_ca: Path
    """Authority of virt-handler's serving certificates."""
    handler_client_cert: Path
    """Our certificate towards virt-handler; it names the role virt-api."""
    handler_client_key: Path
    address: str = "127.0.0.1"
    port: int = 6444
    """0 takes a free port; see `run`."""
    front_proxy_ca: Path | None = None
    """Authority of the front proxy's client certificate; None reads it from the cluster."""
    front_proxy_names: tuple[str, ...] = ("front-proxy-client",)
    """Common names the front proxy may have; not used when they are read from the cluster."""
    namespace: str = "kubevirt"
    """Where our service accounts live; only they are believed to be components."""
    node_required: bool = True
    """Refuse writes of node agents whose credentials are not bound to a node."""
    timeout: float = 10.0
    """Seconds for every call to the API server or to virt-handler."""


@dataclasses.dataclass(frozen=True, slots=True)
class FrontProxy:
    """Whom to believe about users: a CA (PEM) and the names its certificate may have."""

    ca: str
    names: tuple[str, ...]


async def run(settings: Settings, started: asyncio.Event) -> None:
    """Serve until cancelled; `started` is set once connections are accepted.

    Raises OSError or ssl.SSLError for files and ports that cannot be used, KubeError if the cluster must be
    asked for the front proxy and cannot.
    """
    async with Client.from_kubeconfig(settings.kubeconfig, user_agent="virt-api") as client:
        front_proxy = await _front_proxy(settings, client)
        handler_tls = CurrentContext(
            lambda: console.handler_tls(
                str(settings.handler_ca), str(settings.handler_client_cert), str(settings.handler_client_key)
            ),
            settings.handler_client_cert,
            settings.handler_client_key,
        )
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.timeout)
        ) as session:
            subresources = Subresources(client, session, handler_tls, front_proxy.names, settings.timeout)
            application = make_application(settings, client, subresources)
            runner = web.AppRunner(
                application, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_SECONDS
            )
            await runner.setup()
            try:
                tls = CurrentContext(
                    lambda: server_tls(settings.tls_cert, settings.tls_key, front_proxy.ca),
                    settings.tls_cert,
                    settings.tls_key,
                )
                await web.TCPSite(
                    runner, settings.address, settings.port, ssl_context=tls.for_server()
                ).start()
                _log.info("Serving", extra={"address": settings.address, "port": settings.port})
                started.set()
                await asyncio.get_running_loop().create_future()
            finally:
                await runner.cleanup()


def make_application(settings: Settings, client: Client, subresources: Subresources) -> web.Application:
    """The HTTP application: webhooks, the aggregated API and health."""

    async def list_kubevirts() -> Iterable[str]:
        async with asyncio.timeout(settings.timeout):
            found = await client.list(KUBEVIRTS)
        return [f"{each.metadata.namespace}/{each.metadata.name}" for each in found.items]

    clock = SystemClock()
    webhooks = admission.Admission(
        Accounts(settings.namespace, settings.node_required),
        Source(new_uuid=lambda: str(uuid.uuid4()), now=lambda: timestamp(clock.now())),
        list_kubevirts,
    )
    application = web.Application(client_max_size=_MAX_REVIEW)
    application.add_routes([web.get("/healthz", _healthy), web.get("/", _healthy)])
    application.add_routes(
        [web.post(path, review_handler(handler)) for path, handler in webhooks.handlers.items()]
    )
    application.add_routes(subresources.routes())
    return application


def review_handler(handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The HTTP side of a webhook: AdmissionReview in, AdmissionReview out, 400 for anything else."""

    async def answer(request: web.Request) -> web.Response:
        try:
            review = msgspec.json.decode(await request.read(), type=AdmissionReview)
        except msgspec.MsgspecError as error:
            return web.Response(status=400, text=f"the body is not an AdmissionReview: {error}")
        if review.request is None:
            return web.Response(status=400, text="the AdmissionReview has no request")
        response = await handler(review.request)
        if not response.allowed and response.status is not None:
            _log.info(
                "Refused",
                extra={
                    "vm": f"{review.request.namespace}/{review.request.name}",
                    "user": review.request.user_info.username,
                    "path": request.path,
                    "why": response.status.message,
                },
            )
        body = AdmissionAnswer(api_version=admission.API_VERSION, kind="AdmissionReview", response=response)
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")

    return answer


def server_tls(certificate: Path, key: Path, front_proxy_ca: str) -> ssl.SSLContext:
    """TLS that asks for a client certificate of the front proxy, but lets webhook callers go without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(cadata=front_proxy_ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


async def _front_proxy(settings: Settings, client: Client) -> FrontProxy:
    if settings.front_proxy_ca is not None:
        return FrontProxy(settings.front_proxy_ca.read_text(), settings.front_proxy_names)
    async with asyncio.timeout(settings.timeout):
        published = await client.get(
            CONFIG_MAPS, "extension-apiserver-authentication", namespace="kube-system"
        )
    return front_proxy_of(published)


def front_proxy_of(published: ConfigMap) -> FrontProxy:
    """What an API server publishes about its front proxy. Raises ValueError if it has none."""
    authority = published.data.get("requestheader-client-ca-file", "")
    if not authority:
        raise ValueError(
            "the config map kube-system/extension-apiserver-authentication names no front proxy; "
            "switch the API server's aggregation layer on or give the front proxy's CA in the settings"
        )
    names = msgspec.json.decode(published.data.get("requestheader-allowed-names") or "[]", type=list[str])
    return FrontProxy(authority, tuple(names))


async def _healthy(request: web.Request) -> web.Response:
    return web.Response(text="ok")
