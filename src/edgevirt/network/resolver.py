"""Reading a pod's resolv.conf, for what its guest is told by DHCP.

The file lies in the pod, so it may say anything: counts are bounded, and only what is an address or a
plausible domain survives. Name servers on loopback addresses are dropped: the guest has its own loopback.
"""

from __future__ import annotations

import ipaddress
import re

from edgevirt.network.binding import Resolver

MAX_SIZE = 64 * 1024
_MAX_SERVERS = 8
_MAX_DOMAINS = 32
_DOMAIN = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*")


def parse(content: bytes) -> Resolver:
    """Name servers (IPv4 only: DHCPv4 carries no others) and search domains, in their order."""
    servers: list[str] = []
    search: list[str] = []
    for line in content[:MAX_SIZE].decode(errors="replace").splitlines():
        words = line.split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver" and _usable(words[1]):
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            search = [word.rstrip(".") for word in words[1:] if _DOMAIN.fullmatch(word.rstrip("."))]
    return Resolver(servers=tuple(servers[:_MAX_SERVERS]), search=tuple(search[:_MAX_DOMAINS]))


def _usable(text: str) -> bool:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return not address.is_loopback and not address.is_unspecified
