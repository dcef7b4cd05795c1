"""The box's certificates: who is named, what is written, and renewal while everything runs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from edgevirt.engine.pki.authority import PkiError
from edgevirt.engine.pki.identity import peer_role
from edgevirt.install.standalone import identities, identity_files, renewal
from edgevirt.install.standalone.config import Config
from edgevirt.install.standalone.layout import Layout
from edgevirt.kube.clock import FakeClock
from edgevirt.kube.kubeconfig import load

pytestmark = pytest.mark.unit

CONFIG = Config(node_name="edge", api_port=7443)
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(tmp_path)
    found.create()
    return found


def serial(layout: Layout, name: str) -> int:
    return x509.load_pem_x509_certificate((layout.pki / f"{name}.crt").read_bytes()).serial_number


def client_of(layout: Layout, component: str) -> x509.Certificate:
    config = load(layout.kubeconfig(component))
    return x509.load_pem_x509_certificate(config.client_cert_data)


def test_every_path_of_the_identities_is_written(layout: Layout) -> None:
    identities.issuer(layout, CONFIG)().write(layout)
    found = identity_files.paths(layout)
    for name in (field for field in found.__slots__ if field != "ca_key_directory"):
        value = getattr(found, name)
        for path in (value,) if isinstance(value, Path) else (value.certificate, value.key):
            assert path.is_file(), name


def test_components_have_their_service_account_and_role(layout: Layout) -> None:
    identities.issuer(layout, CONFIG)().write(layout)
    certificate = client_of(layout, "virt-handler")
    assert certificate.subject.rfc4514_string().startswith(
        "CN=system:serviceaccount:kubevirt:kubevirt-handler"
    )
    role = peer_role(certificate.public_bytes(serialization.Encoding.PEM))
    assert role == ("virt-handler", "edge")


def test_administrators_copies_last_a_year_all_else_thirty_days(layout: Layout) -> None:
    issued = identities.issuer(layout, CONFIG)()
    lives = {path.name: leaf.not_after - datetime.now(UTC) for path, (_, leaf) in issued.kubeconfigs.items()}
    assert lives.pop("admin.conf") > timedelta(days=364)
    assert max(lives.values()) <= timedelta(days=30)
    assert issued.not_after - datetime.now(UTC) <= timedelta(days=30)


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("127.0.0.1", "https://127.0.0.1:7443"),
        ("0.0.0.0", "https://127.0.0.1:7443"),
        ("192.0.2.1", "https://192.0.2.1:7443"),
        ("::1", "https://[::1]:7443"),
    ],
)
def test_local_processes_reach_the_server_where_it_listens(address: str, server: str) -> None:
    assert identities.local_server(Config(api_address=address, api_port=7443, node_name="edge")) == server


class Renewals:
    """`keep_identities_fresh` with its waits in the test's hand."""

    def __init__(self, layout: Layout, clock: FakeClock) -> None:
        self.written, self.renewed = asyncio.Event(), asyncio.Event()
        self.until: asyncio.Queue[datetime] = asyncio.Queue()
        self.go = asyncio.Semaphore(0)
        self.task = asyncio.ensure_future(
            renewal.keep_identities_fresh(
                layout, CONFIG, self.written, self.renewed, wait=self._wait, now=lambda: NOW, clock=clock
            )
        )

    async def _wait(self, when: datetime) -> None:
        self.until.put_nowait(when)
        await self.go.acquire()

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_everything_is_issued_anew_and_told_after_two_thirds_of_its_life(layout: Layout) -> None:
    renewals = Renewals(layout, FakeClock())
    try:
        async with asyncio.timeout(10):
            await renewals.until.get()
            assert renewals.written.is_set()
            assert not renewals.renewed.is_set()
            names = ("apiserver", "virt-api", "virt-handler", "kubelet", "front-proxy-client")
            before = [serial(layout, name) for name in names]
            client = client_of(layout, "scheduler").serial_number
            authority = serial(layout, "ca")
            renewals.go.release()
            await renewals.renewed.wait()
            await renewals.until.get()
        assert all(serial(layout, name) != old for name, old in zip(names, before, strict=True))
        assert client_of(layout, "scheduler").serial_number != client
        assert serial(layout, "ca") == authority
    finally:
        await renewals.end()


async def test_full_disk_at_renewal_is_tried_again_and_stops_nothing(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    renewals = Renewals(layout, clock)
    try:
        async with asyncio.timeout(10):
            await renewals.until.get()
            before = serial(layout, "apiserver")
            failed = asyncio.Event()
            loop = asyncio.get_running_loop()
            write = identities.Issued.write

            def full(issued: identities.Issued, where: Layout) -> None:
                loop.call_soon_threadsafe(failed.set)
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(identities.Issued, "write", full)
            renewals.go.release()
            await failed.wait()
            assert serial(layout, "apiserver") == before
            assert not renewals.renewed.is_set()
            monkeypatch.setattr(identities.Issued, "write", write)
            while not renewals.renewed.is_set():
                await clock.advance(renewal.RETRY_SECONDS)
        assert serial(layout, "apiserver") != before
        assert not renewals.task.done()
    finally:
        await renewals.end()


async def test_lost_authority_key_is_told_at_the_start(layout: Layout) -> None:
    identities.issuer(layout, CONFIG)().write(layout)
    (layout.pki / "ca.key").unlink()
    with pytest.raises(PkiError, match="restore the key"):
        await renewal.keep_identities_fresh(layout, CONFIG, asyncio.Event(), asyncio.Event())
