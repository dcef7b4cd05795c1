"""One keep-alive TLS connection that parses as little HTTP as can be.

An answer is its status and its length. `drive` keeps a connection busy without a task per request: the next
request is written from where the last answer was received.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from bench.instance import BenchError
from edgevirt.kube import kubeconfig
from edgevirt.kube.tls import client_context

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")
_LAST_CHUNK = b"\r\n0\r\n\r\n"

Take = Callable[[], bytes | None]
"""The next request to send, or None when there is nothing left to do."""


@dataclass(frozen=True)
class Target:
    """Where requests go, and the headers they all have."""

    host: str
    port: int
    context: ssl.SSLContext
    headers: bytes

    @classmethod
    def of(cls, path: Path) -> Target:
        """What a kubeconfig says: client certificate or token. Raises `BenchError` for other credentials."""
        config = kubeconfig.load(path)
        server = urlsplit(config.server)
        if config.exec is not None or config.username:
            raise BenchError(f"{path}: only client certificates and tokens can be used here")
        token = config.token_file.read_text().strip() if config.token_file else config.token
        host = server.hostname or ""
        headers = f"Host: {host}\r\nUser-Agent: bench/1\r\n"
        if token:
            headers += f"Authorization: Bearer {token}\r\n"
        return cls(host, server.port or 443, client_context(config), headers.encode())

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nAccept: {accept}\r\n"
        if body:
            head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        return b"".join((head.encode(), self.headers, b"\r\n", body))

    async def connect(self, count: int) -> list[Connection]:
        loop = asyncio.get_running_loop()
        made: list[Connection] = []
        for _ in range(count):
            _, protocol = await loop.create_connection(
                Connection, self.host, self.port, ssl=self.context, server_hostname=self.host
            )
            made.append(protocol)
        return made


class Connection(asyncio.Protocol):
    """`ask` for one answer, `drive` for many, `stream` for an endless one."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._wanted = 0
        self._chunked = False
        self._waiter: asyncio.Future[bytes] | None = None
        self._take: Take | None = None
        self._sent = 0.0
        self._latencies: list[float] = []
        self._on_data: Callable[[bytes], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, but not by inheritance

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(BenchError(f"the server closed the connection: {exc}"))

    async def ask(self, request: bytes) -> bytes:
        """The answer's body. Raises `BenchError` for a status that is not 2xx."""
        answer = await self._send(request)
        head, _, body = answer.partition(b"\r\n\r\n")
        return _joined(body) if _CHUNKED.search(head) else body

    async def drive(self, take: Take, latencies: list[float]) -> None:
        """Sends what `take` gives, one after the other; adds the seconds each took to `latencies`."""
        self._latencies = latencies
        self._take = take
        if (request := take()) is not None:
            await self._send(request)
        self._take = None

    async def stream(self, request: bytes, on_data: Callable[[bytes], None]) -> None:
        """Sends a watch and hands what comes to `on_data`, head included; returns once something came."""
        loop = asyncio.get_running_loop()
        begun = loop.create_future()

        def first(data: bytes) -> None:
            self._on_data = on_data
            if data[9:10] == b"2":
                begun.set_result(None)
                on_data(data)
            else:
                begun.set_exception(BenchError(f"watch refused: {data[:300].decode()}"))

        self._on_data = first
        self._transport.write(request)
        await begun

    def _send(self, request: bytes) -> asyncio.Future[bytes]:
        self._waiter = asyncio.get_running_loop().create_future()
        self._sent = time.perf_counter()
        self._transport.write(request)
        return self._waiter

    def data_received(self, data: bytes) -> None:
        if self._on_data is not None:
            self._on_data(data)
            return
        self._parts.append(data)
        self._size += len(data)
        if not self._wanted and not self._chunked and not self._read_head():
            return
        if self._chunked:
            if not data.endswith(_LAST_CHUNK) and not b"".join(self._parts[-2:]).endswith(_LAST_CHUNK):
                return
        elif self._size < self._wanted:
            return
        self._answered()

    def _read_head(self) -> bool:
        seen = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        end = seen.find(b"\r\n\r\n")
        if end < 0:
            return False
        length = _LENGTH.search(seen, 0, end)
        if length is not None:
            self._wanted = end + 4 + int(length[1])
        elif _CHUNKED.search(seen, 0, end):
            self._chunked = True
        else:
            self._fail(BenchError(f"an answer without a length: {seen[:300].decode()}"))
            return False
        return True

    def _answered(self) -> None:
        first = self._parts[0]
        if first[9:10] != b"2":
            self._fail(BenchError(f"refused: {b''.join(self._parts)[:600].decode()}"))
            return
        now = time.perf_counter()
        take = self._take
        if take is not None:
            self._latencies.append(now - self._sent)
            following = take()
            if following is not None:
                self._reset()
                self._sent = time.perf_counter()
                self._transport.write(following)
                return
        answer = first if len(self._parts) == 1 else b"".join(self._parts)
        self._reset()
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(answer)

    def _reset(self) -> None:
        self._parts, self._size, self._wanted, self._chunked = [], 0, 0, False

    def _fail(self, error: BenchError) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def close(self) -> None:
        self._transport.close()


def _joined(body: bytes) -> bytes:
    """A chunked body in one piece."""
    parts: list[bytes] = []
    position = 0
    while True:
        end = body.index(b"\r\n", position)
        size = int(body[position:end], 16)
        if not size:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + size])
        position = end + 4 + size
