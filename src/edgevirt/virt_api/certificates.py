"""Who the peer of a TLS connection is, from the verified certificate `ssl` hands out as a dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Certificate = Mapping[str, Any]


def common_name(certificate: Certificate | None) -> str:
    """The subject's common name; "" if there is no certificate or not exactly one name."""
    subject = (certificate or {}).get("subject", ())
    names = [value for relative in subject for kind, value in relative if kind == "commonName"]
    return names[0] if len(names) == 1 else ""


def has_role(certificate: Certificate | None, role: str, node: str) -> bool:
    """Whether the certificate names exactly one of our roles, and it is this one on this node."""
    alternatives = (certificate or {}).get("subjectAltName", ())
    roles = [value for kind, value in alternatives if kind == "URI" and value.startswith("edgevirt://")]
    return roles == [f"edgevirt://{role}/{node}"]
