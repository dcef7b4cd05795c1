"""Port-forward over a websocket as it was before tunnels: channels 2i and 2i+1 are data and error of port i.

Each channel begins with the port's number in two bytes, little-endian. A websocket's channel has no end of
its own, so there is one connection per port, and the socket is closed when all of them are over.
"""

from __future__ import annotations

import asyncio
import struct

from aiohttp import web

from edgevirt.engine.kubelet.streaming.channels import Channel, Sender, dispatch
from edgevirt.engine.kubelet.streaming.portforward import Forwarder

PROTOCOLS = {"v4.channel.k8s.io": False, "v4.base64.channel.k8s.io": True, "": False}
"""Name -> base64."""
_MAX_MESSAGE = 1024 * 1024


async def serve_websocket(
    request: web.BaseRequest, forwarder: Forwarder, protocol: str, ports: tuple[int, ...]
) -> web.StreamResponse:
    """Answer a websocket that carries channels."""
    socket = web.WebSocketResponse(
        protocols=(protocol,) if protocol else (), compress=False, max_msg_size=_MAX_MESSAGE
    )
    await socket.prepare(request)
    text = PROTOCOLS[protocol]
    pairs = [(_Pipe(socket, 2 * i, text), _Pipe(socket, 2 * i + 1, text)) for i in range(len(ports))]
    inputs: dict[int, Channel | None] = {2 * i: data.channel for i, (data, _) in enumerate(pairs)}
    async with asyncio.TaskGroup() as tasks:
        receiving = tasks.create_task(_receive(socket, inputs, text))
        forwarding = [
            tasks.create_task(_forward(forwarder, port, data, error))
            for port, (data, error) in zip(ports, pairs, strict=True)
        ]
        over = tasks.create_task(_all(forwarding))
        await asyncio.wait({receiving, over}, return_when=asyncio.FIRST_COMPLETED)
        for task in (receiving, over, *forwarding):
            task.cancel()
    await socket.close()
    return socket


class _Pipe:
    def __init__(self, socket: web.WebSocketResponse, number: int, text: bool) -> None:
        self.channel = Channel()
        self._sender = Sender(socket, number, text)

    async def read(self) -> bytes:
        return await self.channel.read()

    async def write(self, data: bytes) -> None:
        await self._sender.write(data)

    async def finish(self) -> None:
        """There is no way to say so; and when the pod sends no more, the connection is over."""
        self.channel.end()


async def _forward(forwarder: Forwarder, port: int, data: _Pipe, error: _Pipe) -> None:
    number = struct.pack("<H", port)
    try:
        await data.write(number)
        await error.write(number)
    except ConnectionError:
        return
    await forwarder.forward(port, data, error)


async def _receive(socket: web.WebSocketResponse, inputs: dict[int, Channel | None], text: bool) -> None:
    try:
        await dispatch(socket, inputs, closable=False, text=text)
    finally:
        for channel in inputs.values():
            if channel is not None:
                channel.end()


async def _all(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)
