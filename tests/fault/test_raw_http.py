"""Bytes that are nearly HTTP: each connection is answered or closed in time, and the server neither dies nor
complains.

What the HTTP library makes of broken framing (lengths, chunks, line ends, versions, pipelines) is decided
before any handler of ours runs; here it is shown to hold under our protocol class, its deadlines included.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import pytest
from nightly import length, seed
from server_process import Options, ServerProcess, call, started

pytestmark = pytest.mark.fault

MAPS = "/api/v1/namespaces/default/configmaps"
LIMITS = {"head_seconds": 1.0, "idle_seconds": 2.0, "stall_seconds": 2.0}
SECONDS = 15.0
BODY = b'{"metadata":{"name":"raw"}}'
LINES = (
    b"GET / HTTP/1.1",
    b"GET /api HTTP/1.0",
    b"POST " + MAPS.encode() + b" HTTP/1.1",
    b"GET  /  HTTP/1.1",
    b"GET http://other/api HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"CONNECT x:1 HTTP/1.1",
    b"GET / HTTP/9.9",
    b"PRI * HTTP/2.0",
    b"GET /\x00 HTTP/1.1",
    b"GET",
    b"",
    b"get / http/1.1",
    b"HEAD /healthz HTTP/1.1",
    b"GET /%c0%ae%c0%ae/ HTTP/1.1",
    b"GET //x:80/ HTTP/1.1",
    b"GET /?" + b"&" * 500 + b" HTTP/1.1",
)
HEADERS = (
    b"Host: x",
    b"Host: x\r\nHost: y",
    b"Authorization: Bearer admin",
    b"Content-Type: application/json",
    b"Content-Length: 27",
    b"Content-Length: -1",
    b"Content-Length: 27\r\nContent-Length: 28",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: +5",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: x",
    b"Expect: 100-continue",
    b"Expect: other",
    b"Connection: close",
    b"Connection: upgrade\r\nUpgrade: websocket",
    b"Connection: keep-alive, close",
    b"X: \xff\xfe",
    b"X: a\r\n folded",
    b"No colon",
    b": no name",
    b"X\x00: y",
    b"X: \x00",
    b"Cookie: " + b"c=d;" * 300,
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings",
)
BODIES = (
    b"",
    BODY,
    b"1b\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"zz\r\n",
    b"ffffffffffffffff\r\nx",
    b"-1\r\n",
    b"5;ext=1\r\nab",
    b"0\r\nTrailer: x\r\n\r\n",
    b"1\r\nab\r\n0\r\n\r\n",
    BODY * 50,
    b"\x00" * 100,
)


def nearly_http(chance: random.Random) -> bytes:
    """One or a few requests in a row, with a bit flipped or the end missing now and then."""
    data = b""
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        end = chance.choice((b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"))
        headers = [chance.choice(HEADERS) for _ in range(chance.randrange(6))]
        data += end.join([chance.choice(LINES), *headers, b"", b""]) + chance.choice(BODIES)
    if chance.random() < 0.2:
        data = data[: chance.randrange(len(data) + 1)]
    if data and chance.random() < 0.2:
        position = chance.randrange(len(data))
        data = data[:position] + bytes([data[position] ^ 1 << chance.randrange(8)]) + data[position + 1 :]
    return data


async def send(server: ServerProcess, data: bytes) -> bytes:
    """Everything the server answers until it closes. Raises `TimeoutError` if it does not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=server.context)
    try:
        writer.write(data)
        if writer.can_write_eof():
            writer.write_eof()
        async with asyncio.timeout(SECONDS):
            with contextlib.suppress(ConnectionError):
                return await reader.read()
        return b""
    finally:
        writer.transport.abort()


async def test_nearly_http_is_answered_or_closed(tmp_path: Path) -> None:
    chance = random.Random(seed())
    options = Options(connections=LIMITS, body_seconds=1.0)
    async with started(tmp_path, options) as server:
        requests = [nearly_http(chance) for _ in range(length(400, 20_000))]
        waiting = asyncio.Semaphore(40)

        async def one(data: bytes) -> None:
            async with waiting:
                answer = await send(server, data)
            if answer:
                assert answer.startswith(b"HTTP/1."), (data, answer[:200])
                assert b" 500 " not in answer.partition(b"\r\n")[0], (data, answer[:600])

        await asyncio.gather(*(one(data) for data in requests))
        assert "Traceback" not in server.log()
        async with server.session() as session:
            status, _ = await call(session, "GET", MAPS)
            assert status == 200
