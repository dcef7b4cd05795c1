"""Port-forward over SPDY, on the connection itself or tunnelled in a websocket's binary messages.

For every connection it accepts the client opens two streams with the same `requestID`, one of `streamType`
error and one data, both naming the `port`. An error stream without a data stream is given up after a while.
"""

from __future__ import annotations

import asyncio

from aiohttp import WSMsgType, web

from edgevirt.engine.kubelet.streaming.portforward import PORTFORWARD, Forwarder, parse_port
from edgevirt.engine.kubelet.streaming.remote import CREATION_SECONDS
from edgevirt.engine.kubelet.streaming.switch import SPDY, running, spdy_connection
from edgevirt.engine.streams.spdy_connection import Link, Stream
from edgevirt.engine.streams.takeover import Taken

TUNNEL = f"{SPDY}+{PORTFORWARD}"
_MAX_MESSAGE = 4 * 1024 * 1024


async def serve_spdy(request: web.BaseRequest, forwarder: Forwarder) -> web.StreamResponse:
    """Answer an upgrade to SPDY."""
    async with asyncio.TaskGroup() as tasks:
        pairs = _Pairs(forwarder, tasks)
        gone = asyncio.Event()
        async with spdy_connection(request, PORTFORWARD, pairs.opened, gone):
            await gone.wait()
        pairs.cancel()
    return Taken()


async def serve_tunnel(request: web.BaseRequest, forwarder: Forwarder) -> web.StreamResponse:
    """Answer a websocket that carries SPDY."""
    socket = web.WebSocketResponse(protocols=(TUNNEL,), compress=False, max_msg_size=_MAX_MESSAGE)
    await socket.prepare(request)
    async with asyncio.TaskGroup() as tasks:
        pairs = _Pairs(forwarder, tasks)
        gone = asyncio.Event()
        link: Link = _SocketLink(socket)
        async with running(link, pairs.opened, gone):
            await gone.wait()
        pairs.cancel()
    return socket


class _Pairs:
    def __init__(self, forwarder: Forwarder, tasks: asyncio.TaskGroup) -> None:
        self._forwarder = forwarder
        self._tasks = tasks
        self._waiting: dict[str, dict[str, Stream]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._running: set[asyncio.Task[None]] = set()

    def opened(self, stream: Stream) -> bool:
        """Whether the stream belongs to a pair."""
        kind, request = stream.header("streamType"), stream.header("requestID")
        try:
            parse_port(stream.header("port"))
        except ValueError:
            return False
        if kind not in ("error", "data") or kind in self._waiting.get(request, {}):
            return False
        pair = self._waiting.setdefault(request, {})
        pair[kind] = stream
        if len(pair) == 2:
            self._begin(request, pair)
        else:
            loop = asyncio.get_running_loop()
            self._timers[request] = loop.call_later(CREATION_SECONDS, self._give_up, request)
        return True

    def _begin(self, request: str, pair: dict[str, Stream]) -> None:
        del self._waiting[request]
        self._timers.pop(request).cancel()
        port = parse_port(pair["data"].header("port"))
        self._start(self._forwarder.forward(port, pair["data"], pair["error"]))

    def _give_up(self, request: str) -> None:
        self._timers.pop(request, None)
        for stream in self._waiting.pop(request, {}).values():
            self._start(stream.reset())

    def _start(self, work: object) -> None:
        assert asyncio.iscoroutine(work)
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def cancel(self) -> None:
        """The client is gone."""
        for timer in self._timers.values():
            timer.cancel()
        for task in tuple(self._running):
            task.cancel()


class _SocketLink:
    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        while True:
            message = await self._socket.receive()
            if message.type is not WSMsgType.BINARY:
                return b""
            if message.data:
                return bytes(message.data)

    async def write(self, data: bytes) -> None:
        await self._socket.send_bytes(data)

    async def close(self) -> None:
        await self._socket.close()
