"""The SQLite file: opening it safely, committing batches durably, bounding the log.

Two tables: `obj` is the current state, `log` the last revisions in order. A batch is one transaction that
writes both, so a crash leaves either all of it or nothing. WAL with synchronous=FULL: when `commit`
returns, the batch survives a pulled plug.

`reserved` in `meta` is a revision that no revision handed out so far exceeds. It is moved ahead in large
steps, so revisions of writes that never reach the disk are not handed out twice after a crash either.

The file is locked exclusively while it is open: a reader from outside could otherwise keep SQLite from
starting its write-ahead log over, and the log would grow without bound. Reads go through the one connection.

After a failed commit SQLite has rolled back, but what it wrote may still lie in the log file, whole, and be
taken for a commit by whoever opens the file next. The next commit overwrites it; until then the database is
`suspect`. Nothing may be published from memory alone in that state (see `Store`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgevirt.engine import failpoints
from edgevirt.engine.store.errors import (
    CommitFailed,
    StoreCorrupt,
    StoreFull,
    StoreIncompatible,
    StoreLocked,
    StoreUnreadable,
)
from edgevirt.engine.store.log_file import transactions_cut_off

APPLICATION_ID = 0x45565354
FORMAT = 1
_BUSY_TIMEOUT_SECONDS = 5.0

_SCHEMA = """
CREATE TABLE obj(collection TEXT NOT NULL, key TEXT NOT NULL, rv INTEGER NOT NULL, data BLOB NOT NULL,
                 PRIMARY KEY(collection, key)) WITHOUT ROWID;
CREATE TABLE log(rv INTEGER PRIMARY KEY, type TEXT NOT NULL, collection TEXT NOT NULL, key TEXT NOT NULL,
                 data BLOB NOT NULL);
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One change to write: `type` is ADDED, MODIFIED or DELETED."""

    type: str
    collection: str
    key: str
    revision: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """How much history is kept on disk and how large the write-ahead log may grow."""

    log_rows: int = 10_000
    log_bytes: int = 32 * 1024 * 1024
    wal_pages: int = 1_000
    wal_bytes: int = 16 * 1024 * 1024


class Database:
    """The open file. Used by one thread at a time.

    `suspect`: a commit failed, not for want of space, and none has succeeded since. Opening raises
    `StoreLocked`, `StoreCorrupt`, `StoreUnreadable` or `StoreIncompatible`.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path
        self.limits = limits
        self.suspect = False
        self._heals = 0
        self._lock = _lock(path)
        try:
            self._connection = self._open()
            self._log_rows, self._log_bytes = self._measure_log()
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self) -> sqlite3.Connection:
        self._check_log_file()
        try:
            _create_file(self.path)
            connection = _connect(self.path)
        except (OSError, sqlite3.OperationalError) as error:
            raise StoreUnreadable(self.path, str(error)) from error
        try:
            _prepare(connection, self.path, self.limits)
        except sqlite3.OperationalError as error:
            connection.close()
            raise StoreUnreadable(self.path, str(error)) from error
        except sqlite3.DatabaseError as error:
            connection.close()
            raise StoreCorrupt(self.path, str(error)) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_log_file(self) -> None:
        log = self.path.with_name(self.path.name + "-wal")
        try:
            cut_off = transactions_cut_off(log)
        except OSError as error:
            raise StoreUnreadable(self.path, str(error)) from error
        if cut_off:
            raise StoreCorrupt(
                self.path,
                f"{cut_off} transactions in {log.name} lie behind a part of it that cannot be read",
                f"move {log} away to go on without them",
            )

    def _measure_log(self) -> tuple[int, int]:
        rows, size = self._connection.execute("SELECT count(*), total(length(data)) FROM log").fetchone()
        return int(rows), int(size)

    def close(self) -> None:
        self._connection.close()
        os.close(self._lock)

    def value(self, name: str) -> int:
        """A number from `meta`; 0 when it was never set."""
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def last_revision(self) -> int:
        """The highest revision on disk, in the log or in an object."""
        row = self._connection.execute(
            "SELECT max((SELECT ifnull(max(rv), 0) FROM log), (SELECT ifnull(max(rv), 0) FROM obj))"
        ).fetchone()
        return int(row[0])

    def objects(self) -> Iterator[tuple[str, str, int, bytes]]:
        """All current objects as (collection, key, revision, data), ordered by collection and key."""
        yield from self._connection.execute(
            "SELECT collection, key, rv, data FROM obj ORDER BY collection, key"
        )

    def recent(self, byte_budget: int) -> list[tuple[int, str, str, str, bytes]]:
        """The newest log rows that fit the budget, oldest first: (revision, type, collection, key, data)."""
        rows: list[tuple[int, str, str, str, bytes]] = []
        left = byte_budget
        for row in self._connection.execute(
            "SELECT rv, type, collection, key, data FROM log ORDER BY rv DESC"
        ):
            left -= len(row[4])
            if left < 0:
                break
            rows.append(row)
        rows.reverse()
        return rows

    def log_page(
        self, collection: str, after: int, until: int, rows: int
    ) -> tuple[list[tuple[int, str, str, str, bytes]], int]:
        """The collection's changes among the next `rows` log rows in (after, until], and where to go on.

        The second value is `until` when the log was read to its end. Raises `CommitFailed`.
        """
        try:
            (last,) = self._connection.execute(
                "SELECT max(rv) FROM (SELECT rv FROM log WHERE rv > ? AND rv <= ? ORDER BY rv LIMIT ?)",
                (after, until, rows),
            ).fetchone()
            if last is None:
                return [], until
            found = self._connection.execute(
                "SELECT rv, type, collection, key, data FROM log "
                "WHERE rv > ? AND rv <= ? AND collection = ? ORDER BY rv",
                (after, last, collection),
            ).fetchall()
        except sqlite3.Error as error:
            raise CommitFailed(f"the log of the store {self.path.name} cannot be read: {error}") from error
        return found, int(last)

    def commit(self, rows: list[Row], reserved: int | None) -> int:
        """Makes the rows durable in one transaction and returns the lowest revision watches can start after.

        `reserved`, when given, becomes the new reservation. Raises `StoreFull` or `CommitFailed`; then
        nothing was written that this process will ever see.
        """
        connection = self._connection
        try:
            if connection.in_transaction:  # the last rollback failed too
                connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            if self.suspect:
                self._heals += 1
                _set(connection, "heals", self._heals)  # so that there is something to overwrite with
            failpoints.hit(failpoints.BEFORE_ROWS)
            puts = [
                (row.collection, row.key, row.revision, row.data) for row in rows if row.type != "DELETED"
            ]
            if puts:
                connection.executemany(
                    "INSERT INTO obj VALUES(?, ?, ?, ?) ON CONFLICT(collection, key) "
                    "DO UPDATE SET rv = excluded.rv, data = excluded.data",
                    puts,
                )
            deletes = [(row.collection, row.key) for row in rows if row.type == "DELETED"]
            if deletes:
                connection.executemany("DELETE FROM obj WHERE collection = ? AND key = ?", deletes)
            connection.executemany(
                "INSERT INTO log VALUES(?, ?, ?, ?, ?)",
                [(row.revision, row.type, row.collection, row.key, row.data) for row in rows],
            )
            if reserved is not None:
                _set(connection, "reserved", reserved)
            rows_after = self._log_rows + len(rows)
            bytes_after = self._log_bytes + sum(len(row.data) for row in rows)
            compacted = None
            if rows_after > self.limits.log_rows or bytes_after > self.limits.log_bytes:
                rows_after, bytes_after, compacted = self._compact(rows_after, bytes_after)
                failpoints.hit(failpoints.COMPACTING)
            failpoints.hit(failpoints.BEFORE_COMMIT)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            failure = _failure(self.path, error)
            # What did not fit is not whole; anything else may have failed after it was.
            self.suspect = self.suspect or not isinstance(failure, StoreFull)
            self._roll_back()
            raise failure from error
        failpoints.hit(failpoints.COMMITTED)
        self.suspect = False
        self._log_rows, self._log_bytes = rows_after, bytes_after
        return compacted if compacted is not None else -1

    def _compact(self, rows: int, size: int) -> tuple[int, int, int]:
        """Drops the oldest revisions until a tenth of the room is free, within the open transaction."""
        row_goal = self.limits.log_rows * 9 // 10
        byte_goal = self.limits.log_bytes * 9 // 10
        last = 0
        for revision, length in self._connection.execute("SELECT rv, length(data) FROM log ORDER BY rv"):
            if rows <= row_goal and size <= byte_goal:
                break
            rows -= 1
            size -= length
            last = revision
        self._connection.execute("DELETE FROM log WHERE rv <= ?", (last,))
        _set(self._connection, "compacted", last)
        return rows, size, last

    def _roll_back(self) -> None:
        """Leaves no transaction open, now or at the latest when the next commit begins."""
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _create_file(path: Path) -> None:
    """The empty file, for its owner only, with its name and its directory's name on disk."""
    existed = path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)
    os.close(descriptor)
    if existed:
        return
    for directory in (path.parent, path.parent.parent):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _lock(path: Path) -> int:
    lock_path = path.with_name(path.name + ".lock")
    descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreLocked(path) from error
    return descriptor


