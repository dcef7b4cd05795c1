"""The authority, its leaves, and the peers they identify."""

from __future__ import annotations

import asyncio
import os
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from edgevirt.engine.pki.authority import (
    EARLIEST_PLAUSIBLE_TIME,
    LEAF_LIFETIME,
    Authority,
    Leaf,
    PkiError,
    write_leaf,
)
from edgevirt.engine.pki.identity import IdentityError, PeerRole, peer_role, role_uri
from edgevirt.engine.pki.renewal import keep_fresh, renewal_time, until_wall_time_or_clock_set

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.load_or_create(tmp_path, clock=lambda: NOW)


def parsed(leaf: Leaf) -> x509.Certificate:
    return x509.load_pem_x509_certificate(leaf.cert_pem)


def test_an_authority_is_made_once_and_then_loaded(tmp_path: Path) -> None:
    first = Authority.load_or_create(tmp_path)
    assert Authority.load_or_create(tmp_path).cert_pem == first.cert_pem


def test_the_authority_key_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    Authority.load_or_create(tmp_path)
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["ca.crt", "ca.key"]


def test_a_creation_interrupted_after_the_key_is_completed(tmp_path: Path) -> None:
    Authority.load_or_create(tmp_path)
    key = (tmp_path / "ca.key").read_bytes()
    (tmp_path / "ca.crt").unlink()
    Authority.load_or_create(tmp_path)
    assert (tmp_path / "ca.key").read_bytes() == key
    assert (tmp_path / "ca.crt").exists()


def test_a_certificate_without_its_key_is_refused_with_advice(tmp_path: Path) -> None:
    Authority.load_or_create(tmp_path)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(PkiError, match="restore the key"):
        Authority.load_or_create(tmp_path)


def test_a_key_of_another_authority_is_refused(tmp_path: Path) -> None:
    Authority.load_or_create(tmp_path, "one")
    Authority.load_or_create(tmp_path, "two")
    (tmp_path / "two.key").rename(tmp_path / "one.key")
    with pytest.raises(PkiError, match="do not belong together"):
        Authority.load_or_create(tmp_path, "one")


def test_the_authority_is_valid_from_1970_for_ever(authority: Authority) -> None:
    certificate = x509.load_pem_x509_certificate(authority.cert_pem)
    assert certificate.not_valid_before_utc == datetime(1970, 1, 1, tzinfo=UTC)
    assert certificate.not_valid_after_utc.year == 9999


def test_a_leaf_is_short_lived_but_valid_since_1970(authority: Authority) -> None:
    leaf = authority.issue("x", client=True)
    assert leaf.not_after == NOW + LEAF_LIFETIME
    assert parsed(leaf).not_valid_after_utc == leaf.not_after
    assert parsed(leaf).not_valid_before_utc == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_leaf_issued_while_the_clock_stands_in_1970_survives_the_clock_being_set(tmp_path: Path) -> None:
    authority = Authority.load_or_create(tmp_path, clock=lambda: datetime(1970, 1, 1, tzinfo=UTC))
    assert authority.issue("x", client=True).not_after > EARLIEST_PLAUSIBLE_TIME + timedelta(days=3000)


def test_a_leaf_says_user_groups_names_and_uses(authority: Authority) -> None:
    leaf = authority.issue(
        "system:node:n1",
        groups=("system:nodes", "x"),
        dns=("localhost",),
        ips=("127.0.0.1", "::1"),
        uris=(role_uri("virt-handler", "n1"),),
        server=True,
        client=True,
    )
    subject = parsed(leaf).subject
    assert subject.rfc4514_string() == "CN=system:node:n1,O=x,O=system:nodes"
    names = parsed(leaf).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert len(parsed(leaf).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == 2


@pytest.mark.parametrize("arguments", [{}, {"server": True}, {"client": True, "ips": ("nonsense",)}])
def test_a_useless_leaf_is_refused(authority: Authority, arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        authority.issue("x", **arguments)  # type: ignore[arg-type]


def test_python_ssl_accepts_a_written_leaf(authority: Authority, tmp_path: Path) -> None:
    leaf = authority.issue("x", dns=("localhost",), server=True)
    certificate, key = write_leaf(tmp_path / "pki", "server", leaf)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)


@pytest.mark.parametrize(("role", "node"), [("virt-handler", "n1"), ("virt-api", ""), ("a b", "n/1")])
def test_a_peer_is_recognised_by_pem_and_by_dictionary(authority: Authority, role: str, node: str) -> None:
    uri = role_uri(role, node)
    leaf = authority.issue("x", uris=(uri,), client=True)
    assert peer_role(leaf.cert_pem) == PeerRole(role, node)
    assert peer_role({"subjectAltName": (("DNS", "x"), ("URI", uri))}) == PeerRole(role, node)


@pytest.mark.parametrize(
    "certificate",
    [
        None,
        {},
        b"junk",
        {"subjectAltName": (("DNS", "edgevirt://virt-handler/n1"),)},
        {"subjectAltName": (("URI", "https://virt-handler/n1"),)},
        {"subjectAltName": (("URI", "edgevirt:///n1"),)},
        {"subjectAltName": (("URI", "edgevirt://virt-handler/n1/more"),)},
        {"subjectAltName": (("URI", "edgevirt://a/n1"), ("URI", "edgevirt://b/n1"))},
    ],
)
def test_a_certificate_without_exactly_one_role_identifies_nobody(certificate: object) -> None:
    with pytest.raises(IdentityError):
        peer_role(certificate)  # type: ignore[arg-type]


def test_a_leaf_is_renewed_after_two_thirds_of_its_life(authority: Authority) -> None:
    assert renewal_time(authority.issue("x", client=True), NOW) == NOW + timedelta(days=20)


async def test_the_wait_for_a_time_in_the_past_is_over_at_once() -> None:
    async with asyncio.timeout(5):
        await until_wall_time_or_clock_set(datetime(2020, 1, 1, tzinfo=UTC))


async def test_a_wait_can_be_cancelled_without_leaving_its_timer_behind() -> None:
    before = len(os.listdir("/proc/self/fd"))
    task = asyncio.create_task(until_wall_time_or_clock_set(datetime(2200, 1, 1, tzinfo=UTC)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(os.listdir("/proc/self/fd")) == before


async def test_every_wake_up_brings_a_new_leaf(authority: Authority) -> None:
    applied: list[Leaf] = []
    waits: list[datetime] = []

    class Enough(Exception):
        pass

    async def wait(when: datetime) -> None:
        waits.append(when)
        if len(waits) == 3:
            raise Enough

    async def apply(leaf: Leaf) -> None:
        applied.append(leaf)

    with pytest.raises(Enough):
        await keep_fresh(lambda: authority.issue("x", client=True), apply, lambda: NOW, wait)
    assert len({leaf.cert_pem for leaf in applied}) == 3
    assert waits == [NOW + timedelta(days=20)] * 3
