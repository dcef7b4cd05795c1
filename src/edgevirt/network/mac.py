"""Ethernet addresses: checking the ones users write, making locally administered ones.

A derived address is a function of its seeds, so a second run after a crash arrives at the same answer
without having stored it. Every address made here is unicast and locally administered (first octet
02, 06, 0a or 0e), so it can't meet a vendor's.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable

_COLONS = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def normalize(text: str) -> str:
    """The lower-case, colon-separated form of a unicast MAC address.

    Raises ValueError for anything that is not six octets, and for group addresses, which no NIC can have.
    """
    candidate = text.strip().lower().replace("-", ":")
    if not _COLONS.fullmatch(candidate):
        raise ValueError(f"{text!r} is not a MAC address: expected six octets such as 02:00:00:12:34:56")
    if int(candidate[:2], 16) & 1:
        raise ValueError(f"{text!r} is a multicast address; a network interface needs a unicast one")
    return candidate


def random_mac(entropy: Callable[[int], bytes] = os.urandom) -> str:
    """A fresh locally administered unicast address; `entropy` returns that many random bytes."""
    return _local(entropy(6))


def derived_mac(*seeds: str) -> str:
    """The locally administered unicast address that belongs to `seeds`, always the same one."""
    return _local(hashlib.sha256("\0".join(seeds).encode()).digest()[:6])


def _local(octets: bytes) -> str:
    first = (octets[0] & 0xFC) | 0x02
    return bytes([first, *octets[1:]]).hex(":")
