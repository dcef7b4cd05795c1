"""Logs: plain files that can be followed, cut, and asked for times."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from edgevirt.engine.kubelet.logs import LogKeeper, LogQuery, read

pytestmark = pytest.mark.unit


async def text(log: Path, ended: asyncio.Event | None = None, **query: object) -> str:
    return b"".join([c async for c in read(log, LogQuery(**query), ended)]).decode()  # type: ignore[arg-type]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "1.log"
    path.write_text("".join(f"line {i}\n" for i in range(10)))
    return path


@pytest.mark.parametrize(
    ("tail", "first"), [(0, None), (1, "line 9"), (3, "line 7"), (10, "line 0"), (99, "line 0")]
)
async def test_tail_gives_the_last_lines(log: Path, tail: int, first: str | None) -> None:
    lines = (await text(log, tail=tail)).splitlines()
    assert len(lines) == min(tail, 10)
    assert (lines[0] if lines else None) == first


async def test_tail_counts_an_unfinished_line(log: Path) -> None:
    with log.open("a") as file:
        file.write("half")
    assert await text(log, tail=1) == "half"


async def test_limit_bytes_cuts(log: Path) -> None:
    assert await text(log, limit_bytes=4) == "line"


async def test_missing_log_is_empty(tmp_path: Path) -> None:
    assert await text(tmp_path / "none.log") == ""


async def test_follow_gives_what_is_written_until_the_end(log: Path) -> None:
    ended = asyncio.Event()
    async with asyncio.timeout(10):
        pieces = read(log, LogQuery(follow=True, tail=1), ended)
        assert await anext(pieces) == b"line 9\n"
        with log.open("a") as file:
            file.write("more\n")
        assert await anext(pieces) == b"more\n"
        ended.set()
        assert [piece async for piece in pieces] == []


async def test_times_are_noted_and_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "1.log"
    log.touch()
    moment = [1000.0]
    noted = asyncio.Event()

    def now() -> float:
        noted.set()
        return moment[0]

    keeper = LogKeeper(1 << 20, now=now)
    keeper.keep(log)
    with log.open("a") as file:
        file.write("at 0\n")
    async with asyncio.timeout(10):
        await noted.wait()
    moment[0] = 1100.0
    with log.open("a") as file:
        file.write("at 1\n")
    keeper.close()
    assert await text(log, timestamps=True) == (
        "1970-01-01T00:16:40.000000000Z at 0\n1970-01-01T00:18:20.000000000Z at 1\n"
    )
    assert await text(log, since=1050.0) == "at 1\n"
    assert await text(log, since=2000.0) == ""


async def test_what_was_written_unwatched_counts_as_written_at_its_end(tmp_path: Path) -> None:
    log = tmp_path / "1.log"
    log.write_text("unwatched\n")
    os.utime(log, (500.0, 500.0))
    keeper = LogKeeper(1 << 20, now=lambda: 1000.0)
    keeper.keep(log)
    keeper.close()
    assert await text(log, timestamps=True) == "1970-01-01T00:08:20.000000000Z unwatched\n"


async def test_head_of_a_long_log_is_cut_without_losing_the_tail(tmp_path: Path) -> None:
    log = tmp_path / "1.log"
    log.touch()
    keeper = LogKeeper(256 << 10)
    writer = os.open(log, os.O_WRONLY | os.O_APPEND)
    try:
        for number in range(40_000):
            os.write(writer, f"line {number:06d} with some text\n".encode())
        keeper.keep(log)
        os.write(writer, b"after the cut\n")
    finally:
        os.close(writer)
        keeper.close()
    assert log.stat().st_blocks * 512 <= 256 << 10
    lines = (await text(log)).splitlines()
    assert lines[-2:] == ["line 039999 with some text", "after the cut"]
    assert all(line.startswith("line ") for line in lines[:-1])
    assert 1000 < len(lines) < 20_000
