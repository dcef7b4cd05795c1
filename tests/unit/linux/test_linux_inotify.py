"""File system events reach their callbacks, and only those."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from edgevirt.linux import inotify
from edgevirt.linux.readiness import readable

pytestmark = pytest.mark.unit


async def told(names: asyncio.Queue[str]) -> str:
    async with asyncio.timeout(5):
        return await names.get()


async def test_a_new_entry_is_told_by_name(tmp_path: Path) -> None:
    names: asyncio.Queue[str] = asyncio.Queue()
    with inotify.Watcher() as watcher:
        watcher.add(tmp_path, inotify.IN_CREATE | inotify.IN_MOVED_TO, names.put_nowait)
        (tmp_path / "made").touch()
        assert await told(names) == "made"
        (tmp_path / "made").rename(tmp_path / "moved")
        assert await told(names) == "moved"


async def test_a_change_of_the_watched_file_has_no_name(tmp_path: Path) -> None:
    names: asyncio.Queue[str] = asyncio.Queue()
    file = tmp_path / "log"
    file.touch()
    with inotify.Watcher() as watcher:
        watcher.add(file, inotify.IN_MODIFY, names.put_nowait)
        file.write_text("line\n")
        assert await told(names) == ""


async def test_a_removed_watch_tells_nothing(tmp_path: Path) -> None:
    removed: asyncio.Queue[str] = asyncio.Queue()
    kept: asyncio.Queue[str] = asyncio.Queue()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with inotify.Watcher() as watcher:
        handle = watcher.add(tmp_path / "a", inotify.IN_CREATE, removed.put_nowait)
        watcher.add(tmp_path / "b", inotify.IN_CREATE, kept.put_nowait)
        (tmp_path / "a" / "before").touch()
        watcher.remove(handle)
        (tmp_path / "b" / "after").touch()
        assert await told(kept) == "after"
        assert removed.empty()
        watcher.remove(handle)


async def test_a_watched_file_may_go_away(tmp_path: Path) -> None:
    names: asyncio.Queue[str] = asyncio.Queue()
    directory = tmp_path / "d"
    directory.mkdir()
    with inotify.Watcher() as watcher:
        handle = watcher.add(directory, inotify.IN_DELETE_SELF, names.put_nowait)
        directory.rmdir()
        assert await told(names) == ""
        watcher.remove(handle)


async def test_an_overflow_tells_everybody(tmp_path: Path) -> None:
    names: asyncio.Queue[str] = asyncio.Queue()
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip("the kernel's queue is too long to overflow in a test")
    (tmp_path / "quiet").mkdir()
    busy, other = tmp_path / "busy", tmp_path / "other"
    for file in (busy, other):
        file.touch()
    with inotify.Watcher() as watcher:
        watcher.add(tmp_path / "quiet", inotify.IN_CREATE, names.put_nowait)
        watcher.add(busy, inotify.IN_MODIFY, lambda _: None)
        watcher.add(other, inotify.IN_MODIFY, lambda _: None)
        with busy.open("wb", buffering=0) as one, other.open("wb", buffering=0) as two:
            for _ in range(limit // 2 + 1):  # in turn: equal events in a row become one
                one.write(b"x")
                two.write(b"x")
        assert await told(names) == ""


async def test_a_missing_file_cannot_be_watched(tmp_path: Path) -> None:
    with inotify.Watcher() as watcher, pytest.raises(FileNotFoundError):
        watcher.add(tmp_path / "none", inotify.IN_MODIFY, lambda _: None)


async def test_a_pipe_is_waited_for_until_there_is_something() -> None:
    reader, writer = os.pipe()
    try:
        waiting = asyncio.create_task(readable(reader))
        await asyncio.sleep(0)
        assert not waiting.done()
        os.write(writer, b"x")
        async with asyncio.timeout(5):
            await waiting
    finally:
        os.close(reader)
        os.close(writer)
