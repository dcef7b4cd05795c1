from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from handler_pki import Authority

from edgevirt.virt_handler.console import ConsoleServer, server_tls
from edgevirt.virt_handler.launcher_session import EMPTY_DIRS

pytestmark = pytest.mark.component

CONSOLE = "/v1/namespaces/ns/virtualmachineinstances/vm1/console"


@dataclass
class Guest:
    """QEMU's end of a serial console."""

    path: Path
    clients: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    server: asyncio.Server | None = None

    async def listen(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        directory = os.open(self.path.parent, os.O_PATH)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(f"/proc/self/fd/{directory}/{self.path.name}")  # paths of sockets must be short
        os.close(directory)
        self.server = await asyncio.start_unix_server(self._client, sock=listener)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients.append((reader, writer))
        self.connected.set()

    async def close(self) -> None:
        for _, writer in self.clients:
            writer.close()
        if self.server is not None:
            self.server.close()
            await self.server.wait_closed()

    async def next_client(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        await asyncio.wait_for(self.connected.wait(), 10)
        self.connected.clear()
        return self.clients[-1]


@dataclass
class Setup:
    url: str
    guest: Guest
    authority: Authority
    other: Authority

    def client_tls(self, certificate: tuple[Path, Path] | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.path))
        context.check_hostname = False
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context

    @property
    def virt_api(self) -> ssl.SSLContext:
        name = x509.UniformResourceIdentifier("edgevirt://virt-api/")
        return self.client_tls(self.authority.issue("virt-api", name))


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Setup]:
    authority, other = Authority(tmp_path, "ca"), Authority(tmp_path, "other-ca")
    certificate, key = authority.issue("node", x509.DNSName("localhost"))
    pods = tmp_path / "pods"
    guest = Guest(pods / "pod-1" / EMPTY_DIRS / "private" / "vmi-1" / "virt-serial0")
    await guest.listen()

    def lookup(namespace: str, name: str) -> tuple[str, str] | None:
        return ("pod-1", "vmi-1") if (namespace, name) == ("ns", "vm1") else None

    server = ConsoleServer(str(pods), lookup)
    tls = server_tls(certificate, key, authority.path)
    async with server.serving("127.0.0.1", 0, tls) as port:
        yield Setup(f"https://127.0.0.1:{port}", guest, authority, other)
    await guest.close()


async def test_what_is_typed_reaches_the_guest_and_its_answer_the_client(setup: Setup) -> None:
    async with aiohttp.ClientSession() as session:
        options = {"ssl": setup.virt_api, "protocols": ("plain.kubevirt.io",)}
        async with session.ws_connect(setup.url + CONSOLE, **options) as console:  # type: ignore[arg-type]
            assert console.protocol == "plain.kubevirt.io"
            reader, writer = await setup.guest.next_client()
            await console.send_bytes(b"root\n")
            assert await asyncio.wait_for(reader.readexactly(5), 10) == b"root\n"
            writer.write(b"\xff\x00login: ")
            assert await console.receive_bytes(timeout=10) == b"\xff\x00login: "


async def test_a_new_client_replaces_the_one_before(setup: Setup) -> None:
    async with aiohttp.ClientSession() as session:
        first = await session.ws_connect(setup.url + CONSOLE, ssl=setup.virt_api)
        await setup.guest.next_client()
        second = await session.ws_connect(setup.url + CONSOLE, ssl=setup.virt_api)
        _, writer = await setup.guest.next_client()
        closed = await first.receive(timeout=10)
        assert closed.type is aiohttp.WSMsgType.CLOSE
        assert closed.extra == "replaced by a new client"
        writer.write(b"hello")
        assert await second.receive_bytes(timeout=10) == b"hello"
        await first.close()
        await second.close()


async def test_the_end_of_the_guest_ends_the_console(setup: Setup) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(setup.url + CONSOLE, ssl=setup.virt_api) as console,
    ):
        _, writer = await setup.guest.next_client()
        writer.close()
        assert (await console.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE


async def test_the_end_of_the_client_closes_the_guests_socket(setup: Setup) -> None:
    async with aiohttp.ClientSession() as session:
        console = await session.ws_connect(setup.url + CONSOLE, ssl=setup.virt_api)
        reader, _ = await setup.guest.next_client()
        await console.close()
        assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_a_client_that_does_not_read_holds_the_guest_back(setup: Setup) -> None:
    """Backpressure: what the guest can send while nobody reads is bounded by buffers."""
    async with aiohttp.ClientSession() as session:
        console = await session.ws_connect(setup.url + CONSOLE, ssl=setup.virt_api)
        _, writer = await setup.guest.next_client()
        sent = 0

        async def flood() -> None:
            nonlocal sent
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flood(), 1)
        assert sent < 64 * 1024 * 1024
        received = 0
        while received < sent:
            received += len(await console.receive_bytes(timeout=10))
        await console.close()


@pytest.mark.parametrize("who", ["virt-handler", "nobody", "two roles"])
async def test_a_certificate_of_our_ca_for_another_role_is_refused(who: str, setup: Setup) -> None:
    uri = x509.UniformResourceIdentifier
    names = {
        "virt-handler": [uri("edgevirt://virt-handler/n1")],
        "nobody": [x509.DNSName("virt-api")],
        "two roles": [uri("edgevirt://virt-handler/n1"), uri("edgevirt://virt-api/")],
    }
    tls = setup.client_tls(setup.authority.issue("virt-api", *names[who]))
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(setup.url + CONSOLE, ssl=tls)
        assert refused.value.status == 403
    assert setup.guest.clients == []


@pytest.mark.parametrize("who", ["no certificate", "foreign authority"])
async def test_without_a_certificate_of_our_ca_nothing_is_served(who: str, setup: Setup) -> None:
    certificate = None
    if who == "foreign authority":
        name = x509.UniformResourceIdentifier("edgevirt://virt-api/")
        certificate = setup.other.issue("virt-api", name)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(setup.url + "/healthz", ssl=setup.client_tls(certificate))
    assert setup.guest.clients == []


async def test_health_and_unknown_machines(setup: Setup) -> None:
    async with aiohttp.ClientSession() as session:
        tls = setup.virt_api
        async with session.get(setup.url + "/healthz", ssl=tls) as answer:
            assert (answer.status, await answer.text()) == (200, "ok")
        async with session.get(setup.url + CONSOLE.replace("vm1", "vm2"), ssl=tls) as answer:
            assert answer.status == 404
            assert "ns/vm2 is not running on this node" in await answer.text()


async def test_a_console_socket_replaced_by_a_link_is_not_followed(setup: Setup, tmp_path: Path) -> None:
    """CVE-2026-7374: the console of a hostile launcher must not lead to a socket of the node."""
    trap = Guest(tmp_path / "runtime.sock")
    await trap.listen()
    setup.guest.path.unlink()
    setup.guest.path.symlink_to(trap.path)
    async with (
        aiohttp.ClientSession() as session,
        session.get(setup.url + CONSOLE, ssl=setup.virt_api) as answer,
    ):
        assert answer.status == 502
    assert trap.clients == []
    await trap.close()


async def test_a_vm_without_serial_console_is_told_so(setup: Setup) -> None:
    setup.guest.path.unlink()
    async with (
        aiohttp.ClientSession() as session,
        session.get(setup.url + CONSOLE, ssl=setup.virt_api) as answer,
    ):
        assert answer.status == 404
        assert "no serial console" in await answer.text()