def _connect(path: Path) -> sqlite3.Connection:
    # Opened in the loop's thread, then handed to the writer thread: never used by two at once.
    return sqlite3.connect(
        path,
        isolation_level=None,
        timeout=_BUSY_TIMEOUT_SECONDS,
        check_same_thread=False,
        cached_statements=32,
    )


def _configure(connection: sqlite3.Connection, limits: Limits) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {limits.wal_pages}")
    connection.execute(f"PRAGMA journal_size_limit = {limits.wal_bytes}")
    connection.execute("PRAGMA cache_size = -2048")


def _prepare(connection: sqlite3.Connection, path: Path, limits: Limits) -> None:
    # Before the first access: then there is no shared memory for others to look into either.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables:
        connection.execute("PRAGMA page_size = 8192")
        _configure(connection, limits)
        connection.executescript(
            f"BEGIN; {_SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};"
            "COMMIT;"
        )
        return
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise StoreIncompatible(f"{path} is an SQLite file, but not a store of this program")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise StoreIncompatible(
            f"the store {path} has format {version}, this version reads up to {FORMAT}; run the newer version"
        )
    if version < FORMAT:
        raise StoreIncompatible(f"the store {path} has format {version}, which no version of edgevirt wrote")
    _configure(connection, limits)
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise StoreCorrupt(path, verdict)


def _set(connection: sqlite3.Connection, name: str, value: int) -> None:
    connection.execute(
        "INSERT INTO meta VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value", (name, value)
    )


def _failure(path: Path, error: sqlite3.Error) -> CommitFailed:
    code = getattr(error, "sqlite_errorcode", 0)
    if (code & 0xFF) == sqlite3.SQLITE_FULL:
        return StoreFull(f"no space left for the store {path.name}; free space on its disk, then retry")
    return CommitFailed(
        f"the store {path.name} cannot be written ({error}); the change is not made. "
        "Check the disk under it, then retry"
    )
