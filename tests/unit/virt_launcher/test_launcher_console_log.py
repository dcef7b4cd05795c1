"""The limit of the serial console's log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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


def test_missing_log_is_no_concern(tmp_path: Path) -> None:
    assert not console_log.cut(tmp_path / "log")
