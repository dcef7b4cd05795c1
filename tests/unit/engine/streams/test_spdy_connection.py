from __future__ import annotations

import asyncio

import pytest

from edgevirt.engine.streams.spdy_connection import MAX_HELD, Connection, Stream, StreamClosed
from edgevirt.engine.streams.spdy_frames import (
    Data,
    Frame,
    FrameReader,
    FrameWriter,
    GoAway,
    RstStream,
    Settings,
    SynReply,
    SynStream,
    WindowUpdate,
)

pytestmark = pytest.mark.unit


class Wire:
    """A link whose other end is the test."""

    def __init__(self) -> None:
        self._incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self._writer, self._reader = FrameWriter(), FrameReader()
        self.taken = 0
        self.sent: list[Frame] = []
        self.news = asyncio.Condition()
        self.closed = False

    def say(self, *frames: Frame) -> None:
        for frame in frames:
            self._incoming.put_nowait(self._writer.write(frame))

    def hang_up(self) -> None:
        self._incoming.put_nowait(b"")

    @property
    def waiting(self) -> int:
        return self._incoming.qsize()

    async def read(self) -> bytes:
        return await self._incoming.get()

    async def write(self, data: bytes) -> None:
        self.sent += self._reader.feed(data)
        async with self.news:
            self.news.notify_all()

    async def close(self) -> None:
        self.closed = True

    async def until(self, frame: Frame) -> None:
        async with asyncio.timeout(5), self.news:
            await self.news.wait_for(lambda: frame in self.sent)


class Server:
    def __init__(self) -> None:
        self.wire = Wire()
        self.streams: asyncio.Queue[Stream] = asyncio.Queue()
        self.connection = Connection(self.wire, self._opened)

    def _opened(self, stream: Stream) -> bool:
        if stream.header("kind") == "unwanted":
            return False
        self.streams.put_nowait(stream)
        return True

    async def open(self, number: int = 1) -> Stream:
        self.wire.say(SynStream(number, {"kind": ("x",)}))
        return await self.streams.get()


@pytest.fixture
async def server():  # type: ignore[no-untyped-def]
    server = Server()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.connection.run())
        yield server
        running.cancel()


async def test_a_stream_carries_bytes_both_ways(server: Server) -> None:
    stream = await server.open()
    server.wire.say(Data(1, b"ping"), Data(1, b"", fin=True))
    assert await stream.read() == b"ping"
    assert await stream.read() == b""
    await stream.write(b"pong")
    await stream.finish()
    assert server.wire.sent == [SynReply(1, {}), Data(1, b"pong"), Data(1, b"", fin=True)]


async def test_an_unwanted_stream_is_refused(server: Server) -> None:
    server.wire.say(SynStream(1, {"kind": ("unwanted",)}))
    await server.wire.until(RstStream(1, 3))


async def test_a_slow_reader_holds_the_peer_back(server: Server) -> None:
    stream = await server.open()
    other = await server.open(3)
    piece = b"x" * 65536
    for _ in range(20):
        server.wire.say(Data(1, piece))
    server.wire.say(Data(3, b"behind"))
    received = 0
    while received < 20 * len(piece):
        assert server.wire.waiting * len(piece) >= 20 * len(piece) - received - MAX_HELD - 2 * len(piece)
        received += len(await stream.read())
    assert await other.read() == b"behind"


async def test_writing_waits_for_the_peers_window(server: Server) -> None:
    server.wire.say(Settings(((0, 7, 4),)))
    stream = await server.open()
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(stream.write(b"abcdef"))
        await server.wire.until(Data(1, b"abcd"))
        assert not writing.done()
        server.wire.say(WindowUpdate(1, 2))
        await server.wire.until(Data(1, b"ef"))


async def test_writing_to_a_reset_stream_fails(server: Server) -> None:
    server.wire.say(Settings(((0, 7, 0),)))
    stream = await server.open()
    server.wire.say(RstStream(1, 5))
    with pytest.raises(StreamClosed):
        await stream.write(b"x")
    assert await stream.read() == b""


async def test_all_streams_end_with_the_connection(server: Server) -> None:
    server.wire.say(Settings(((0, 7, 0),)))
    stream = await server.open()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(stream.read())
        server.wire.hang_up()
    assert reading.result() == b""
    with pytest.raises(StreamClosed):
        await stream.write(b"x")


async def test_closing_says_goodbye(server: Server) -> None:
    await server.open()
    await server.connection.close()
    assert server.wire.sent[-1] == GoAway(1, 0)
    assert server.wire.closed


async def test_discarded_data_lets_the_others_go_on(server: Server) -> None:
    stream, other = await server.open(), await server.open(3)
    for _ in range(10):
        server.wire.say(Data(1, b"x" * 65536))
    server.wire.say(Data(3, b"behind"))
    await stream.reset()
    assert await other.read() == b"behind"
