"""Answering `101 Switching Protocols` and having a SPDY connection in place of the HTTP one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from edgevirt.engine.streams.negotiation import PROTOCOL_VERSION
from edgevirt.engine.streams.spdy_connection import Connection, Link, Stream
from edgevirt.engine.streams.takeover import TransportLink, taken_over

SPDY = "SPDY/3.1"


@contextlib.asynccontextmanager
async def spdy_connection(
    request: web.BaseRequest, protocol: str, on_stream: Callable[[Stream], bool], gone: asyncio.Event
) -> AsyncIterator[Connection | None]:
    """The request's connection as SPDY; None if the client left before. `gone` is set when it ends."""
    async with taken_over(request) as client:
        if client is None:
            gone.set()
            yield None
            return
        reader, writer = client
        head = f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {SPDY}\r\n"
        writer.write(f"{head}{PROTOCOL_VERSION}: {protocol}\r\n\r\n".encode("latin-1"))
        async with running(TransportLink(reader, writer), on_stream, gone) as connection:
            yield connection


@contextlib.asynccontextmanager
async def running(
    link: Link, on_stream: Callable[[Stream], bool], gone: asyncio.Event
) -> AsyncIterator[Connection]:
    """A SPDY connection that is read until the block ends, and closed then."""
    connection = Connection(link, on_stream)

    async def read() -> None:
        try:
            await connection.run()
        finally:
            gone.set()

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        try:
            yield connection
        finally:
            await connection.close()
            reading.cancel()
