"""Names that proxies understand, and the paths they forward. Pure.

Pods, services and nodes are named `name`, `name:port` or `scheme:name:port`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class ProxyName:
    """`scheme` is http, https or "", `port` a number, a name or ""."""

    scheme: str
    name: str
    port: str


def parse_name(text: str) -> ProxyName | None:
    """None for what is no such name."""
    parts = text.split(":")
    match parts:
        case [name]:
            found = ProxyName("", name, "")
        case [name, port]:
            found = ProxyName("", name, port)
        case [scheme, name, port] if scheme in ("", "http", "https"):
            found = ProxyName(scheme, name, port)
        case _:
            return None
    return found if found.name else None


def may_be_reached(address: str) -> bool:
    """Whether an address may be a proxy's target: no loopback, link-local, multicast or unspecified one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    # ::ffff:127.0.0.1 leads to 127.0.0.1, and Python does not call it a loopback address.
    found = getattr(found, "ipv4_mapped", None) or found
    return not (found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified)


def remaining_path(raw_path: str, namespaced: bool) -> str | None:
    """What follows the segment `proxy` of a path as it was sent, with its slash; None without a slash."""
    segments = raw_path.split("/", 8 if namespaced else 6)
    return f"/{segments[-1]}" if len(segments) == (9 if namespaced else 7) else None


def rewritten_location(location: str, prefix: str, hosts: frozenset[str]) -> str:
    """A redirect of the proxied server, as seen through the proxy; one to another host stays."""
    parts = urlsplit(location)
    if parts.netloc and parts.netloc not in hosts:
        return location
    if not parts.path.startswith("/") or parts.path.startswith(f"{prefix}/"):
        return location
    return urlunsplit(("", "", prefix + parts.path, parts.query, parts.fragment))
