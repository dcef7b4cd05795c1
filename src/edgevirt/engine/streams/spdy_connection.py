"""SPDY streams on a real connection: reads, writes and the waiting between them.

What is received and not yet read is bounded for the whole connection: beyond it nothing more is read from the
peer, whose library may keep no windows. A stalled reader of one stream therefore stalls the others of such a
peer, as in every Kubernetes. Writes wait for the peer's window and for the connection to drain.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from edgevirt.engine.streams.spdy_frames import FrameError, GoAwayStatus, Headers, ResetStatus
from edgevirt.engine.streams.spdy_session import Ended, Event, Opened, Received, Session, WasReset, Widened

MAX_HELD = 256 * 1024
_MAX_FRAME = 32 * 1024


class Link(Protocol):
    """What carries the bytes."""

    async def read(self) -> bytes:
        """Some bytes; b"" when there will be no more."""

    async def write(self, data: bytes) -> None:
        """Returns when the connection can take more. Raises ConnectionError."""

    async def close(self) -> None: ...


class StreamClosed(ConnectionError):
    """The stream takes no more data: the peer reset it, or the connection is gone."""


class Stream:
    """One of the peer's streams."""

    def __init__(self, connection: Connection, number: int, headers: Headers) -> None:
        self._connection = connection
        self._number = number
        self.headers = headers
        self._received: deque[bytes] = deque()
        self._news = asyncio.Event()
        self.ended = False

    def header(self, name: str) -> str:
        """The first value of a header, "" without it."""
        return next(iter(self.headers.get(name.lower(), ())), "")

    async def read(self) -> bytes:
        """What was received; b"" after the peer's last byte, or when the stream was reset."""
        while not self._received:
            if self.ended:
                return b""
            self._news.clear()
            await self._news.wait()
        data = self._received.popleft()
        await self._connection.consumed(self._number, len(data))
        return data

    async def write(self, data: bytes) -> None:
        """Returns when all of it is on its way. Raises StreamClosed."""
        await self._connection.send(self._number, data)

    async def finish(self) -> None:
        """Send no more; what was written is delivered. Idempotent."""
        await self._connection.finish(self._number)

    async def reset(self, status: ResetStatus = ResetStatus.CANCEL) -> None:
        """End both directions at once. Idempotent."""
        self.discard()
        await self._connection.reset(self._number, status)

    def discard(self) -> None:
        """Forget what was received, and end reading."""
        self._connection.release(sum(map(len, self._received)))
        self._received.clear()
        self.end()

    def push(self, data: bytes) -> None:
        """For the connection: the peer sent `data`."""
        self._received.append(data)
        self._news.set()

    def end(self) -> None:
        """For the connection: the peer sends no more."""
        self.ended = True
        self._news.set()


class Connection:
    """Give it a link and run `run`; new streams are told to `on_stream`, which says whether to accept."""

    def __init__(self, link: Link, on_stream: Callable[[Stream], bool]) -> None:
        self._link = link
        self._on_stream = on_stream
        self._session = Session()
        self._streams: dict[int, Stream] = {}
        self._writing = asyncio.Lock()
        self._widened = asyncio.Condition()
        self._held = 0
        self._drained = asyncio.Event()
        self.gone = False

    async def run(self) -> None:
        """Until the peer is gone or breaks the protocol; then every stream has ended."""
        try:
            while data := await self._link.read():
                await self._receive(data)
                while self._held > MAX_HELD:
                    self._drained.clear()
                    await self._drained.wait()
        except (FrameError, ConnectionError):
            pass
        finally:
            self.gone = True
            for stream in self._streams.values():
                stream.end()
            async with self._widened:
                self._widened.notify_all()

    async def _receive(self, data: bytes) -> None:
        try:
            for event in self._session.receive(data):
                await self._take(event)
        finally:
            await self._flush()

    async def _take(self, event: Event) -> None:
        match event:
            case Opened(number, headers):
                stream = Stream(self, number, headers)
                if self._on_stream(stream):
                    self._streams[number] = stream
                    self._session.reply(number)
                else:
                    self._session.reset(number, ResetStatus.REFUSED_STREAM)
            case Received(number, data):
                target = self._streams.get(number)
                if target is not None and not target.ended:
                    self._held += len(data)
                    target.push(data)
                else:
                    self._session.consumed(number, len(data))
            case Ended(number):
                if (target := self._streams.get(number)) is not None:
                    target.end()
                    self._forget_if_done(number, target)
            case WasReset(number):
                if (target := self._streams.pop(number, None)) is not None:
                    target.end()
                await self._wake()
            case Widened():
                await self._wake()

    async def _wake(self) -> None:
        async with self._widened:
            self._widened.notify_all()

    async def _flush(self) -> None:
        async with self._writing:
            if data := self._session.take():
                await self._link.write(data)

    async def send(self, number: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self.gone or not self._session.writable(number):
                raise StreamClosed("the stream was closed by the other side")
            room = min(self._session.room(number), _MAX_FRAME)
            if not room:
                async with self._widened:
                    await self._widened.wait_for(
                        lambda: self.gone or not self._session.writable(number) or self._session.room(number)
                    )
                continue
            self._session.send(number, bytes(view[:room]))
            view = view[room:]
            await self._flush()

    async def finish(self, number: int) -> None:
        self._session.finish(number)
        if (stream := self._streams.get(number)) is not None:
            self._forget_if_done(number, stream)
        await self._flush_quietly()

    def _forget_if_done(self, number: int, stream: Stream) -> None:
        if stream.ended and not self._session.writable(number):
            del self._streams[number]

    async def reset(self, number: int, status: ResetStatus) -> None:
        self._streams.pop(number, None)
        self._session.reset(number, status)
        await self._flush_quietly()

    async def consumed(self, number: int, count: int) -> None:
        self.release(count)
        self._session.consumed(number, count)
        await self._flush_quietly()

    def release(self, count: int) -> None:
        """`count` bytes are no longer held."""
        self._held -= count
        if self._held <= MAX_HELD:
            self._drained.set()

    async def close(self) -> None:
        """Say goodbye and close the link."""
        self._session.go_away(GoAwayStatus.OK)
        await self._flush_quietly()
        await self._link.close()

    async def _flush_quietly(self) -> None:
        if not self.gone:
            try:
                await self._flush()
            except ConnectionError:
                self.gone = True
