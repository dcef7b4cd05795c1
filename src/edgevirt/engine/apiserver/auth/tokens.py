"""Service account tokens: issued by TokenRequest, verified on every request.

A token is a JWT signed with ES256 by a key that lives on the box. Beyond signature, issuer, audience and
expiry it is valid only while its service account exists with the same uid, and while the pod, secret or
node it is bound to does: deleting the object revokes the token at once. `nbf` and `iat` are written for
other readers but not enforced, because the box's clock may have been set back since.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.extension import ObjectReader
from edgevirt.engine.apiserver.request import UserInfo
from edgevirt.engine.pki.authority import PkiError, utc_now
from edgevirt.engine.pki.files import write_durably

DEFAULT_AUDIENCE = "https://kubernetes.default.svc.cluster.local"
DEFAULT_LIFETIME = 3600
SHORTEST_LIFETIME = 600
LONGEST_LIFETIME = 2**32
MAX_TOKEN_LENGTH = 16 * 1024
_ALGORITHM = "ES256"
_CLAIMS = "kubernetes.io"
_REMEMBERED = 1024
_EXTRA = "authentication.kubernetes.io/"


class InvalidToken(Exception):
    """The token is malformed, forged, expired, for somebody else, or its object is gone."""


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    user: UserInfo
    audiences: tuple[str, ...]
    """Those of the token's audiences that were asked for."""


