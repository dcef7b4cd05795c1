"""The keys service account tokens are signed with: one that signs, older ones that still verify.

`<directory>/<name>.key` signs. When it has done so for a year it is retired: its public half stays beside it
as `<name>.<key id>.pub`, and a new key takes its place. A retired key verifies as long as its file is there,
so every token stays valid for its own life; there is one such file a year. The public half is on disk before
the key is replaced, so losing power in between costs nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgevirt.engine.pki.authority import PkiError
from edgevirt.engine.pki.files import write_durably

NAME = "service-account"
LIFETIME = timedelta(days=365)


class SigningKeys:
    """The keys of one directory, read at creation. Raises PkiError and OSError."""

    def __init__(self, directory: Path, name: str = NAME) -> None:
        self._directory = directory
        self._name = name
        directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        self._path = directory / f"{name}.key"
        if not self._path.exists():
            self._create()
        self.current = _private(self._path)
        self.current_id = key_id(self.current.public_key())
        self._public = {self.current_id: self.current.public_key()}
        for path in sorted(directory.glob(f"{name}.*.pub")):
            retired = _public(path)
            self._public[key_id(retired)] = retired

    @property
    def public(self) -> dict[str, ec.EllipticCurvePublicKey]:
        """Every key that verifies, by its id; the one that signs is the first."""
        return dict(self._public)

    def verifying(self, identifier: object) -> tuple[ec.EllipticCurvePublicKey, ...]:
        """The keys that may have signed a token whose header names `identifier`."""
        if isinstance(identifier, str) and identifier:
            found = self._public.get(identifier)
            return (found,) if found is not None else ()
        return tuple(self._public.values())

    def rotate_if_due(self, now: datetime) -> bool:
        """Retires the current key if it is old enough. Raises OSError; then the old key goes on."""
        made = datetime.fromtimestamp(self._path.stat().st_mtime, UTC)
        if now - made < LIFETIME:
            return False
        self.rotate()
        return True

    def rotate(self) -> None:
        """Makes a new key sign from now on. Raises OSError."""
        retired = self.current.public_key()
        pem = retired.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        write_durably(self._directory / f"{self._name}.{self.current_id}.pub", pem, 0o644)
        self._create()
        self.current = _private(self._path)
        self.current_id = key_id(self.current.public_key())
        self._public = {self.current_id: self.current.public_key(), **self._public}

    def _create(self) -> None:
        created = ec.generate_private_key(ec.SECP256R1())
        pem = created.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_durably(self._path, pem, 0o600)


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """A short name of a key, made of the key itself."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return digest.finalize().hex()[:32]


def _private(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise PkiError(f"{path} is not a readable private key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PkiError(f"{path} must hold an elliptic-curve key")
    return key


def _public(path: Path) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except ValueError as error:
        raise PkiError(f"{path} is not a readable public key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise PkiError(f"{path} must hold an elliptic-curve key")
    return key
