"""The store's files stay bounded under steady writes, whoever wants to read along, and on a full disk."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from nightly import length

from edgevirt.engine.store.database import Limits
from edgevirt.engine.store.errors import Compacted, StoreFull
from edgevirt.engine.store.store import Store, StoreSettings

pytestmark = pytest.mark.fault

MEBIBYTE = 1024 * 1024
LIMITS = Limits(log_rows=2_000, log_bytes=4 * MEBIBYTE, wal_pages=250, wal_bytes=4 * MEBIBYTE)
_READ_ALONG = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0)
try:
    connection.execute("BEGIN")
    print(connection.execute("SELECT count(*) FROM obj").fetchone(), flush=True)
    sys.stdin.read()
except sqlite3.OperationalError as error:
    print(error, flush=True)
"""


async def write_steadily(store: Store, rounds: int) -> int:
    """Creates, changes and deletes; returns the largest size of the write-ahead log seen."""
    collection = store.collection("c/")
    largest = 0
    wal = store._database.path.with_name("store.db-wal")

    async def one(key: str) -> None:
        current = await store.create(collection, key, lambda _: os.urandom(3000))
        current = await store.update(collection, key, current.revision, lambda _: os.urandom(3000))
        await store.delete(collection, key, current.revision, lambda _: b"gone")

    for number in range(rounds):
        await asyncio.gather(*(one(f"{number}-{n}") for n in range(40)))
        largest = max(largest, wal.stat().st_size)
    return largest


async def test_reader_from_outside_cannot_make_the_log_file_grow(tmp_path: Path) -> None:
    """An open read transaction kept SQLite from starting the write-ahead log over: it grew for ever."""
    path = tmp_path / "store.db"
    store = await Store.open(path, StoreSettings(limits=LIMITS))
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    reader = await asyncio.create_subprocess_exec(sys.executable, "-c", _READ_ALONG, str(path), **pipes)
    try:
        assert reader.stdout is not None
        assert await reader.stdout.readline() == b"database is locked\n"
        largest = await write_steadily(store, length(40, 2_000))
    finally:
        await reader.communicate()
    assert largest <= LIMITS.wal_bytes
    # One round's objects, the log, and what a tenth of it freed: not the sum of what was ever written.
    assert path.stat().st_size <= 4 * LIMITS.log_bytes
    assert not path.with_name("store.db-shm").exists()
    await store.close()


async def test_watches_from_the_disk_do_not_make_the_log_file_grow(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store.db", StoreSettings(limits=LIMITS, history_events=10))
    collection = store.collection("c/")
    writing = asyncio.create_task(write_steadily(store, length(20, 500)))
    watched = 0
    while not writing.done():
        with contextlib.suppress(Compacted):
            subscription = await store.subscribe(collection, "", max(store._compacted, store.revision - 300))
            watched += bool(subscription.take(1))
            subscription.close()
        await asyncio.wait({writing}, timeout=0)
    assert await writing <= LIMITS.wal_bytes
    assert watched > 5
    await store.close()


@contextlib.contextmanager
def small_disk(directory: Path, size: int) -> Iterator[Path]:
    """A file system of that many bytes."""
    directory.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={size}".encode()
    assert not libc.mount(b"tmpfs", str(directory).encode(), b"tmpfs", 0, options), ctypes.get_errno()
    try:
        yield directory
    finally:
        libc.umount2(str(directory).encode(), 2)


def fill(file: Path) -> None:
    """Takes all that is left."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(descriptor, b"x" * 4096)
    os.close(descriptor)


async def beat(store: Store) -> None:
    """A sign of life, which needs no disk."""
    collection = store.collection("leases/")
    current = collection.get("l")
    assert current is not None
    await store.update(collection, "l", current.revision, lambda _: b"alive", durable=False)


async def test_full_disk_refuses_writes_until_space_returns(tmp_path: Path) -> None:
    """A real ENOSPC, again and again: nothing acknowledged is lost, and no restart is needed."""
    with small_disk(tmp_path / "disk", 12 * MEBIBYTE) as disk:
        ballast = disk / "ballast"
        store = await Store.open(disk / "store.db", StoreSettings(limits=LIMITS))
        collection = store.collection("c/")
        await store.create(store.collection("leases/"), "l", lambda _: b"born", durable=False)
        kept: dict[str, bytes] = {}
        refusals = 0
        for number in range(length(10, 200)):
            fill(ballast)
            for attempt in range(200):
                key, data = f"{number}-{attempt}", os.urandom(2000)
                try:
                    await store.create(collection, key, lambda _, data=data: data)
                except StoreFull:
                    refusals += 1
                    assert collection.get(key) is None
                    await beat(store)
                    break
                kept[key] = data
            ballast.unlink()
            for key in list(kept)[:-100]:
                del kept[key]
                current = collection.get(key)
                assert current is not None
                await store.delete(collection, key, current.revision, lambda _: b"gone")
            data = os.urandom(2000)
            await store.create(collection, f"after-{number}", lambda _, data=data: data)
            kept[f"after-{number}"] = data
        assert refusals >= 5
        await store.close()
        store = await Store.open(disk / "store.db", StoreSettings(limits=LIMITS))
        assert {record.key: record.data for record in store.collection("c/").scan()} == kept
        await store.close()
