"""The SQLite file: opening it safely, committing batches durably, bounding the log.

Two tables: `obj` is the current state, `log` the last revisions in order. A batch is one transaction that
writes both, so a crash leaves either all of it or nothing. WAL with synchronous=FULL: when `commit`
returns, the batch survives a pulled plug.

`reserved` in `meta` is a revision that no revision handed out so far exceeds. It is moved ahead in large
steps, so revisions of writes that never reach the disk are not handed out twice after a crash either.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgevirt.engine.store.errors import (
    CommitFailed,
    StoreCorrupt,
    StoreFull,
    StoreIncompatible,
    StoreLocked,
)

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
    """The open file. Used by one thread, except for the connections that `reader` returns.

    Opening raises `StoreLocked`, `StoreCorrupt` or `StoreIncompatible`.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path
        self.limits = limits
        self._lock = _lock(path)
        try:
            self._connection = self._open()
            self._log_rows, self._log_bytes = self._measure_log()
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self) -> sqlite3.Connection:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            os.fchmod(descriptor, 0o600)
            os.close(descriptor)
            connection = _connect(self.path)
        except sqlite3.OperationalError as error:
            raise StoreIncompatible(f"cannot open the store {self.path}: {error}") from error
        try:
            _prepare(connection, self.path, self.limits)
        except sqlite3.DatabaseError as error:
            connection.close()
            raise StoreCorrupt(self.path, str(error)) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _measure_log(self) -> tuple[int, int]:
        rows, size = self._connection.execute("SELECT count(*), total(length(data)) FROM log").fetchone()
        return int(rows), int(size)

    def close(self) -> None:
        self._connection.close()
        os.close(self._lock)

    def reader(self) -> sqlite3.Connection:
        """A read-only connection for another thread; the caller closes it."""
        uri = f"{self.path.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_SECONDS, check_same_thread=False)

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

    def commit(self, rows: list[Row], reserved: int | None) -> int:
        """Makes the rows durable in one transaction and returns the lowest revision watches can start after.

        `reserved`, when given, becomes the new reservation. Raises `StoreFull` or `CommitFailed`; then
        nothing was written.
        """
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
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
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._recover(error)
            raise _failure(self.path, error) from error
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

    def _recover(self, error: sqlite3.Error) -> None:
        """Leaves no transaction open; after an I/O error also drops every page SQLite believes is written."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._reopen()
            return
        if _is_io_error(error):
            self._reopen()

    def _reopen(self) -> None:
        """A new connection re-reads what is on disk. If that fails too, the next commit tries again."""
        try:
            replacement = _connect(self.path)
            _configure(replacement, self.limits)
        except sqlite3.Error:
            return
        old, self._connection = self._connection, replacement
        old.close()


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
    _configure(connection, limits)
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise StoreCorrupt(path, verdict)


def _set(connection: sqlite3.Connection, name: str, value: int) -> None:
    connection.execute(
        "INSERT INTO meta VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value", (name, value)
    )


def _is_io_error(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0)
    return (code & 0xFF) in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _failure(path: Path, error: sqlite3.Error) -> CommitFailed:
    code = getattr(error, "sqlite_errorcode", 0)
    if (code & 0xFF) == sqlite3.SQLITE_FULL:
        return StoreFull(f"no space left for the store {path.name}; free space on its disk, then retry")
    return CommitFailed(f"the store {path.name} cannot be written: {error}")
