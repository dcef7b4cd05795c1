"""Taking a connection away from aiohttp's HTTP server: after `101 Switching Protocols` its bytes are ours.

aiohttp can be left for websockets only; everything else has to borrow the transport. It is given back closed,
so that the server counts the connection as ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest

CHUNK = 64 * 1024
_KEEPALIVE = {socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 15, socket.TCP_KEEPCNT: 4}


class Taken(web.StreamResponse):
    """What a handler returns to aiohttp afterwards: the answer was written already, beneath it."""

    def __init__(self) -> None:
        super().__init__()
        self.force_close()

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class _Borrowed(asyncio.StreamReaderProtocol):
    """Reads the client's bytes in aiohttp's place; `lost` tells that aiohttp missed the connection's end."""

    lost = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        super().connection_lost(exc)


@contextlib.asynccontextmanager
async def taken_over(
    request: web.BaseRequest,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter] | None]:
    """The connection of `request` as streams; None if the client is gone. Closed at the end.

    What is written and not yet sent is still delivered. Return `Taken()` from the handler.
    """
    transport = request.transport
    if transport is None:
        yield None
        return
    _notice_death(transport)
    loop = asyncio.get_running_loop()
    server_side: Any = request.protocol
    reader = asyncio.StreamReader(limit=CHUNK, loop=loop)
    protocol = _Borrowed(reader, loop=loop)
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    transport.resume_reading()
    try:
        yield reader, asyncio.StreamWriter(transport, protocol, reader, loop)
    finally:
        transport.set_protocol(server_side)
        if protocol.lost:
            server_side.connection_lost(None)
        transport.close()


def _notice_death(transport: asyncio.Transport) -> None:
    """A client that is gone without a word is noticed within two minutes, not hours."""
    taken = transport.get_extra_info("socket")
    if taken is not None and taken.family in (socket.AF_INET, socket.AF_INET6):
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            taken.setsockopt(socket.IPPROTO_TCP, option, value)


class TransportLink:
    """A taken-over connection as the link of a SPDY connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        return await self._reader.read(CHUNK)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        """Whoever took the connection over closes it."""
