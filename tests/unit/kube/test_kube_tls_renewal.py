"""Certificates replaced on disk while a server listens and a client connects."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from edgevirt.engine.pki.authority import Authority, write_leaf
from edgevirt.kube.tls import CurrentContext

pytestmark = pytest.mark.unit


class Box:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority.load_or_create(directory)
        self.certificate, self.key = directory / "server.crt", directory / "server.key"
        self.renew()

    def renew(self) -> int:
        leaf = self.authority.issue("server", ips=["127.0.0.1"], server=True)
        write_leaf(self.directory, "server", leaf)
        return x509.load_pem_x509_certificate(leaf.cert_pem).serial_number

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def current(self) -> CurrentContext:
        return CurrentContext(self.context, self.certificate, self.key)

    async def shown_by(self, port: int) -> int:
        """Serial number of the certificate that a new connection sees, verified against the authority."""
        trust = ssl.create_default_context(cafile=str(self.directory / "ca.crt"))
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
        return x509.load_der_x509_certificate(shown).serial_number


async def serve(context: ssl.SSLContext) -> asyncio.Server:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    return await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)


async def test_listening_server_shows_the_renewed_certificate_to_new_connections(tmp_path: Path) -> None:
    box = Box(tmp_path)
    async with await serve(box.current().for_server()) as server:
        port = server.sockets[0].getsockname()[1]
        first = await box.shown_by(port)
        second = box.renew()
        assert await box.shown_by(port) == second
        assert first != second


async def test_half_a_renewal_keeps_the_old_certificate_in_use(tmp_path: Path) -> None:
    box = Box(tmp_path)
    async with await serve(box.current().for_server()) as server:
        port = server.sockets[0].getsockname()[1]
        first = await box.shown_by(port)
        other = Authority.load_or_create(tmp_path / "other").issue("x", ips=["127.0.0.1"], server=True)
        box.key.write_bytes(other.key_pem)
        assert await box.shown_by(port) == first
        assert await box.shown_by(port) == first
        second = box.renew()
        assert await box.shown_by(port) == second


def test_context_is_the_same_object_until_a_file_changes(tmp_path: Path) -> None:
    box = Box(tmp_path)
    current = box.current()
    before = current.get()
    assert current.get() is before
    box.renew()
    after = current.get()
    assert after is not before
    assert current.get() is after


def test_file_that_vanishes_leaves_the_context_in_use(tmp_path: Path) -> None:
    box = Box(tmp_path)
    current = box.current()
    before = current.get()
    box.certificate.unlink()
    assert current.get() is before


def test_missing_file_at_the_start_is_an_error(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.key.unlink()
    with pytest.raises(FileNotFoundError):
        box.current()
