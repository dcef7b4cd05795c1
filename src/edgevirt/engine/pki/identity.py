"""Who a peer is, read from its certificate: the URI name `edgevirt://<role>/<node>`.

A chain to our authority proves that a certificate is ours, not whose it is: every component has one.
So whoever accepts a component's certificate also checks the role it was issued for, and the node where
that matters. Exactly one such name is allowed, so a certificate can never speak for two roles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

SCHEME = "edgevirt"


class IdentityError(Exception):
    """The certificate names no role, more than one, or something that is no role."""


class PeerRole(NamedTuple):
    """The role a certificate was issued for; `node` is "" for components that belong to no node."""

    role: str
    node: str


def role_uri(role: str, node: str = "") -> str:
    """The URI name that makes a certificate speak for `role`, on `node` if given."""
    return f"{SCHEME}://{quote(role, safe='')}/{quote(node, safe='')}"


def peer_role(certificate: Mapping[str, Any] | bytes | None) -> PeerRole:
    """Role and node of a peer.

    `certificate` is what `ssl.SSLObject.getpeercert()` returned (the dictionary, or the DER bytes of
    its binary form), or PEM. The chain must have been verified by TLS already. Raises IdentityError.
    """
    if not certificate:
        raise IdentityError("the peer presented no certificate")
    names = _uris_of_bytes(certificate) if isinstance(certificate, bytes) else _uris_of_dict(certificate)
    ours = [name for name in names if name.startswith(f"{SCHEME}:")]
    if len(ours) != 1:
        raise IdentityError(f"expected exactly one {SCHEME}:// name in the certificate, found {len(ours)}")
    return _parse(ours[0])


def _parse(uri: str) -> PeerRole:
    parts = urlsplit(uri)
    node = parts.path.removeprefix("/")
    if parts.scheme != SCHEME or not parts.netloc or "/" in node or parts.query or parts.fragment:
        raise IdentityError(f"the certificate's name {uri!r} is not {SCHEME}://<role>/<node>")
    return PeerRole(unquote(parts.netloc), unquote(node))


def _uris_of_dict(certificate: Mapping[str, Any]) -> Iterable[str]:
    return [str(value) for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]


def _uris_of_bytes(certificate: bytes) -> Iterable[str]:
    # Only here: who has a certificate as ssl decoded it does not pay for the library.
    from cryptography import x509

    try:
        if certificate.lstrip().startswith(b"-----BEGIN"):
            parsed = x509.load_pem_x509_certificate(certificate)
        else:
            parsed = x509.load_der_x509_certificate(certificate)
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except ValueError as error:
        raise IdentityError(f"the peer's certificate cannot be read: {error}") from error
    return names.get_values_for_type(x509.UniformResourceIdentifier)
