"""Authentication and authorisation of the embedded API server.

`build` makes the parts the server mounts; each is documented in its own module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from edgevirt.engine.apiserver.auth import reviews
from edgevirt.engine.apiserver.auth.authenticator import ANONYMOUS, RequestAuthenticator
from edgevirt.engine.apiserver.auth.authorizers import AnyOf
from edgevirt.engine.apiserver.auth.impersonation import impersonate
from edgevirt.engine.apiserver.auth.nodes import NodeAccess
from edgevirt.engine.apiserver.auth.rbac import RoleBasedAccess
from edgevirt.engine.apiserver.auth.refusal import refusal
from edgevirt.engine.apiserver.auth.signing_keys import SigningKeys
from edgevirt.engine.apiserver.auth.tokens import ServiceAccountTokens
from edgevirt.engine.apiserver.extension import ObjectReader, ReviewHandler
from edgevirt.engine.apiserver.request import UserInfo
from edgevirt.engine.pki.authority import utc_now

__all__ = ["ANONYMOUS", "Auth", "build", "impersonate", "peer_name", "refusal"]

_SHORT_NAMES = {
    "CN": "commonName",
    "O": "organizationName",
    "OU": "organizationalUnitName",
    "C": "countryName",
    "ST": "stateOrProvinceName",
    "L": "localityName",
}


@dataclass(frozen=True, slots=True)
class Auth:
    """The parts: `authorizer` is Node then RBAC; `access` is RBAC alone, for the escalation check."""

    authenticator: RequestAuthenticator
    authorizer: AnyOf
    access: RoleBasedAccess
    tokens: ServiceAccountTokens
    reviews: Mapping[tuple[str, str], ReviewHandler]


def build(
    reader: ObjectReader,
    key_directory: Path,
    client_ca_pem: bytes | None = None,
    static_tokens: Mapping[str, UserInfo] | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Auth:
    """Everything wired to `reader`, following its objects from now on.

    `key_directory` holds the token signing key, made on first use. With `client_ca_pem` only certificates
    of that authority identify a user. Raises PkiError and OSError.
    """
    keys = SigningKeys(key_directory)
    keys.rotate_if_due(clock())
    tokens = ServiceAccountTokens(keys, reader, clock=clock)
    issuer = peer_name(x509.load_pem_x509_certificate(client_ca_pem).subject) if client_ca_pem else None
    authenticator = RequestAuthenticator(tokens, issuer, static_tokens)
    access, node_access = RoleBasedAccess(), NodeAccess()
    access.observe(reader)
    node_access.observe(reader)
    authorizer = AnyOf((node_access, access))
    return Auth(
        authenticator,
        authorizer,
        access,
        tokens,
        reviews.handlers(authenticator, authorizer, authorizer, clock),
    )


def peer_name(name: x509.Name) -> tuple[tuple[tuple[str, str], ...], ...]:
    """A distinguished name in the form of `ssl.SSLObject.getpeercert()`."""
    return tuple(
        tuple(
            (
                _SHORT_NAMES.get(attribute.rfc4514_attribute_name, attribute.rfc4514_attribute_name),
                str(attribute.value),
            )
            for attribute in relative
        )
        for relative in name.rdns
    )
