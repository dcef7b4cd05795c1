"""Who sends a request: a client certificate, a bearer token, or nobody ("system:anonymous").

A certificate counts only if it was issued by the client authority: TLS verifies the chain, and the issuer
is compared here as well, because a server may trust further authorities (the front proxy's) for other
ends. Credentials that are present but wrong are an error (401), never "anonymous".

Certificates of node agents carry `edgevirt://<role>/<node>`; both parts become extra values of the user,
which admission uses to confine an agent to its own node.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from multidict import MultiMapping

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.auth.tokens import InvalidToken, ServiceAccountTokens, VerifiedToken
from edgevirt.engine.apiserver.request import UserInfo
from edgevirt.engine.pki.identity import SCHEME, IdentityError, peer_role

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
ANONYMOUS = UserInfo("system:anonymous", groups=(UNAUTHENTICATED,))
NODE_NAME = "authentication.kubernetes.io/node-name"
ROLE = "edgevirt.io/role"
_REMEMBERED = 512
WEBSOCKET_BEARER = "base64url.bearer.authorization.k8s.io."


class RequestAuthenticator:
    """The server's authenticator.

    `client_ca_subject` is the subject of the client authority in the form of `getpeercert()["issuer"]`;
    `static_tokens` map fixed bearer tokens to users (Kubernetes' token auth file).
    """

    def __init__(
        self,
        tokens: ServiceAccountTokens,
        client_ca_subject: tuple[Any, ...] | None = None,
        static_tokens: Mapping[str, UserInfo] | None = None,
    ) -> None:
        self._tokens = tokens
        self._client_ca_subject = client_ca_subject
        self._static_tokens = dict(static_tokens or {})
        self._certificates: dict[int, tuple[Mapping[str, Any], UserInfo]] = {}

    def authenticate(
        self, headers: Mapping[str, str], peer_certificate: Mapping[str, Any] | None
    ) -> UserInfo:
        """The user of a request. Raises StatusError 401 for wrong credentials."""
        if peer_certificate:
            return self._known_certificate(peer_certificate)
        token = bearer_token(headers)
        if not token:
            return ANONYMOUS
        try:
            return self.verify_token(token).user
        except InvalidToken as error:
            raise errors.unauthorized() from error

    def verify_token(self, token: str, audiences: Sequence[str] = ()) -> VerifiedToken:
        """The user behind a bearer token, in system:authenticated. Raises InvalidToken."""
        user = self._static_tokens.get(token)
        if user is not None:
            return VerifiedToken(with_group(user, AUTHENTICATED), tuple(audiences))
        verified = self._tokens.verify(token, audiences)
        return VerifiedToken(with_group(verified.user, AUTHENTICATED), verified.audiences)

    def _known_certificate(self, certificate: Mapping[str, Any]) -> UserInfo:
        """The user of a connection's certificate, worked out at its first request.

        A connection gives the same mapping each time; it is kept, so that no other takes its identity.
        """
        known = self._certificates.get(id(certificate))
        if known is not None and known[0] is certificate:
            return known[1]
        user = self._certificate_user(certificate)
        if len(self._certificates) >= _REMEMBERED:
            self._certificates.clear()
        self._certificates[id(certificate)] = (certificate, user)
        return user

    def _certificate_user(self, certificate: Mapping[str, Any]) -> UserInfo:
        if self._client_ca_subject is not None and certificate.get("issuer") != self._client_ca_subject:
            raise errors.unauthorized()
        names = [
            (kind, value) for relative_name in certificate.get("subject", ()) for kind, value in relative_name
        ]
        common_names = [value for kind, value in names if kind == "commonName"]
        if len(common_names) != 1 or not common_names[0]:
            raise errors.unauthorized()
        groups = [value for kind, value in names if kind == "organizationName"]
        extra: dict[str, tuple[str, ...]] = {}
        if any(
            kind == "URI" and value.startswith(f"{SCHEME}:")
            for kind, value in certificate.get("subjectAltName", ())
        ):
            try:
                role, node = peer_role(certificate)
            except IdentityError as error:
                raise errors.unauthorized() from error
            extra[ROLE] = (role,)
            if node:
                extra[NODE_NAME] = (node,)
        return with_group(UserInfo(common_names[0], groups=tuple(groups), extra=extra), AUTHENTICATED)


def with_group(user: UserInfo, group: str) -> UserInfo:
    """`user`, also a member of `group`."""
    if group in user.groups:
        return user
    return UserInfo(user.name, user.uid, (*user.groups, group), user.extra)


def bearer_token(headers: Mapping[str, str]) -> str:
    """The token of an Authorization header or of a browser's websocket subprotocol; "" if there is none."""
    scheme, _, rest = headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return rest.split(" ", 1)[0]
    for protocol in subprotocols(headers):
        if protocol.startswith(WEBSOCKET_BEARER):
            encoded = protocol.removeprefix(WEBSOCKET_BEARER)
            try:
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
            except (binascii.Error, UnicodeDecodeError) as error:
                raise errors.unauthorized() from error
    return ""


def subprotocols(headers: Mapping[str, str]) -> Iterator[str]:
    """The websocket subprotocols a client offers."""
    for line in values_of(headers, "Sec-WebSocket-Protocol"):
        for protocol in line.split(","):
            if protocol.strip():
                yield protocol.strip()


def values_of(headers: Mapping[str, str], name: str) -> list[str]:
    """All values of a header that may be repeated."""
    if isinstance(headers, MultiMapping):
        return list(headers.getall(name, []))
    return [headers[name]] if name in headers else []
