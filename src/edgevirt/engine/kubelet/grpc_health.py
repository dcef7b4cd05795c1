"""Asking a server for its health by gRPC (grpc.health.v1.Health/Check), as probes do.

One unary call over HTTP/2 without TLS needs a handful of frames and no library: the request's header block
is written without compression, and of the answer only the message is read. That is enough, for a call that
fails has no message. Everything the server sends is bounded, and the caller bounds the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 1, 1, 4, 8
_STREAM = 1
_MOST_FRAME = 16_384
_MOST_FRAMES = 64
_MOST_ANSWER = 1024
_STATES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


class Unhealthy(Exception):
    """The server says so, or does not speak the protocol; the message says what it answered."""


async def check(host: str, port: int, service: str) -> None:
    """Returns when the server says that `service` ("" for all of it) is serving. Unhealthy, OSError."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", service))
        state = state_of(await _answer(reader, writer))
    except (asyncio.IncompleteReadError, ValueError) as error:
        raise Unhealthy(f"error: health rpc probe failed: {error}") from error
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if state != "SERVING":
        raise Unhealthy(f'service unhealthy (responded with "{state}")')


def request(authority: str, service: str) -> bytes:
    """All that the client says. Pure."""
    block = b"\x83\x86"  # :method POST, :scheme http, from HPACK's static table
    block += _literal(b"\x04", "/grpc.health.v1.Health/Check")  # :path
    block += _literal(b"\x01", authority)  # :authority
    block += _literal(b"\x0f\x10", "application/grpc")  # content-type
    block += _literal(b"\x0f\x2b", "kube-probe/1.36")  # user-agent
    block += b"\x00" + _text("te") + _text("trailers")
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    body = b"\0" + struct.pack(">I", len(message)) + message
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, _STREAM, block)
        + _frame(_DATA, _END_STREAM, _STREAM, body)
    )


def state_of(answer: bytes) -> str:
    """The serving status in a response message with its gRPC prefix. ValueError for none. Pure."""
    if len(answer) < 5 or answer[0] != 0 or len(answer) < 5 + struct.unpack(">I", answer[1:5])[0]:
        raise ValueError("the server does not implement the gRPC health protocol, or not for this service")
    message = answer[5 : 5 + struct.unpack(">I", answer[1:5])[0]]
    if not message:
        return _STATES[0]
    if len(message) < 2 or message[0] != 0x08 or message[1] >= len(_STATES):
        raise ValueError("the answer is no health status")
    return _STATES[message[1]]


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The data of the response's stream."""
    answer = b""
    for _ in range(_MOST_FRAMES):
        head = await reader.readexactly(9)
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
        if length > _MOST_FRAME:
            raise ValueError("the server does not speak HTTP/2")
        payload = await reader.readexactly(length)
        if kind == _SETTINGS and not flags & _ACK:
            writer.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            writer.write(_frame(_PING, _ACK, 0, payload))
        elif kind in (_RST_STREAM, _GOAWAY):
            raise ValueError("the server ended the call")
        elif stream == _STREAM and kind in (_DATA, _HEADERS):
            if kind == _DATA:
                answer += payload[1 : len(payload) - payload[0]] if flags & _PADDED and payload else payload
            if len(answer) > _MOST_ANSWER:
                raise ValueError("the answer is too long")
            if flags & _END_STREAM:
                return answer
    raise ValueError("the server says too much")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _literal(name: bytes, value: str) -> bytes:
    """A header field that is not to be remembered, its name from the static table."""
    return name + _text(value)


def _text(value: str) -> bytes:
    data = value.encode()
    if len(data) > 126:
        raise ValueError(f"{value!r} is too long for a header")
    return bytes((len(data),)) + data


def _varint(number: int) -> bytes:
    result = b""
    while number > 0x7F:
        result += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return result + bytes((number,))
