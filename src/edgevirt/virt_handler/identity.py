"""Who the peer of a TLS connection is: the URI `edgevirt://<role>/<node>` in its certificate.

That a certificate comes from our CA says nothing: every component has one. Only the role in it decides, and a
certificate that claims two roles has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

SCHEME = "edgevirt"


def role_of(certificate: Mapping[str, Any] | None) -> str:
    """The role in a certificate as `ssl.SSLSocket.getpeercert` returns it; "" if it has none or several."""
    if not certificate:
        return ""
    names = [urlsplit(value) for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
    ours = [name for name in names if name.scheme == SCHEME]
    return ours[0].netloc if len(ours) == 1 else ""
