"""What the guest agent tells, cut to size.

The guest may be hostile: everything it says is checked and bounded here before it is kept or sent on.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import Any, Final

from edgevirt.api.launcher import GuestInterface, GuestLink, GuestOSInfo

MOST_INTERFACES: Final = 32
MOST_ADDRESSES: Final = 16
LONGEST_TEXT: Final = 256
_LOOPBACK_MAC: Final = "00:00:00:00:00:00"


def os_info(answer: Mapping[str, Any]) -> GuestOSInfo | None:
    """The operating system facts in libvirt's guestInfo answer; None if it has none."""

    def fact(name: str) -> str:
        return _text(answer.get(f"os.{name}"))

    info = GuestOSInfo(
        id=fact("id"),
        name=fact("name"),
        pretty_name=fact("pretty-name"),
        version=fact("version"),
        version_id=fact("version-id"),
        kernel_release=fact("kernel-release"),
        kernel_version=fact("kernel-version"),
        machine=fact("machine"),
    )
    return info if info != GuestOSInfo() else None


def interfaces(links: Iterable[GuestLink], answer: Mapping[str, Any]) -> tuple[GuestInterface, ...]:
    """Every NIC of the VM with what the guest says about it, then the guest's other interfaces.

    NICs are matched by MAC; what only the guest knows has the name "". Loopback is left out.
    """
    said: dict[str, list[GuestInterface]] = {}
    for name, details in list(answer.items())[:MOST_INTERFACES]:
        if not isinstance(details, Mapping):
            continue
        mac = _text(details.get("hwaddr")).lower()
        if mac == _LOOPBACK_MAC or name == "lo":
            continue
        one = GuestInterface(
            mac=mac, interface_name=_text(name), ip_addresses=_addresses(details.get("addrs"))
        )
        said.setdefault(mac, []).append(one)
    found = []
    for link in links:
        known = said.get(link.mac.lower())
        guest = known.pop(0) if known else GuestInterface()
        found.append(
            GuestInterface(
                name=link.name,
                mac=link.mac,
                interface_name=guest.interface_name,
                ip_addresses=guest.ip_addresses,
            )
        )
    return (*found, *(one for rest in said.values() for one in rest))


def _addresses(given: object) -> tuple[str, ...]:
    """Valid addresses, IPv4 first, link-local last, otherwise as the guest orders them."""
    found: list[str] = []
    for entry in given if isinstance(given, list) else ():
        text = _text(entry.get("addr")) if isinstance(entry, Mapping) else ""
        if len(found) < MOST_ADDRESSES and _is_address(text) and text not in found:
            found.append(text)
    return tuple(sorted(found, key=_rank))


def _rank(address: str) -> int:
    if ":" not in address:
        return 0
    return 2 if address.lower().startswith("fe80") else 1


def _is_address(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def _text(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(character for character in value[:LONGEST_TEXT] if character.isprintable())
