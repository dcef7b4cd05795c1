"""A certificate authority that lives on the box, and the leaves it issues.

ECDSA P-256 throughout. Times are chosen for machines without a trustworthy clock:

* `notBefore` is always 1970-01-01, so a certificate is never "not yet valid" when the clock starts at
  zero, nor when it is set back.
* The authority ends at 9999-12-31T23:59:59Z, RFC 5280's value for "no well-defined expiration". A span
  such as "100 years from now" would make the end depend on a clock that may be wrong at creation, and
  replacing the authority means touching every kubeconfig that trusts it.
* Leaves last 30 days, are issued again at every start and while running (`renewal`). If the clock stands
  before EARLIEST_PLAUSIBLE_TIME it is certainly wrong and about to jump; a leaf issued then lasts
  UNKNOWN_CLOCK_LIFETIME from that time, so that it survives the jump.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgevirt.engine.pki.files import sync_directory, write_durably

LEAF_LIFETIME = timedelta(days=30)
EARLIEST_PLAUSIBLE_TIME = datetime(2026, 1, 1, tzinfo=UTC)
UNKNOWN_CLOCK_LIFETIME = timedelta(days=3650)
NO_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
NO_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


class PkiError(Exception):
    """Key material on disk is missing a half, unreadable, or does not belong together."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate with its private key, both PEM. `not_after` tells when to have the next one."""

    cert_pem: bytes
    key_pem: bytes
    not_after: datetime


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class Authority:
    """Signs leaves. Create one with `load_or_create`; instances are immutable and thread-safe."""

    def __init__(
        self,
        certificate: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        if certificate.public_key() != key.public_key():
            raise PkiError("the authority's certificate and key do not belong together")
        self._certificate = certificate
        self._key = key
        self._clock = clock
        self.cert_pem = certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def load_or_create(
        cls,
        directory: Path,
        name: str = "ca",
        common_name: str = "edgevirt",
        clock: Callable[[], datetime] = utc_now,
    ) -> Authority:
        """The authority kept in `<directory>/<name>.crt` and `.key`, created on first use.

        Idempotent and safe against another process doing the same. The key is written (0600, fsynced)
        before the certificate, so an interrupted creation is completed by the next call. Raises PkiError
        when the two files do not fit, and OSError.
        """
        directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return cls._load_or_create_locked(directory, name, common_name, clock)
        finally:
            os.close(lock)

    @classmethod
    def _load_or_create_locked(
        cls, directory: Path, name: str, common_name: str, clock: Callable[[], datetime]
    ) -> Authority:
        certificate_path, key_path = directory / f"{name}.crt", directory / f"{name}.key"
        if certificate_path.exists() and not key_path.exists():
            raise PkiError(
                f"{certificate_path} exists but {key_path} does not: restore the key from a backup, or "
                "remove the certificate to make a new authority (clients must then get new kubeconfigs)"
            )
        if key_path.exists():
            key = _load_key(key_path)
        else:
            key = ec.generate_private_key(ec.SECP256R1())
            write_durably(key_path, _key_pem(key), 0o600)
        if certificate_path.exists():
            certificate = _load_certificate(certificate_path)
        else:
            certificate = _self_signed(key, common_name)
            pem = certificate.public_bytes(serialization.Encoding.PEM)
            write_durably(certificate_path, pem, 0o644)
        return cls(certificate, key, clock)

    def issue(
        self,
        common_name: str,
        groups: Sequence[str] = (),
        dns: Sequence[str] = (),
        ips: Sequence[str] = (),
        uris: Sequence[str] = (),
        server: bool = False,
        client: bool = False,
        lifetime: timedelta = LEAF_LIFETIME,
    ) -> Leaf:
        """A fresh key and its certificate.

        `common_name` is the user and `groups` (organisations) the groups Kubernetes will see in it.
        Raises ValueError if neither `server` nor `client` use is asked for, a server certificate has no
        DNS name or address, or an address cannot be parsed.
        """
        if not server and not client:
            raise ValueError(f"certificate {common_name!r}: say whether it is for a server, a client or both")
        if server and not dns and not ips:
            raise ValueError(f"server certificate {common_name!r} needs at least one DNS name or address")
        key = ec.generate_private_key(ec.SECP256R1())
        not_after = self._expiry(lifetime)
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
        builder = (
            _builder(x509.Name(subject), self._certificate.subject, key.public_key(), not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(self._authority_key_identifier(), critical=False)
        )
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ips]
        names += [x509.UniformResourceIdentifier(uri) for uri in uris]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Leaf(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key), not_after)

    def _expiry(self, lifetime: timedelta) -> datetime:
        now = self._clock()
        if now < EARLIEST_PLAUSIBLE_TIME:
            return EARLIEST_PLAUSIBLE_TIME + UNKNOWN_CLOCK_LIFETIME
        return (now + lifetime).replace(microsecond=0)

    def _authority_key_identifier(self) -> x509.AuthorityKeyIdentifier:
        extension = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(extension.value)


def write_leaf(directory: Path, name: str, leaf: Leaf) -> tuple[Path, Path]:
    """Writes `<name>.crt` (0644) and `<name>.key` (0600) durably; returns their paths.

    The certificate is written last: whoever watches it finds the matching key in place.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o755)
    certificate_path, key_path = directory / f"{name}.crt", directory / f"{name}.key"
    write_durably(key_path, leaf.key_pem, 0o600)
    write_durably(certificate_path, leaf.cert_pem, 0o644)
    sync_directory(directory)
    return certificate_path, key_path


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, not_after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NO_BEGINNING)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _self_signed(key: ec.EllipticCurvePrivateKey, common_name: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    return (
        _builder(name, name, key.public_key(), NO_END)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(digital_signature=True, key_cert_sign=True, crl_sign=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _key_usage(
    digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise PkiError(f"{path} is not a readable private key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PkiError(f"{path} holds a key that is not an elliptic-curve one")
    return key


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise PkiError(f"{path} is not a readable certificate: {error}") from error
