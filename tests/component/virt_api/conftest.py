"""virt-api, running between stand-ins for the API server and for a virt-handler."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web
from virt_api_surroundings import Cluster, Handler, VirtApi, certificate_with_uri, client_tls, serving

from edgevirt.kube import kubeconfig
from edgevirt.virt_api.server import Settings, run


@pytest.fixture
def handler_san() -> str:
    """The role virt-handler's certificate claims."""
    return "edgevirt://virt-handler/n1"


@pytest.fixture
async def virt_api(tmp_path: Path, handler_san: str, unused_tcp_port: int) -> AsyncIterator[VirtApi]:
    cluster_ca, proxy_ca = trustme.CA(), trustme.CA()
    server_leaf = cluster_ca.issue_cert("127.0.0.1")
    own_leaf = cluster_ca.issue_cert("virt-api.kubevirt.svc")
    handler_leaf = certificate_with_uri(cluster_ca, handler_san)
    files = {
        "ca": cluster_ca.cert_pem,
        "proxy": proxy_ca.cert_pem,
        "key": server_leaf.private_key_pem,
        "client-key": own_leaf.private_key_pem,
    }
    for name, pem in files.items():
        pem.write_to_path(str(tmp_path / name))
    for name, leaf in (("cert", server_leaf), ("client-cert", own_leaf)):
        for pem in leaf.cert_chain_pems:
            pem.write_to_path(str(tmp_path / name), append=True)

    cluster, handler = Cluster(), Handler()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_leaf.configure_cert(tls)
    handler_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    handler_leaf.configure_cert(handler_tls)
    cluster_ca.configure_trust(handler_tls)
    handler_tls.verify_mode = ssl.CERT_REQUIRED
    consoles = web.Application()
    consoles.router.add_get(
        "/v1/namespaces/{namespace}/virtualmachineinstances/{name}/console", handler.console
    )
    async with contextlib.AsyncExitStack() as stack:
        api_port = await stack.enter_async_context(serving(cluster.application(), tls))
        handler.port = await stack.enter_async_context(serving(consoles, handler_tls))
        kubeconfig.write(
            tmp_path / "kubeconfig",
            f"https://127.0.0.1:{api_port}",
            cluster_ca.cert_pem.bytes(),
            own_leaf.cert_chain_pems[0].bytes(),
            own_leaf.private_key_pem.bytes(),
        )
        settings = Settings(
            kubeconfig=tmp_path / "kubeconfig",
            tls_cert=tmp_path / "cert",
            tls_key=tmp_path / "key",
            handler_ca=tmp_path / "ca",
            handler_client_cert=tmp_path / "client-cert",
            handler_client_key=tmp_path / "client-key",
            port=unused_tcp_port,
            front_proxy_ca=tmp_path / "proxy",
            timeout=5.0,
        )
        started = asyncio.Event()
        server = asyncio.create_task(run(settings, started))
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait((server, waiting), return_when=asyncio.FIRST_COMPLETED, timeout=10)
        assert started.is_set(), server.exception() if server.done() else "not started"
        session = await stack.enter_async_context(aiohttp.ClientSession())
        try:
            yield VirtApi(
                url=f"https://127.0.0.1:{unused_tcp_port}",
                session=session,
                front_proxy=client_tls(cluster_ca, proxy_ca.issue_cert(common_name="front-proxy-client")),
                stranger=client_tls(cluster_ca, proxy_ca.issue_cert(common_name="mallory")),
                anonymous=client_tls(cluster_ca),
                cluster=cluster,
                handler=handler,
            )
        finally:
            server.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await server