def load_or_create_key(directory: Path, name: str = "service-account") -> ec.EllipticCurvePrivateKey:
    """The signing key `<directory>/<name>.key` (0600), created on first use. Raises PkiError, OSError."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o755)
    path = directory / f"{name}.key"
    if not path.exists():
        created = ec.generate_private_key(ec.SECP256R1())
        pem = created.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_durably(path, pem, 0o600)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise PkiError(f"{path} is not a readable private key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PkiError(f"{path} must hold an elliptic-curve key")
    return key


class ServiceAccountTokens:
    """Issues and verifies tokens. All methods run on the event loop and read committed state."""

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey,
        reader: ObjectReader,
        issuer: str = DEFAULT_AUDIENCE,
        audiences: Sequence[str] = (DEFAULT_AUDIENCE,),
        clock: Callable[[], datetime] = utc_now,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._key = key
        self._public_key = key.public_key()
        self._key_id = _key_id(self._public_key)
        self._reader = reader
        self._issuer = issuer
        self._audiences = tuple(audiences)
        self._clock = clock
        self._new_id = new_id
        self._verified: dict[str, Mapping[str, Any]] = {}

    async def issue(self, service_account: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
        """Answers a TokenRequest: spec completed, status filled in.

        Raises StatusError: 422 for a lifetime out of bounds, 404/409/400 for a bound object that does not
        exist, was replaced, or does not run as this service account.
        """
        metadata = service_account["metadata"]
        spec = request.get("spec") or {}
        audiences = list(spec.get("audiences") or self._audiences)
        seconds = spec.get("expirationSeconds")
        lifetime = DEFAULT_LIFETIME if seconds is None else int(seconds)
        _check_lifetime(lifetime)
        reference = spec.get("boundObjectRef")
        private: dict[str, Any] = {
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        if reference:
            private.update(self._bind(metadata["namespace"], metadata["name"], reference))
        now = self._clock().replace(microsecond=0)
        expires = now + timedelta(seconds=lifetime)
        claims = {
            "aud": audiences,
            "exp": int(expires.timestamp()),
            "iat": int(now.timestamp()),
            "iss": self._issuer,
            "jti": self._new_id(),
            "nbf": int(now.timestamp()),
            "sub": username(metadata["namespace"], metadata["name"]),
            _CLAIMS: private,
        }
        token = jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers={"kid": self._key_id})
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "creationTimestamp": rfc3339(now),
            },
            "spec": {
                "audiences": audiences,
                "expirationSeconds": lifetime,
                "boundObjectRef": reference or None,
            },
            "status": {"token": token, "expirationTimestamp": rfc3339(expires)},
        }

    def verify(self, token: str, audiences: Sequence[str] = ()) -> VerifiedToken:
        """Who the token speaks for. `audiences` default to this server's own. Raises InvalidToken."""
        claims = self._signed_claims(token)
        if int(claims["exp"]) <= self._clock().timestamp():
            raise InvalidToken("the token has expired")
        named = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        accepted = tuple(audience for audience in named if audience in (audiences or self._audiences))
        if not accepted:
            raise InvalidToken("the token is for another audience")
        return VerifiedToken(self._user(claims), accepted)

    def _signed_claims(self, token: str) -> Mapping[str, Any]:
        """The claims of a token whose signature was verified now or before; the rest is still to check."""
        known = self._verified.get(token)
        if known is not None:
            return known
        if len(token) > MAX_TOKEN_LENGTH:
            raise InvalidToken("the token is too long")
        try:
            claims = jwt.decode(
                token,
                self._public_key,
                algorithms=[_ALGORITHM],
                options={  # expiry and audience are checked below, against injected values
                    "require": ["exp", "aud", "iss", "sub"],
                    "verify_exp": False,
                    "verify_aud": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_iss": False,
                },
            )
        except (jwt.InvalidTokenError, ValueError) as error:
            raise InvalidToken(f"the token is not one of ours: {error}") from error
        if claims["iss"] != self._issuer or not isinstance(claims.get(_CLAIMS), dict):
            raise InvalidToken("the token was issued by somebody else")
        if len(self._verified) >= _REMEMBERED:
            self._verified.clear()
        self._verified[token] = claims
        return claims

    def _user(self, claims: Mapping[str, Any]) -> UserInfo:
        private = claims[_CLAIMS]
        namespace = private.get("namespace", "")
        account = private.get("serviceaccount") or {}
        if claims["sub"] != username(namespace, account.get("name", "")):
            raise InvalidToken("the token's subject and service account differ")
        self._must_exist("serviceaccounts", namespace, account)
        extra: dict[str, tuple[str, ...]] = {}
        if "jti" in claims:
            extra[f"{_EXTRA}credential-id"] = (f"JTI={claims['jti']}",)
        for kind, plural, home in (
            ("pod", "pods", namespace),
            ("secret", "secrets", namespace),
            ("node", "nodes", ""),
        ):
            bound = private.get(kind)
            if not bound:
                continue
            if kind != "node" or "pod" not in private:  # a pod's node is information, the pod is the bond
                self._must_exist(plural, home, bound)
            if kind != "secret":
                extra[f"{_EXTRA}{kind}-name"] = (bound["name"],)
                extra[f"{_EXTRA}{kind}-uid"] = (bound["uid"],)
        return UserInfo(claims["sub"], account["uid"], groups_of(namespace), extra)

    def _must_exist(self, plural: str, namespace: str, reference: Mapping[str, Any]) -> None:
        found = self._reader.get("", plural, namespace, reference.get("name", ""))
        if found is None or found["metadata"].get("uid") != reference.get("uid"):
            raise InvalidToken(f"{plural} {reference.get('name')!r} of the token does not exist any more")

    def _bind(self, namespace: str, account: str, reference: Mapping[str, Any]) -> dict[str, Any]:
        """The private claims that tie a token to the object it is requested for."""
        kind, name, uid = reference.get("kind", ""), reference.get("name", ""), reference.get("uid", "")
        places = {"Pod": ("pods", namespace), "Secret": ("secrets", namespace), "Node": ("nodes", "")}
        if kind not in places or reference.get("apiVersion", "v1") != "v1":
            raise errors.bad_request(
                f"cannot bind token to object of type {reference.get('apiVersion', '')}, Kind={kind}"
            )
        plural, home = places[kind]
        found = self._reader.get("", plural, home, name)
        if found is None:
            raise errors.not_found(plural, name)
        stored = found["metadata"]["uid"]
        if uid and uid != stored:
            raise errors.conflict(
                plural,
                name,
                f"the UID in the bound object reference ({uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        claims: dict[str, Any] = {kind.lower(): {"name": name, "uid": stored}}
        if kind == "Pod":
            spec = found.get("spec") or {}
            if spec.get("serviceAccountName", "") != account:
                raise errors.bad_request(
                    f'cannot bind token for serviceaccount "{account}" to pod running with different '
                    "serviceaccount name."
                )
            node = self._reader.get("", "nodes", "", spec["nodeName"]) if spec.get("nodeName") else None
            if node is not None:
                claims["node"] = {"name": spec["nodeName"], "uid": node["metadata"]["uid"]}
        return claims


def username(namespace: str, name: str) -> str:
    """The user a service account is."""
    return f"system:serviceaccount:{namespace}:{name}"


def groups_of(namespace: str) -> tuple[str, ...]:
    """The groups of every service account of `namespace`, without system:authenticated."""
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")


def rfc3339(moment: datetime) -> str:
    """UTC, second resolution, as Kubernetes writes times."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_lifetime(seconds: int) -> None:
    fault = ""
    if seconds < SHORTEST_LIFETIME:
        fault = "may not specify a duration less than 10 minutes"
    elif seconds > LONGEST_LIFETIME:
        fault = "may not specify a duration larger than 2^32 seconds"
    if fault:
        cause = Cause("FieldValueInvalid", f"Invalid value: {seconds}: {fault}", "spec.expirationSeconds")
        raise errors.invalid("TokenRequest", "authentication.k8s.io", "", [cause])


def _key_id(key: ec.EllipticCurvePublicKey) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return digest.finalize().hex()[:32]
