"""IP addresses and CIDR blocks, with the strictness of Kubernetes: no zones, no IPv4 in IPv6."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, ClassVar

from edgevirt.engine.cel.errors import EvaluationError
from edgevirt.engine.cel.functions import Overload, function, method, traversal
from edgevirt.engine.cel.types import BOOL, INT, STRING, Type, opaque
from edgevirt.engine.cel.values import Opaque

IP, CIDR = opaque("net.IP"), opaque("net.CIDR")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Address(Opaque):
    cel_type: ClassVar[Type] = IP
    address: _Address

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class Block(Opaque):
    cel_type: ClassVar[Type] = CIDR
    address: _Address
    bits: int

    def __str__(self) -> str:
        return f"{self.address}/{self.bits}"

    def masked(self) -> Block:
        network = ipaddress.ip_network((self.address, self.bits), strict=False)
        return Block(network.network_address, self.bits)

    def contains(self, address: _Address, bits: int) -> bool:
        if address.version != self.address.version or bits < self.bits:
            return False
        return address in ipaddress.ip_network((self.address, self.bits), strict=False)


def parse_address(text: str) -> Address:
    """Raises EvaluationError."""
    if "%" in text:
        raise EvaluationError(f"IP Address {text!r} parse error: IP address with zone value is not allowed")
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise EvaluationError(
            f'IP Address "{text}" parse error during conversion from string: '
            f'ParseAddr("{text}"): unable to parse IP'
        ) from error
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise EvaluationError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return Address(address)


def parse_block(text: str) -> Block:
    """Raises EvaluationError."""
    address, slash, bits = text.partition("/")
    try:
        if not slash or not bits.isdecimal() or (len(bits) > 1 and bits[0] == "0"):
            raise EvaluationError("no prefix length")
        found = parse_address(address).address
    except EvaluationError as error:
        raise EvaluationError(
            f'network address parse error during conversion from string: netip.ParsePrefix("{text}"): invalid'
        ) from error
    if int(bits) > found.max_prefixlen:
        raise EvaluationError(
            f'network address parse error during conversion from string: netip.ParsePrefix("{text}"): '
            "prefix length out of range"
        )
    return Block(found, int(bits))


def _holds(parse: Any) -> Any:
    def check(text: str) -> bool:
        try:
            parse(text)
        except EvaluationError:
            return False
        return True

    return check


def _is_global_unicast(address: _Address) -> bool:
    broadcast = address.version == 4 and int(address) == 2**32 - 1
    return not (
        address.is_unspecified
        or address.is_loopback
        or address.is_multicast
        or address.is_link_local
        or broadcast
    )


def _is_link_local_multicast(address: _Address) -> bool:
    if address.version == 4:
        return int(address) >> 8 == 0xE00000
    return int(address) >> 112 in (0xFF02, 0xFF12)


def _contains_address(block: Block, address: Any) -> bool:
    found = parse_address(address) if isinstance(address, str) else address
    return block.contains(found.address, found.address.max_prefixlen)


def _contains_block(block: Block, other: Any) -> bool:
    found = parse_block(other) if isinstance(other, str) else other
    return block.contains(found.masked().address, found.bits)


def _of_address(name: str, test: Any) -> Overload:
    return method(name, (IP,), BOOL, lambda value: bool(test(value.address)))


_READ = {"price": traversal(0)}

OVERLOADS = [
    function("ip", (STRING,), IP, parse_address, **_READ),
    function("isIP", (STRING,), BOOL, _holds(parse_address), **_READ),
    function("ip.isCanonical", (STRING,), BOOL, lambda text: str(parse_address(text)) == text, **_READ),
    function("cidr", (STRING,), CIDR, parse_block, **_READ),
    function("isCIDR", (STRING,), BOOL, _holds(parse_block), **_READ),
    function("string", (IP,), STRING, str),
    function("string", (CIDR,), STRING, str),
    method("family", (IP,), INT, lambda value: value.address.version),
    _of_address("isUnspecified", lambda address: address.is_unspecified),
    _of_address("isLoopback", lambda address: address.is_loopback),
    _of_address("isLinkLocalUnicast", lambda address: address.is_link_local),
    _of_address("isLinkLocalMulticast", _is_link_local_multicast),
    _of_address("isGlobalUnicast", _is_global_unicast),
    method("containsIP", (CIDR, IP), BOOL, _contains_address),
    method("containsIP", (CIDR, STRING), BOOL, _contains_address),
    method("containsCIDR", (CIDR, CIDR), BOOL, _contains_block),
    method("containsCIDR", (CIDR, STRING), BOOL, _contains_block),
    method("ip", (CIDR,), IP, lambda block: Address(block.address)),
    method("masked", (CIDR,), CIDR, Block.masked),
    method("prefixLength", (CIDR,), INT, lambda block: block.bits),
]
