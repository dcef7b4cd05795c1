from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from edgevirt.engine.kubelet.streaming.pipes import chunks, write_all

pytestmark = pytest.mark.unit


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    for fd in (reader, writer):
        os.set_blocking(fd, False)
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            pass


async def test_everything_written_is_read_in_order(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    data = os.urandom(1 << 20)

    async def write() -> None:
        await write_all(writer, data)
        os.close(writer)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        received = b"".join([part async for part in chunks(reader, asyncio.Event())])
    assert received == data


async def test_reader_that_takes_nothing_holds_the_writer_back(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    stream = chunks(reader, asyncio.Event())
    written = _fill(writer)
    first = await anext(stream)
    assert len(first) <= written
    assert _fill(writer) <= len(first), "no more was taken than was asked for"
    await stream.aclose()


async def test_what_a_child_holds_open_is_not_waited_for(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.write(writer, b"last words")
    ended = asyncio.Event()
    ended.set()
    assert [part async for part in chunks(reader, ended)] == [b"last words"]


async def test_the_end_is_noticed_while_waiting(pipe: tuple[int, int]) -> None:
    reader, _ = pipe
    ended = asyncio.Event()
    asyncio.get_running_loop().call_soon(ended.set)
    async with asyncio.timeout(5):
        assert [part async for part in chunks(reader, ended)] == []


async def test_writing_to_nobody_fails(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        await write_all(writer, b"x")


def _fill(writer: int) -> int:
    """Write until the pipe takes no more; returns how much it took."""
    written = 0
    try:
        while True:
            written += os.write(writer, b"x" * 4096)
    except BlockingIOError:
        return written
