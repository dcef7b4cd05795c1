"""What others need to verify service account tokens themselves: the OpenID configuration and the keys.

Rules: OpenID Connect Discovery and RFC 7517, in the form a kube-apiserver publishes them.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

KEYS_PATH = "/openid/v1/jwks"


def configuration(issuer: str, address: str) -> dict[str, Any]:
    """`address` is host:port as clients reach the server."""
    return {
        "issuer": issuer,
        "jwks_uri": f"https://{address}{KEYS_PATH}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }


def key_set(keys: Mapping[str, ec.EllipticCurvePublicKey]) -> dict[str, Any]:
    """The public keys by their id, as a JSON Web Key Set."""
    return {"keys": [_key(identifier, key) for identifier, key in keys.items()]}


def _key(identifier: str, key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    return {
        "use": "sig",
        "kty": "EC",
        "kid": identifier,
        "crv": "P-256",
        "alg": "ES256",
        "x": _coordinate(numbers.x),
        "y": _coordinate(numbers.y),
    }


def _coordinate(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()
