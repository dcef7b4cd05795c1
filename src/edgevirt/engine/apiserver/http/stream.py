"""An answer without an end: chunks written straight to the connection.

A watch event for two hundred watchers is two hundred writes, so each takes the shortest way: one buffer,
handed to the transport, nothing awaited. Only when a client leaves much unread does the writer wait for it,
and not for ever.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

WRITE_SECONDS = 60.0
_UNREAD_BYTES = 128 * 1024


class Stream:
    """Make it with `begin`; `response` is what the request handler returns in the end."""

    def __init__(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        self.response = response
        self._transport = transport
        self._writer = request.writer

    @classmethod
    async def begin(cls, request: web.BaseRequest) -> Stream:
        """Sends the head of the answer. Raises `ConnectionError` if the client has gone."""
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        response.enable_chunked_encoding()
        await response.prepare(request)
        return cls(request, response)

    async def write(self, *parts: bytes) -> None:
        """Sends `parts` as one chunk. Raises `ConnectionError` if the client has gone or does not read."""
        transport = self._transport
        if transport.is_closing():
            raise ConnectionResetError("the client has gone")
        size = sum(map(len, parts))
        transport.write(b"".join((b"%x\r\n" % size, *parts, b"\r\n")))
        if transport.get_write_buffer_size() > _UNREAD_BYTES:
            await self._until_read()

    async def _until_read(self) -> None:
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._writer.drain()
        except TimeoutError as error:
            raise ConnectionResetError("the client does not read") from error
