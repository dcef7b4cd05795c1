"""Certificates that live three seconds, on the real API server: everybody goes on after they have ended."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from edgevirt.api.resources import NAMESPACES
from edgevirt.engine.apiserver import server
from edgevirt.install.standalone import identity_files
from edgevirt.install.standalone.config import Config
from edgevirt.install.standalone.layout import Layout
from edgevirt.install.standalone.renewal import keep_identities_fresh
from edgevirt.kube.client import Client

pytestmark = pytest.mark.component

LIFETIME = timedelta(seconds=3)
RENEWALS = 3


class Box:
    """An API server with its certificates; `renewals` counts how often they were issued anew."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.create()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.config = Config(api_port=port, node_name="edge")
        self.renewed = asyncio.Event()
        self.renewals = asyncio.Semaphore(0)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        written, started = asyncio.Event(), asyncio.Event()
        told = _Told(self.renewed, self.renewals)
        keeping = asyncio.ensure_future(
            keep_identities_fresh(self.layout, self.config, written, told, lifetime=LIFETIME)
        )
        await written.wait()
        paths = identity_files.paths(self.layout)
        settings = server.Settings(
            data_dir=self.layout.store,
            address="127.0.0.1",
            port=self.config.api_port,
            certificate=paths.apiserver.certificate,
            key=paths.apiserver.key,
            client_ca=paths.ca,
            token_key_dir=paths.ca_key_directory,
            front_proxy_ca=paths.front_proxy_ca,
            front_proxy_certificate=paths.front_proxy_client.certificate,
            front_proxy_key=paths.front_proxy_client.key,
            kubelet_ca=paths.ca,
            kubelet_certificate=paths.kubelet_client.certificate,
            kubelet_key=paths.kubelet_client.key,
            reload=self.renewed,
        )
        serving = asyncio.ensure_future(server.run(settings, started))
        try:
            async with asyncio.timeout(20):
                await started.wait()
            yield
            assert not keeping.done()
            assert not serving.done()
        finally:
            for task in (keeping, serving):
                task.cancel()
            await asyncio.gather(keeping, serving, return_exceptions=True)

    async def shown(self) -> x509.Certificate:
        """What a new connection is shown, verified as any client does."""
        trust = ssl.create_default_context(cafile=str(identity_files.paths(self.layout).ca))
        _, writer = await asyncio.open_connection("127.0.0.1", self.config.api_port, ssl=trust)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
        return x509.load_der_x509_certificate(der)


class _Told(asyncio.Event):
    """The server's event, and a count of how often it was set."""

    def __init__(self, event: asyncio.Event, count: asyncio.Semaphore) -> None:
        super().__init__()
        self._event, self._count = event, count

    def set(self) -> None:
        self._event.set()
        self._count.release()


async def test_server_and_client_outlive_their_first_certificates(tmp_path: Path) -> None:
    box = Box(tmp_path)
    async with box.running(), asyncio.timeout(30):
        scheduler = box.layout.kubeconfig("scheduler")
        async with Client.from_kubeconfig(scheduler, user_agent="test") as client:
            first = await box.shown()
            assert (await client.list(NAMESPACES)).items
            for _ in range(RENEWALS):
                await box.renewals.acquire()
            last = await box.shown()
            assert last.serial_number != first.serial_number
            assert last.not_valid_after_utc > first.not_valid_after_utc + LIFETIME
            # More at once than there are idle connections: the rest shake hands with what is current now.
            for answer in await asyncio.gather(*(client.list(NAMESPACES) for _ in range(8))):
                assert answer.items
