"""The limit of the serial console's log."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from edgevirt.linux.inotify import IN_CLOSE_WRITE, Watcher
from edgevirt.virt_launcher import console_log

pytestmark = pytest.mark.unit


def test_long_log_is_cut_and_its_end_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_log, "LIMIT", 100)
    monkeypatch.setattr(console_log, "KEPT", 10)
    log = tmp_path / "log"
    writer = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(writer, b"x" * 95 + b"the end")
    assert console_log.cut(log)
    os.write(writer, b"afterwards")
    os.close(writer)
    assert log.read_bytes() == b"afterwards"
    assert (tmp_path / "log.old").read_bytes() == b"xxxthe end"
    assert not console_log.cut(log)


async def test_log_is_cut_when_the_guest_prints_not_by_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_log, "LIMIT", 100)
    monkeypatch.setattr(console_log, "KEPT", 10)
    log = tmp_path / "guest" / "log"
    log.parent.mkdir()
    keeping = asyncio.create_task(console_log.keep_short(log, pause=0))
    cut = asyncio.Event()
    with Watcher() as watcher:
        for prints in (b"a" * 200, b"b" * 200):
            async with asyncio.timeout(20):
                watcher.add(log.parent, IN_CLOSE_WRITE, lambda name: cut.set() if name == "log.old" else None)
                with log.open("ab", buffering=0) as writer:
                    writer.write(prints)
                await cut.wait()
                cut.clear()
            assert (log.parent / "log.old").read_bytes() == prints[:10]
    assert log.read_bytes() == b""
    keeping.cancel()


def test_missing_log_is_no_concern(tmp_path: Path) -> None:
    assert not console_log.cut(tmp_path / "log")
