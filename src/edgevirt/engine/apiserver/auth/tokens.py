"""Service account tokens: issued by TokenRequest or for a token secret, verified on every request.

A token is a JWT signed with ES256 by a key that lives on the box. Beyond signature, issuer, audience and
expiry it is valid only while its service account exists with the same uid, and while the pod, secret or
node it is bound to does: deleting the object revokes the token at once. `nbf` and `iat` are written for
other readers but not enforced, because the box's clock may have been set back since. The token of a secret
never expires; it is valid as long as that secret holds it.
"""

from __future__ import annotations

import base64
import hmac
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
from jwt.types import Options

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.auth.signing_keys import SigningKeys
from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.extension import ObjectReader
from edgevirt.engine.apiserver.request import UserInfo
from edgevirt.engine.pki.authority import utc_now

DEFAULT_AUDIENCE = "https://kubernetes.default.svc.cluster.local"
DEFAULT_LIFETIME = 3600
SHORTEST_LIFETIME = 600
LONGEST_LIFETIME = 2**32
MAX_TOKEN_LENGTH = 16 * 1024
_ALGORITHM = "ES256"
_CLAIMS = "kubernetes.io"
_REMEMBERED = 1024
SECRET_ISSUER = "kubernetes/serviceaccount"
_SECRET_CLAIMS = "kubernetes.io/serviceaccount/"
_SIGNATURE_ONLY: Options = {  # the rest is checked here, against injected values
    "require": ["iss", "sub"],
    "verify_exp": False,
    "verify_aud": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_iss": False,
}
_EXTRA = "authentication.kubernetes.io/"


class InvalidToken(Exception):
    """The token is malformed, forged, expired, for somebody else, or its object is gone."""


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    user: UserInfo
    audiences: tuple[str, ...]
    """Those of the token's audiences that were asked for."""


class ServiceAccountTokens:
    """Issues and verifies tokens. All methods run on the event loop and read committed state."""

    def __init__(
        self,
        keys: SigningKeys,
        reader: ObjectReader,
        issuer: str = DEFAULT_AUDIENCE,
        audiences: Sequence[str] = (DEFAULT_AUDIENCE,),
        clock: Callable[[], datetime] = utc_now,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self.keys = keys
        self._reader = reader
        self.issuer = issuer
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
            "iss": self.issuer,
            "jti": self._new_id(),
            "nbf": int(now.timestamp()),
            "sub": username(metadata["namespace"], metadata["name"]),
            _CLAIMS: private,
        }
        token = self._sign(claims)
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

    def issue_for_secret(self, service_account: Mapping[str, Any], secret: str) -> str:
        """The token that a secret of the account's namespace holds."""
        metadata = service_account["metadata"]
        return self._sign(
            {
                "iss": SECRET_ISSUER,
                "sub": username(metadata["namespace"], metadata["name"]),
                f"{_SECRET_CLAIMS}namespace": metadata["namespace"],
                f"{_SECRET_CLAIMS}secret.name": secret,
                f"{_SECRET_CLAIMS}service-account.name": metadata["name"],
                f"{_SECRET_CLAIMS}service-account.uid": metadata["uid"],
            }
        )

    def _sign(self, claims: dict[str, Any]) -> str:
        keys = self.keys
        return jwt.encode(claims, keys.current, algorithm=_ALGORITHM, headers={"kid": keys.current_id})

    def verify(self, token: str, audiences: Sequence[str] = ()) -> VerifiedToken:
        """Who the token speaks for. `audiences` default to this server's own. Raises InvalidToken."""
        claims = self._signed_claims(token)
        if claims["iss"] == SECRET_ISSUER:
            return self._verify_held_by_secret(token, claims, audiences)
        if int(claims["exp"]) <= self._clock().timestamp():
            raise InvalidToken("the token has expired")
        named = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        accepted = tuple(audience for audience in named if audience in (audiences or self._audiences))
        if not accepted:
            raise InvalidToken("the token is for another audience")
        return VerifiedToken(self._user(claims), accepted)

    def _verify_held_by_secret(
        self, token: str, claims: Mapping[str, Any], audiences: Sequence[str]
    ) -> VerifiedToken:
        accepted = tuple(one for one in self._audiences if one in (audiences or self._audiences))
        if not accepted:
            raise InvalidToken("the token is for another audience")
        namespace, name, uid, held_by = (
            str(claims.get(f"{_SECRET_CLAIMS}{key}", ""))
            for key in ("namespace", "service-account.name", "service-account.uid", "secret.name")
        )
        if claims["sub"] != username(namespace, name):
            raise InvalidToken("the token's subject and service account differ")
        secret = self._reader.get("", "secrets", namespace, held_by)
        held = ((secret or {}).get("data") or {}).get("token", "")
        if not hmac.compare_digest(held, base64.b64encode(token.encode()).decode()):
            raise InvalidToken("the token is not the one its secret holds")
        self._must_exist("serviceaccounts", namespace, {"name": name, "uid": uid})
        return VerifiedToken(UserInfo(claims["sub"], uid, groups_of(namespace)), accepted)

    def _signed_claims(self, token: str) -> Mapping[str, Any]:
        """The claims of a token whose signature was verified now or before; the rest is still to check."""
        known = self._verified.get(token)
        if known is not None:
            return known
        if len(token) > MAX_TOKEN_LENGTH:
            raise InvalidToken("the token is too long")
        claims = self._decoded(token)
        if claims["iss"] != SECRET_ISSUER and (
            claims["iss"] != self.issuer
            or not isinstance(claims.get(_CLAIMS), dict)
            or not {"exp", "aud"} <= claims.keys()
        ):
            raise InvalidToken("the token was issued by somebody else")
        if len(self._verified) >= _REMEMBERED:
            self._verified.clear()
        self._verified[token] = claims
        return claims

    def _decoded(self, token: str) -> Mapping[str, Any]:
        """The claims if one of the keys signed them. Raises InvalidToken."""
        try:
            candidates = self.keys.verifying(jwt.get_unverified_header(token).get("kid"))
        except (jwt.InvalidTokenError, ValueError) as error:
            raise InvalidToken(f"the token is malformed: {error}") from error
        fault: Exception | None = None
        for key in candidates:
            try:
                claims: Mapping[str, Any] = jwt.decode(
                    token, key, algorithms=[_ALGORITHM], options=_SIGNATURE_ONLY
                )
            except (jwt.InvalidTokenError, ValueError) as error:
                fault = error
            else:
                return claims
        raise InvalidToken("the token is not one of ours") from fault

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
