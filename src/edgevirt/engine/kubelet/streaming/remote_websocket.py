"""A remote command over a websocket: the first byte of each message names its channel.

Protocols: `v4.channel.k8s.io` and `v5.channel.k8s.io` (which can close a channel: stdin gets its end), the
older `channel.k8s.io` and no name at all (error channel as text), and the base64 variants for browsers that
cannot send binary messages, where the channel is a digit.

The first thing sent is an empty message: it tells clients that wait for something that they are connected.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from edgevirt.engine.kubelet.streaming.channels import Channel, Sender, dispatch
from edgevirt.engine.kubelet.streaming.remote import Remote
from edgevirt.engine.kubelet.streaming.request import Options
from edgevirt.engine.kubelet.streaming.verdict import Verdict, encode

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
PROTOCOLS = {
    "v5.channel.k8s.io": (5, False),
    "v4.channel.k8s.io": (4, False),
    "v4.base64.channel.k8s.io": (4, True),
    "channel.k8s.io": (1, False),
    "base64.channel.k8s.io": (1, True),
    "": (1, False),
}
"""Name -> (version, base64)."""
MAX_MESSAGE = 1024 * 1024


@contextlib.asynccontextmanager
async def remote_over_websocket(
    request: web.BaseRequest, options: Options, protocol: str
) -> AsyncIterator[Remote]:
    """The client's streams on a websocket that is opened here and closed at the end."""
    version, text = PROTOCOLS[protocol]
    socket = web.WebSocketResponse(
        protocols=(protocol,) if protocol else (), compress=False, max_msg_size=MAX_MESSAGE
    )
    await socket.prepare(request)
    stdin = Channel() if options.stdin else None
    resize = Channel() if options.tty else None
    inputs = {STDIN: stdin, RESIZE: resize}
    gone = asyncio.Event()
    stdout, stderr, error = (Sender(socket, channel, text) for channel in (STDOUT, STDERR, ERROR))

    async def finish(verdict: Verdict) -> None:
        with contextlib.suppress(ConnectionError):
            if body := encode(verdict, version):
                await error.write(body)

    async def receive() -> None:
        try:
            await dispatch(socket, inputs, closable=version >= 5, text=text)
        finally:
            for channel in (stdin, resize):
                if channel is not None:
                    channel.end()
            gone.set()

    async with asyncio.TaskGroup() as tasks:
        receiving = tasks.create_task(receive())
        try:
            first = stdout if options.stdout else stderr if options.stderr else error
            with contextlib.suppress(ConnectionError):
                await first.write(b"")
            yield Remote(
                stdin=stdin,
                stdout=stdout if options.stdout else None,
                stderr=stderr if options.stderr else None,
                resize=resize,
                finish=finish,
                gone=gone,
            )
        finally:
            receiving.cancel()
            await asyncio.wait([receiving])
            await socket.close()
