"""Channels of a websocket: the first byte of each message says which one it belongs to.

In the base64 variants, for browsers that could not send binary messages, the channel is a digit and the rest
of the text is base64.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import deque
from collections.abc import Mapping

from aiohttp import WSMsgType, web

CLOSE = 255
"""In protocols that have it: the channel named by the next byte gets no more."""
_MAX_HELD = 256 * 1024
_WRITE = 32 * 1024


def parse(message: bytes, text: bool) -> tuple[int, bytes]:
    """The channel and the data of a message that is not empty. Raises ValueError for bad base64. Pure."""
    if not text:
        return message[0], message[1:]
    try:
        return message[0] - ord("0"), base64.b64decode(message[1:], validate=True)
    except binascii.Error as error:
        raise ValueError("the message is no base64") from error


async def dispatch(
    socket: web.WebSocketResponse, inputs: Mapping[int, Channel | None], *, closable: bool, text: bool
) -> None:
    """Hand messages on until the client leaves or says nonsense."""
    async for message in socket:
        if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
            return
        data = message.data.encode() if message.type is WSMsgType.TEXT else message.data
        if not data:
            continue
        try:
            number, body = parse(data, text)
        except ValueError:
            return
        if number == CLOSE and closable:
            channel = inputs.get(body[0]) if body else None
            if channel is not None:
                channel.end()
            continue
        channel = inputs.get(number)
        if channel is not None and body:
            await channel.put(body)


class Channel:
    """What the client sent on one channel and nobody has read yet; `put` waits while that is too much."""

    def __init__(self) -> None:
        self._data: deque[bytes] = deque()
        self._held = 0
        self._ended = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, data: bytes) -> None:
        while self._held > _MAX_HELD and not self._ended:
            self._room.clear()
            await self._room.wait()
        if not self._ended:
            self._data.append(data)
            self._held += len(data)
            self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()
        self._room.set()

    async def read(self) -> bytes:
        while not self._data:
            if self._ended:
                return b""
            self._news.clear()
            await self._news.wait()
        data = self._data.popleft()
        self._held -= len(data)
        self._room.set()
        return data


class Sender:
    """Writes to one channel; `text` for base64."""

    def __init__(self, socket: web.WebSocketResponse, channel: int, text: bool) -> None:
        self._socket = socket
        self._channel = channel
        self._text = text

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data) or 1, _WRITE):
            part = data[start : start + _WRITE]
            if self._text:
                await self._socket.send_str(f"{self._channel}{base64.b64encode(part).decode()}")
            else:
                await self._socket.send_bytes(bytes([self._channel]) + part)
