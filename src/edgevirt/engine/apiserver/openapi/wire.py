"""Writes protobuf messages without generated classes: tags, varints, strings, nested messages.

Only what a writer needs: fields are appended in ascending order, empty values are left out as proto3 does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

_SINGLE = tuple(bytes((value,)) for value in range(0x80))


def varint(value: int) -> bytes:
    """Base 128 encoding; a negative number is written as 64 bit two's complement."""
    value &= 0xFFFFFFFFFFFFFFFF
    if value < 0x80:
        return _SINGLE[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_BYTES_TAGS = tuple(varint(number << 3 | 2) for number in range(64))


def message(number: int, body: bytes) -> bytes:
    """A nested message, written even when empty: presence matters in a oneof."""
    return _BYTES_TAGS[number] + varint(len(body)) + body


def text(number: int, value: str) -> bytes:
    """A string field; nothing for ""."""
    return message(number, value.encode()) if value else b""


def texts(number: int, values: Iterable[str]) -> bytes:
    """A repeated string field."""
    return b"".join(message(number, value.encode()) for value in values)


def flag(number: int, value: bool) -> bytes:
    """A bool field; nothing for False."""
    return varint(number << 3) + b"\x01" if value else b""


def integer(number: int, value: int) -> bytes:
    """An int64 field; nothing for 0."""
    return varint(number << 3) + varint(value) if value else b""


def double(number: int, value: float) -> bytes:
    """A double field; nothing for 0."""
    return varint(number << 3 | 1) + struct.pack("<d", value) if value else b""
