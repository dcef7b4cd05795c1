"""Switching protocols through the proxy: websocket and SPDY connections as raw bytes.

The handshake is forwarded over a fresh TLS connection. Only if the backend answers 101 are the two byte
streams joined; any other answer is read to its end and returned as an ordinary response, and the client's
connection is never joined to the backend (or the next request on it would reach the backend with whatever
identity headers the client writes, CVE-2018-1002105).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping

from aiohttp import web
from multidict import CIMultiDict

from edgevirt.engine.apiserver.aggregation.endpoints import Target
from edgevirt.engine.apiserver.aggregation.headers import returned
from edgevirt.engine.streams.takeover import CHUNK, Taken, taken_over

HANDSHAKE_TIMEOUT = 30.0
MAX_HEAD = 64 * 1024
MAX_BODY = 1024 * 1024


class HandshakeFailed(Exception):
    """The backend's answer to the handshake is no HTTP answer."""


def wants_upgrade(headers: Mapping[str, str]) -> bool:
    """Whether a request asks to switch protocols."""
    tokens = {token.strip().lower() for token in headers.get("Connection", "").split(",")}
    return "upgrade" in tokens and bool(headers.get("Upgrade"))


async def proxy_upgrade(
    request: web.Request,
    target: Target,
    context: ssl.SSLContext | None,
    path: str,
    headers: CIMultiDict[str],
) -> web.StreamResponse:
    """Forwards a handshake and, if it succeeds, all bytes until either side closes. No context, no TLS.

    `headers` are those to send, without Host. Raises OSError, ssl.SSLError, TimeoutError and
    HandshakeFailed while nothing was sent to the client yet.
    """
    async with asyncio.timeout(HANDSHAKE_TIMEOUT):
        reader, writer = await asyncio.open_connection(
            target.host,
            target.port,
            ssl=context,
            server_hostname=target.server_name if context is not None else None,
            limit=MAX_HEAD,
        )
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT):
            writer.write(request_head(request.method, path, target, headers))
            await writer.drain()
            head = await _read_head(reader)
            status, answered = parse_head(head)
            if status != 101:
                body = await _read_body(reader, answered)
                response = web.Response(status=status, body=body, headers=_end_to_end(answered))
                response.force_close()
                return response
        return await _join(request, head, reader, writer)
    finally:
        writer.close()  # delivers what is buffered, in the background


def request_head(method: str, path: str, target: Target, headers: CIMultiDict[str]) -> bytes:
    """The request line and headers as bytes. Raises HandshakeFailed if a value could split the head."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {target.server_name}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if any("\r" in line or "\n" in line for line in lines):
        raise HandshakeFailed("a header holds a line break")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def parse_head(head: bytes) -> tuple[int, CIMultiDict[str]]:
    """Status code and headers of an HTTP/1.1 answer. Raises HandshakeFailed."""
    lines = head.decode("latin-1").split("\r\n")
    protocol, _, rest = lines[0].partition(" ")
    code = rest[:3]
    if not protocol.startswith("HTTP/1.") or not code.isdigit():
        raise HandshakeFailed(f"not an HTTP answer: {lines[0][:80]!r}")
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers.add(name.strip(), value.strip())
    return int(code), headers


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        raise HandshakeFailed("the connection was closed during the handshake") from error
    except asyncio.LimitOverrunError as error:
        raise HandshakeFailed(f"the answer's head is larger than {MAX_HEAD} bytes") from error


async def _read_body(reader: asyncio.StreamReader, headers: CIMultiDict[str]) -> bytes:
    """The body of a refusal, cut at MAX_BODY."""
    try:
        if headers.get("Transfer-Encoding", "").lower() == "chunked":
            return await _read_chunks(reader)
        length = headers.get("Content-Length")
        if length is not None:
            return await reader.readexactly(min(int(length), MAX_BODY))
        return await reader.read(MAX_BODY) if headers.get("Connection", "").lower() == "close" else b""
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise HandshakeFailed(f"the answer's body is malformed: {error}") from error


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while len(body) <= MAX_BODY:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        if size == 0:
            break
        body += await reader.readexactly(min(size, MAX_BODY))
        await reader.readexactly(2)
    return bytes(body[:MAX_BODY])


def _end_to_end(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    kept = returned(headers)
    kept.popall("Content-Length", None)
    return kept


async def _join(
    request: web.Request, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> web.StreamResponse:
    """Takes the client's connection away from aiohttp and joins both streams."""
    async with taken_over(request) as client:
        if client is not None:
            client[1].write(head)
            await _both_ways(client, (reader, writer))
    return Taken()


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _both_ways(one: Stream, other: Stream) -> None:
    """Copies in both directions until either side ends; what was read by then is still delivered."""
    tasks = (
        asyncio.create_task(_copy(one[0], other[1])),
        asyncio.create_task(_copy(other[0], one[1])),
    )
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
    except (ConnectionError, ssl.SSLError, TimeoutError):
        return
