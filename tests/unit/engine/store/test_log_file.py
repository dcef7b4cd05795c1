"""A log file a crash has left is opened; one a bad disk has cut is told from it."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from edgevirt.engine.store.database import Database, Limits, Row
from edgevirt.engine.store.errors import StoreCorrupt
from edgevirt.engine.store.log_file import transactions_cut_off

pytestmark = pytest.mark.unit

FRAME = 24 + 8192


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of a store with ten commits, as a kill leaves it."""
    database = Database(tmp_path / "s", Limits())
    for revision in range(1, 11):
        database.commit([Row("ADDED", "c/", f"k{revision}", revision, b"v" * 3000)], None)
    left = shutil.copytree(tmp_path, tmp_path.with_name(tmp_path.name + "-left"))
    database.close()
    return left / "s-wal"


def damage(log: Path, frame: int) -> None:
    content = bytearray(log.read_bytes())
    content[32 + frame * FRAME + 1000] ^= 1
    log.write_bytes(content)


def test_whole_log_is_sound(log: Path) -> None:
    assert transactions_cut_off(log) == 0
    Database(log.with_name("s"), Limits()).close()


def test_missing_empty_and_foreign_logs_are_sound(tmp_path: Path) -> None:
    assert transactions_cut_off(tmp_path / "none") == 0
    for content in (b"", b"short", b"x" * 100_000):
        (tmp_path / "log").write_bytes(content)
        assert transactions_cut_off(tmp_path / "log") == 0


def test_torn_end_is_a_crash(log: Path) -> None:
    content = log.read_bytes()
    for size in range(32, len(content), 1500):
        log.write_bytes(content[:size])
        assert transactions_cut_off(log) == 0


def test_bad_frame_in_the_last_transaction_may_be_a_crash(log: Path) -> None:
    damage(log, (log.stat().st_size - 32) // FRAME - 1)
    assert transactions_cut_off(log) == 0


def test_one_flipped_bit_before_other_transactions_is_damage(log: Path) -> None:
    damage(log, 5)
    assert transactions_cut_off(log) >= 5
    before = log.read_bytes()
    with pytest.raises(StoreCorrupt, match="lie behind a part of it that cannot be read"):
        Database(log.with_name("s"), Limits())
    assert log.read_bytes() == before


def test_a_log_of_full_size_is_checked_quickly(tmp_path: Path) -> None:
    database = Database(tmp_path / "s", Limits(wal_pages=100_000))
    revision = 0
    while (tmp_path / "s-wal").stat().st_size < 8 * 1024 * 1024:
        rows = [Row("ADDED", "c/", f"k{revision + n}", revision + n + 1, b"v" * 3000) for n in range(100)]
        revision += 100
        database.commit(rows, None)
    begun = time.process_time()
    assert transactions_cut_off(tmp_path / "s-wal") == 0
    assert time.process_time() - begun < 2
    print(time.process_time() - begun)
    database.close()
