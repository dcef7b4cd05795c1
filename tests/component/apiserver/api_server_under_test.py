"""Starts a real API server over TLS, with a CA made on the spot."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgevirt.engine.apiserver.request import UserInfo
from edgevirt.engine.apiserver.server import ApiServer, Settings

TOKENS = {
    "admin": UserInfo("admin", uid="admin", groups=("system:masters", "system:authenticated")),
    "alice": UserInfo("alice", uid="alice-uid", groups=("dev", "system:authenticated")),
    "bob": UserInfo("bob", groups=("system:authenticated",)),
}


@dataclass(frozen=True)
class Running:
    """A server that listens: where, how to trust it, and a client of the administrator."""

    url: str
    ca: Path
    server: ApiServer
    client: aiohttp.ClientSession


def _write(path: Path, *parts: bytes) -> Path:
    path.write_bytes(b"".join(parts))
    return path


def make_pki(directory: Path) -> Settings:
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test-ca")])

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=5))
        )

    ca = (
        builder(ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    leaf = (
        builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "apiserver")]), key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    authority = _write(directory / "ca.crt", ca.public_bytes(pem))
    certificate = _write(directory / "tls.crt", leaf.public_bytes(pem))
    key_path = _write(directory / "tls.key", private)
    return Settings(
        data_dir=directory / "data",
        address="127.0.0.1",
        port=0,
        certificate=certificate,
        key=key_path,
        client_ca=authority,
        front_proxy_ca=authority,
        front_proxy_certificate=certificate,
        front_proxy_key=key_path,
        static_tokens=TOKENS,
    )


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    server = ApiServer(settings)
    await server.open()
    started = asyncio.Event()

    async def serve() -> None:
        try:
            await server.listen()
            async with asyncio.TaskGroup() as tasks:
                server.work(tasks)
                started.set()
        finally:
            await server.close()

    task = asyncio.create_task(serve())
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        waiting.cancel()
        task.result()
    assert settings.client_ca is not None
    context = ssl.create_default_context(cafile=settings.client_ca)
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    client = aiohttp.ClientSession(
        f"https://127.0.0.1:{server.port}",
        connector=connector,
        headers={"Authorization": "Bearer admin"},
        skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
    )
    try:
        yield Running(f"https://127.0.0.1:{server.port}", settings.client_ca, server, client)
    finally:
        await client.close()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
