"""MAC addresses that stay: derived from what identifies a machine, so nothing has to be stored or agreed on.

The address of an interface follows from the firmware UUID (random, stored in the VirtualMachine), namespace,
name and interface name. It therefore survives stop, start, migration, host reboot and restore from a backup,
while a clone (new UUID) or a copy under another name gets another one. Manifests are left as their authors
wrote them, which a MAC written into the VirtualMachine's template would not: every tool that compares
manifests with the cluster would see a difference for ever.

Addresses are unicast and locally administered; the other 46 bits are a hash.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

_ADDRESS: Final = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}|[0-9a-f]{2}(?:-[0-9a-f]{2}){5}")


def derived(firmware_uuid: str, namespace: str, name: str, interface: str) -> str:
    """The address of one interface of one machine: always the same, in lower case with colons."""
    seed = "\0".join((firmware_uuid.lower(), namespace, name, interface))
    octets = bytearray(hashlib.sha256(seed.encode()).digest()[:6])
    octets[0] = octets[0] & 0b1111_1100 | 0b10
    return octets.hex(":")


def normalised(text: str) -> str | None:
    """The address in lower case with colons, or None if the text is not a MAC address."""
    lower = text.lower()
    return lower.replace("-", ":") if _ADDRESS.fullmatch(lower) else None


def is_unicast(address: str) -> bool:
    """Whether a normalised address can belong to an interface: not a group address and not all zero."""
    return not int(address[:2], 16) & 1 and address != "00:00:00:00:00:00"
