"""DHCPv4 messages on the wire (RFC 2131, options of RFC 2132, 3396, 3397, 3442).

Decoding is for hostile input: it reads at most `MAX_SIZE` bytes, never past the end, and raises
`MalformedMessage` instead of anything else. Only the standard library is imported: this runs in
virt-launcher.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

MAX_SIZE = 1500
_MIN_SIZE = 240
_PADDED_SIZE = 300  # BOOTP relays and old clients drop anything shorter
_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_COOKIE = b"\x63\x82\x53\x63"
_PAD, _END = 0, 255
_ETHERNET = 1
_MAX_VALUE = 255
_MAX_LABEL = 63
_NOWHERE = b"\0\0\0\0"


class MalformedMessage(ValueError):
    """Not a DHCPv4 message, or a broken one."""


class Operation(IntEnum):
    REQUEST = 1
    REPLY = 2


class Kind(IntEnum):
    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Option(IntEnum):
    SUBNET_MASK = 1
    ROUTER = 3
    DNS = 6
    HOSTNAME = 12
    DOMAIN = 15
    MTU = 26
    REQUESTED_ADDRESS = 50
    LEASE_SECONDS = 51
    MESSAGE_TYPE = 53
    SERVER = 54
    DOMAIN_SEARCH = 119
    CLASSLESS_ROUTES = 121


@dataclass(frozen=True, slots=True)
class Message:
    """One message; addresses are four bytes in network order, `client` is the Ethernet address."""

    operation: int
    transaction: int
    client: bytes
    flags: int = 0
    client_address: bytes = _NOWHERE
    your_address: bytes = _NOWHERE
    server_address: bytes = _NOWHERE
    relay: bytes = _NOWHERE
    options: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def kind(self) -> int:
        """The message type option, 0 if there is none."""
        value = self.options.get(Option.MESSAGE_TYPE, b"")
        return value[0] if len(value) == 1 else 0


def decode(data: bytes) -> Message:
    """Parse one datagram. Raises MalformedMessage."""
    if not _MIN_SIZE <= len(data) <= MAX_SIZE:
        raise MalformedMessage(f"{len(data)} bytes; a DHCP message has {_MIN_SIZE} to {MAX_SIZE}")
    (operation, hardware, length, _hops, transaction, _seconds, flags, client_address, your_address,
     server_address, relay, client, _name, _file, cookie) = _HEADER.unpack_from(data)  # fmt: skip
    if cookie != _COOKIE:
        raise MalformedMessage("no DHCP magic cookie")
    if (hardware, length) != (_ETHERNET, 6):
        raise MalformedMessage(f"hardware type {hardware} with {length} bytes is not Ethernet")
    if operation not in (Operation.REQUEST, Operation.REPLY):
        raise MalformedMessage(f"operation {operation}")
    return Message(
        operation=operation,
        transaction=transaction,
        client=client[:6],
        flags=flags,
        client_address=client_address,
        your_address=your_address,
        server_address=server_address,
        relay=relay,
        options=_decode_options(data),
    )


def _decode_options(data: bytes) -> dict[int, bytes]:
    options: dict[int, bytes] = {}
    at = _MIN_SIZE
    while at < len(data) and data[at] != _END:
        code = data[at]
        if code == _PAD:
            at += 1
            continue
        if at + 1 >= len(data):
            raise MalformedMessage(f"option {code} has no length")
        end = at + 2 + data[at + 1]
        if end > len(data):
            raise MalformedMessage(f"option {code} reaches past the end")
        options[code] = options.get(code, b"") + data[at + 2 : end]  # repeated options continue each other
        at = end
    return options


def encode(message: Message) -> bytes:
    """The datagram for `message`, options in their order, long values split, padded to 300 bytes."""
    parts = [
        _HEADER.pack(
            message.operation,
            _ETHERNET,
            6,
            0,
            message.transaction,
            0,
            message.flags,
            message.client_address,
            message.your_address,
            message.server_address,
            message.relay,
            message.client,
            b"",
            b"",
            _COOKIE,
        )
    ]
    for code, value in message.options.items():
        for start in range(0, len(value) or 1, _MAX_VALUE):
            piece = value[start : start + _MAX_VALUE]
            parts.append(bytes((code, len(piece))) + piece)
    parts.append(bytes((_END,)))
    return b"".join(parts).ljust(_PADDED_SIZE, b"\0")


def encode_routes(routes: Sequence[tuple[str, str]]) -> bytes:
    """Value of option 121 for (destination CIDR, gateway) pairs."""
    parts: list[bytes] = []
    for destination, gateway in routes:
        network, _, prefix = destination.partition("/")
        length = int(prefix)
        significant = socket.inet_aton(network)[: (length + 7) // 8]
        parts.append(bytes((length,)) + significant + socket.inet_aton(gateway))
    return b"".join(parts)


def encode_search(domains: Sequence[str]) -> bytes:
    """Value of option 119: the first whole names that fit into 255 bytes, unusable ones skipped."""
    value = b""
    for domain in domains:
        try:
            labels = domain.rstrip(".").encode("ascii").split(b".")
        except UnicodeEncodeError:
            continue
        if any(not 0 < len(label) <= _MAX_LABEL for label in labels):
            continue
        name = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
        if len(value) + len(name) > _MAX_VALUE:
            break
        value += name
    return value
