"""One forwarded connection: a pair of streams of the client's, data and error, and a connection in the pod.

What goes wrong is written to the error stream, as text. Each direction ends by itself, as TCP's do. When the
pod has said its last, the error stream is ended too, for older clients wait for that before they hang up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from multidict import MultiMapping

from edgevirt.engine.kubelet.streaming.remote import Sink, Source

PORTFORWARD = "portforward.k8s.io"
MOST_PORTS = 128
"""Of one websocket: each has two channels, which are named by one byte."""
_CHUNK = 32 * 1024

Dial = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""Connects to a port of the pod. Raises OSError."""


class Duplex(Source, Sink, Protocol):
    async def finish(self) -> None:
        """Send no more."""


@dataclass(frozen=True, slots=True)
class Forwarder:
    """`pod` is how error texts name the pod: `name, uid id`."""

    dial: Dial
    pod: str

    async def forward(self, port: int, data: Duplex, error: Duplex) -> None:
        """Carry bytes until both directions have ended. Never raises but for cancellation."""
        try:
            reader, writer = await self.dial(port)
        except OSError as failure:
            text = f"error forwarding port {port} to pod {self.pod}: {failure}"
            with contextlib.suppress(ConnectionError):
                await error.write(text.encode())
            await data.finish()
            await error.finish()
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_into_pod(data, writer))
                tasks.create_task(_out_of_pod(reader, data, error))
        finally:
            writer.close()


async def _into_pod(data: Source, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while received := await data.read():
            writer.write(received)
            await writer.drain()
        writer.write_eof()


async def _out_of_pod(reader: asyncio.StreamReader, data: Duplex, error: Duplex) -> None:
    with contextlib.suppress(OSError):
        while received := await reader.read(_CHUNK):
            await data.write(received)
    await data.finish()
    await error.finish()


def ports(query: MultiMapping[str]) -> tuple[int, ...]:
    """The ports a websocket client names in the query. Raises ValueError with the text for the client."""
    values = query.getall("port", [])
    if not values:
        raise ValueError('query parameter "port" is required')
    found = tuple(parse_port(part) for value in values for part in value.split(","))
    if len(found) > MOST_PORTS:
        raise ValueError(f"{len(found)} ports are more than the {MOST_PORTS} that have channels")
    return found


def parse_port(text: str) -> int:
    """Raises ValueError with the text for the client."""
    if not text:
        raise ValueError('query parameter "port" cannot be empty')
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ValueError(f'unable to parse "{text}" as a port')
    if int(text) < 1:
        raise ValueError(f'port "{text}" must be > 0')
    return int(text)
