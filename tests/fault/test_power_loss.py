"""The power goes at every write of the store: what was acknowledged is there, nothing is half there.

One recording of the store's file operations from its creation on (commits, compactions of the log,
checkpoints, a clean end and a second start) is replayed up to every boundary, with what was not synced lost,
torn or out of order, and opened again by the store. `make test` takes a sample, the nightly form all.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from crash_states import Contents, acknowledged, states
from nightly import length, seed
from recording_vfs import OK, Injection, Kind, Operation, RecordingVfs, input_output_error

from edgevirt.engine.store import database as database_module
from edgevirt.engine.store.database import Database, Limits, Row
from edgevirt.engine.store.errors import CommitFailed

pytestmark = pytest.mark.fault

LIMITS = Limits(log_rows=30, wal_pages=20)
State = dict[tuple[str, str], tuple[int, bytes]]


@dataclass(frozen=True)
class Expected:
    """All that the file says after a commit."""

    objects: State
    log: tuple[tuple[int, str], ...]
    compacted: int


class Model:
    """Does commits and knows what the file must hold after each attempt. The first is the empty store."""

    def __init__(self, vfs: RecordingVfs, path: Path) -> None:
        self.vfs = vfs
        self.path = path
        self.chance = random.Random(4)
        self.revision = 0
        self.known = Expected({}, (), 0)
        self.after = [self.known]
        self.failures = 0
        self.database = Database(path, LIMITS)
        vfs.acknowledge(0)

    def commit(self) -> None:
        """One batch of creates, updates and deletes; sizes from a few bytes to several pages."""
        objects, log = dict(self.known.objects), list(self.known.log)
        rows: list[Row] = []
        for _ in range(self.chance.choice((1, 1, 1, 2, 7))):
            self.revision += 1
            key = ("c/", f"k{self.chance.randrange(12)}")
            if any(row.key == key[1] for row in rows):
                continue
            data = self.chance.randbytes(self.chance.choice((10, 300, 5_000, 40_000)))
            kind = "ADDED" if key not in objects else self.chance.choice(("MODIFIED", "DELETED"))
            rows.append(Row(kind, *key, self.revision, data))
            if kind == "DELETED":
                del objects[key]
            else:
                objects[key] = (self.revision, data)
            log.append((self.revision, kind))
        compacted = -1
        failure: CommitFailed | None = None
        try:
            compacted = self.database.commit(rows, None)
        except CommitFailed as error:
            failure = error
        if failure is None and compacted >= 0:
            log = [row for row in log if row[0] > compacted]
        attempted = Expected(objects, tuple(log), max(compacted, self.known.compacted))
        self.after.append(attempted)
        if failure is not None:
            self.failures += 1
            return
        self.known = attempted
        self.vfs.acknowledge(len(self.after) - 1)

    def restart(self) -> None:
        self.database.close()
        self.database = Database(self.path, LIMITS)


@dataclass(frozen=True)
class Recording:
    operations: list[Operation]
    after: list[Expected]
    path: str

    def check(self, directory: Path, chosen: random.Random, boundaries: int, variants: int) -> int:
        """Opens what crashes may leave; returns how many were tried. Raises AssertionError."""
        every = range(len(self.operations) + 1)
        tried = 0
        for boundary in every if boundaries >= len(every) else chosen.sample(every, boundaries):
            possible = self.possible(boundary)
            kept = states(self.operations, boundary, frozenset({self.path}), variants)
            for variant, contents in enumerate(kept):
                tried += 1
                found = self._reopened(contents, directory / f"{boundary}-{variant}")
                assert found in possible, f"power lost before operation {boundary}, variant {variant}"
        return tried

    def possible(self, boundary: int) -> list[Expected]:
        """What was acknowledged, or that and one attempt that had no answer, or failed, since."""
        first = max(0, acknowledged(self.operations, boundary))
        after = (o.size for o in self.operations[boundary:] if o.kind is Kind.ACKNOWLEDGED)
        return self.after[first : next(after, len(self.after)) + 1]

    def _reopened(self, contents: Contents, directory: Path) -> Expected:
        directory.mkdir()
        for name, content in contents.items():
            (directory / Path(name).name).write_bytes(content)
        database = Database(directory / Path(self.path).name, LIMITS)
        found = found_in(database)
        # It is not only readable: the next commit works and is all that changes.
        database.commit([Row("ADDED", "d/", "new", 1_000_000, b"new")], None)
        now = found_in(database)
        database.close()
        assert now.objects == {**found.objects, ("d/", "new"): (1_000_000, b"new")}
        shutil.rmtree(directory)
        return found


def found_in(database: Database) -> Expected:
    objects = {(name, key): (revision, data) for name, key, revision, data in database.objects()}
    log = tuple((row[0], row[1]) for row in database.recent(1 << 40))
    return Expected(objects, log, database.value("compacted"))


def record(directory: Path, inject: Injection | None = None) -> tuple[Recording, Model]:
    directory.mkdir()
    path = directory / "store.db"
    with RecordingVfs() as vfs:
        model = Model(vfs, path)
        vfs.inject = inject
        for _ in range(25):
            model.commit()
        vfs.inject = None
        model.restart()
        vfs.inject = inject
        for _ in range(10):
            model.commit()
        vfs.inject = None
        model.database.close()
    return Recording(vfs.operations, model.after, str(path)), model


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory without a disk: the crashes are played, not real, and syncs would only take time."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


def test_recording_covers_what_can_go_wrong(memory: Path) -> None:
    made, model = record(memory / "recorded")
    operations = made.operations
    assert {operation.kind for operation in operations} == set(Kind)
    assert made.after[-1].compacted > 0
    assert not model.failures
    checkpoints = [o for o in operations if o.kind is Kind.WRITE and o.path == made.path]
    assert len(checkpoints) > 20
    restarts = [o for o in operations if o.kind is Kind.WRITE and o.path.endswith("-wal") and not o.offset]
    assert len(restarts) > 2


def test_every_acknowledged_write_survives_a_power_cut_at_any_point(memory: Path) -> None:
    made, _ = record(memory / "recorded")
    tried = made.check(memory, random.Random(seed()), length(120, 1 << 30), length(4, 24))
    assert tried > 200


def test_writes_survive_a_power_cut_after_syncs_that_failed(memory: Path) -> None:
    """A failed sync may lose its pages for ever, whatever later syncs say."""
    chance = random.Random(seed())
    position = 0

    def inject(operation: Operation) -> int:
        nonlocal position
        position += operation.kind is Kind.SYNC
        failing = operation.kind is Kind.SYNC and position % 5 == 0
        return input_output_error(operation) if failing else OK

    made, model = record(memory / "recorded", inject)
    assert model.failures >= 3
    assert made.check(memory, chance, length(120, 1 << 30), length(4, 24)) > 200


def test_a_store_that_does_not_sync_its_commits_is_found_out(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = database_module._configure

    def careless(connection: sqlite3.Connection, limits: Limits) -> None:
        original(connection, limits)
        connection.execute("PRAGMA synchronous = NORMAL")

    monkeypatch.setattr(database_module, "_configure", careless)
    made, _ = record(memory / "recorded")
    monkeypatch.undo()
    with pytest.raises(AssertionError, match="power lost before operation"):
        made.check(memory, random.Random(1), len(made.operations) // 2, 2)


def test_name_of_a_new_store_is_synced_with_its_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite syncs the directory for its own files only; the database's file is made before it looks."""
    synced: list[str] = []
    original = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    directory = tmp_path / "new"
    directory.mkdir()
    Database(directory / "store.db", LIMITS).close()
    assert synced == [str(directory), str(tmp_path)]
    Database(directory / "store.db", LIMITS).close()
    assert len(synced) == 2
