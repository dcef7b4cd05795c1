"""The store keeps what it acknowledged, orders what it publishes and never reuses a revision."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edgevirt.engine.store.database import Database, Limits, Row
from edgevirt.engine.store.errors import (
    CommitFailed,
    Compacted,
    KeyExists,
    KeyMissing,
    RevisionConflict,
    StoreCorrupt,
    StoreFull,
    StoreIncompatible,
    StoreLocked,
)
from edgevirt.engine.store.records import EventType
from edgevirt.engine.store.store import RELEASE_BYTES, Store, StoreSettings
from edgevirt.engine.store.writer import MAX_BATCH_BYTES

pytestmark = pytest.mark.unit


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "store.db")
    yield opened
    await opened.close()


async def put(store: Store, name: str, key: str, text: str = "x", **options: bool) -> int:
    collection = store.collection(name)
    current = collection.get(key)
    encode = lambda revision: f"{text}@{revision}".encode()  # noqa: E731
    if current is None:
        return (await store.create(collection, key, encode, **options)).revision
    return (await store.update(collection, key, current.revision, encode, **options)).revision


async def remove(store: Store, name: str, key: str) -> int:
    collection = store.collection(name)
    current = collection.get(key)
    assert current is not None
    return (await store.delete(collection, key, current.revision, lambda r: f"gone@{r}".encode())).revision


async def test_acknowledged_writes_are_there_after_reopening(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store.db")
    await put(store, "pods/", "a/x", "one")
    await put(store, "pods/", "a/y", "two")
    await put(store, "pods/", "a/x", "three")
    await remove(store, "pods/", "a/y")
    before = store.revision
    await store.close()
    store = await Store.open(tmp_path / "store.db")
    records = list(store.collection("pods/").scan())
    assert [(record.key, record.data) for record in records] == [("a/x", b"three@3")]
    assert store.revision >= before
    await store.close()


async def test_revisions_grow_over_a_crash_even_after_volatile_writes(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await Store.open(path)
    seen = [await put(store, "leases/", "n/a", str(n), durable=False) for n in range(50)]
    # A crash: the files are as they are, without the courtesies of close.
    left = shutil.copytree(tmp_path, tmp_path.with_name("after-the-crash"))
    again = await Store.open(left / "store.db")
    assert again.collection("leases/").get("n/a") is None
    assert await put(again, "pods/", "a/x") > max(seen)
    await again.close()
    await store.close()


async def test_volatile_write_does_not_touch_the_disk(store: Store) -> None:
    await put(store, "leases/", "n/a", durable=False)  # carries the first reservation
    before = store._database._connection.total_changes
    for n in range(20):
        await put(store, "leases/", "n/a", str(n), durable=False)
    assert store._database._connection.total_changes == before


async def test_durable_state_survives_volatile_changes_to_the_same_key(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "s")
    await put(store, "nodes/", "n", "durable")
    await put(store, "nodes/", "n", "heartbeat", durable=False)
    record = store.collection("nodes/").get("n")
    assert record is not None
    assert record.data.startswith(b"heartbeat")
    await store.close()
    store = await Store.open(tmp_path / "s")
    record = store.collection("nodes/").get("n")
    assert record is not None
    assert record.data.startswith(b"durable")
    await remove(store, "nodes/", "n")
    await store.close()
    store = await Store.open(tmp_path / "s")
    assert store.collection("nodes/").get("n") is None
    await store.close()


async def test_create_of_an_existing_key_is_refused(store: Store) -> None:
    await put(store, "c/", "k")
    with pytest.raises(KeyExists):
        await store.create(store.collection("c/"), "k", lambda r: b"")


async def test_update_with_a_stale_revision_is_refused(store: Store) -> None:
    first = await put(store, "c/", "k")
    second = await put(store, "c/", "k")
    with pytest.raises(RevisionConflict) as caught:
        await store.update(store.collection("c/"), "k", first, lambda r: b"")
    assert caught.value.actual == second


async def test_update_and_delete_of_a_missing_key_are_refused(store: Store) -> None:
    with pytest.raises(KeyMissing):
        await store.update(store.collection("c/"), "k", 1, lambda r: b"")
    with pytest.raises(KeyMissing):
        await store.delete(store.collection("c/"), "k", 1, lambda r: b"")


async def test_of_concurrent_updates_to_one_state_exactly_one_wins(store: Store) -> None:
    revision = await put(store, "c/", "k")
    results = await asyncio.gather(
        *(store.update(store.collection("c/"), "k", revision, lambda r: b"n") for _ in range(20)),
        return_exceptions=True,
    )
    assert sum(not isinstance(result, Exception) for result in results) == 1
    assert sum(isinstance(result, RevisionConflict) for result in results) == 19


async def test_writes_that_wait_together_share_a_commit(store: Store) -> None:
    commits = 0
    original = store._database.commit

    def counting(rows: list[Row], reserved: int | None) -> int:
        nonlocal commits
        commits += 1
        return original(rows, reserved)

    store._database.commit = counting  # type: ignore[method-assign]
    await asyncio.gather(*(put(store, "c/", f"k{n}") for n in range(200)))
    assert commits < 100
    assert len(store.collection("c/")) == 200


async def test_watch_sees_every_event_after_its_revision_in_order(store: Store) -> None:
    first = await put(store, "c/", "a/1")
    await put(store, "c/", "b/1")
    await put(store, "other/", "a/9")
    subscription = await store.subscribe(store.collection("c/"), "a/", first)
    await put(store, "c/", "a/1")
    await put(store, "c/", "b/2")
    await remove(store, "c/", "a/1")
    events = subscription.take(10)
    assert [(event.type, event.record.key) for event in events] == [
        (EventType.MODIFIED, "a/1"),
        (EventType.DELETED, "a/1"),
    ]
    assert events[0].previous is not None
    assert events[0].previous.revision == first
    subscription.close()
    assert not store.collection("c/").subscriptions


async def test_watch_from_the_past_replays_history(store: Store) -> None:
    start = store.revision
    for n in range(5):
        await put(store, "c/", f"k{n}")
    subscription = await store.subscribe(store.collection("c/"), "", start + 2)
    assert [event.record.key for event in subscription.take(10)] == ["k2", "k3", "k4"]
    subscription.close()


async def test_watch_from_the_future_waits_for_it(store: Store) -> None:
    subscription = await store.subscribe(store.collection("c/"), "", store.revision + 2)
    for n in range(3):
        await put(store, "c/", f"k{n}")
    assert [event.record.key for event in subscription.take(10)] == ["k2"]
    subscription.close()


async def test_watch_continues_over_a_restart(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "s")
    first = await put(store, "c/", "k", "one")
    await put(store, "c/", "k", "two")
    await remove(store, "c/", "k")
    await store.close()
    store = await Store.open(tmp_path / "s")
    subscription = await store.subscribe(store.collection("c/"), "", first)
    events = subscription.take(10)
    assert [event.type.value for event in events] == ["MODIFIED", "DELETED"]
    assert events[1].previous is not None
    assert events[1].previous.data.startswith(b"two")
    subscription.close()
    await store.close()


async def test_watch_older_than_memory_is_read_from_disk(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "s", StoreSettings(history_events=3))
    start = store.revision
    for n in range(20):
        await put(store, "c/", f"k{n % 4}", str(n))
    subscription = await store.subscribe(store.collection("c/"), "", start)
    assert len(subscription.take(100)) == 20
    subscription.close()
    await store.close()


async def test_watch_before_the_compaction_point_is_refused(tmp_path: Path) -> None:
    settings = StoreSettings(limits=Limits(log_rows=20), history_events=5)
    store = await Store.open(tmp_path / "s", settings)
    start = store.revision
    for n in range(60):
        await put(store, "c/", "k", str(n))
    with pytest.raises(Compacted):
        await store.subscribe(store.collection("c/"), "", start)
    (rows,) = store._database._connection.execute("SELECT count(*) FROM log").fetchone()
    assert rows <= 20
    await store.close()
    store = await Store.open(tmp_path / "s", settings)
    with pytest.raises(Compacted):
        await store.subscribe(store.collection("c/"), "", start)
    await store.close()


async def test_log_is_bounded_by_bytes(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "s", StoreSettings(limits=Limits(log_bytes=100_000)))
    for n in range(50):
        await put(store, "c/", f"k{n % 2}", "y" * 10_000)
    (size,) = store._database._connection.execute("SELECT total(length(data)) FROM log").fetchone()
    assert size <= 100_000
    await store.close()


async def test_volatile_collection_is_not_watched_over_a_restart(tmp_path: Path) -> None:
    settings = StoreSettings(volatile_collections=frozenset({"nodes/"}))
    store = await Store.open(tmp_path / "s", settings)
    revision = await put(store, "nodes/", "n")
    await put(store, "nodes/", "n", durable=False)
    await store.close()
    store = await Store.open(tmp_path / "s", settings)
    with pytest.raises(Compacted):
        await store.subscribe(store.collection("nodes/"), "", revision)
    subscription = await store.subscribe(store.collection("nodes/"), "", store.revision)
    subscription.close()
    await store.close()


async def test_snapshot_shows_the_state_of_its_revision(store: Store) -> None:
    await put(store, "c/", "a", "1")
    await put(store, "c/", "b", "1")
    then = store.revision
    await put(store, "c/", "b", "2")
    await put(store, "c/", "c", "1")
    await remove(store, "c/", "a")
    records = store.snapshot(store.collection("c/"), "", then)
    assert [(record.key, record.data[:1]) for record in records] == [("a", b"1"), ("b", b"1")]
    assert [record.key for record in store.snapshot(store.collection("c/"), "", store.revision)] == ["b", "c"]


async def test_snapshot_beyond_history_is_refused(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "s", StoreSettings(history_events=2))
    then = await put(store, "c/", "a")
    for n in range(5):
        await put(store, "c/", f"k{n}")
    with pytest.raises(Compacted):
        store.snapshot(store.collection("c/"), "", then)
    await store.close()


async def test_slow_watcher_is_cut_off(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "s", StoreSettings(watch_events=3))
    slow = await store.subscribe(store.collection("c/"), "", store.revision)
    for n in range(5):
        await put(store, "c/", f"k{n}")
    assert slow.overrun
    assert slow.take(10) == []
    await slow.wait()
    slow.close()
    await store.close()


async def test_full_disk_fails_the_write_and_only_it(store: Store) -> None:
    await put(store, "c/", "before")
    (pages,) = store._database._connection.execute("PRAGMA page_count").fetchone()
    store._database._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFull, match="no space left"):
        await put(store, "c/", "big", "z" * 1_000_000)
    assert store.collection("c/").get("big") is None
    await put(store, "leases/", "n/a", durable=False)
    store._database._connection.execute("PRAGMA max_page_count = 1000000")
    await put(store, "c/", "big", "z" * 1_000_000)
    assert store.collection("c/").get("big") is not None


async def test_failed_batch_leaves_nothing_behind(store: Store) -> None:
    start = store.revision
    original = store._database.commit

    def failing(rows: list[Row], reserved: int | None) -> int:
        raise CommitFailed("disk I/O error")

    store._database.commit = failing  # type: ignore[method-assign]
    subscription = await store.subscribe(store.collection("c/"), "", start)
    results = await asyncio.gather(*(put(store, "c/", f"k{n}") for n in range(5)), return_exceptions=True)
    assert all(isinstance(result, CommitFailed) for result in results)
    assert len(store.collection("c/")) == 0
    assert store.revision == start
    store._database.commit = original  # type: ignore[method-assign]
    await put(store, "c/", "k0")
    assert [event.record.key for event in subscription.take(10)] == ["k0"]
    subscription.close()


class FailsToCommit:
    """A connection whose next COMMIT fails."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self._real = real
        self._failed = False

    def execute(self, statement: str, *arguments: Any) -> Any:
        if statement == "COMMIT" and not self._failed:
            self._failed = True
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return self._real.execute(statement, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


async def test_io_error_of_sqlite_is_reported_and_recovered_from(tmp_path: Path) -> None:
    database = Database(tmp_path / "s", Limits())
    database._connection = FailsToCommit(database._connection)  # type: ignore[assignment]
    with pytest.raises(CommitFailed, match=r"disk I/O error.*Check the disk"):
        database.commit([Row("ADDED", "c/", "k", 1, b"v")], None)
    assert database.suspect
    database.commit([Row("ADDED", "c/", "k", 2, b"v")], None)
    assert not database.suspect
    assert list(database.objects()) == [("c/", "k", 2, b"v")]
    database.close()


async def test_volatile_writes_wait_for_a_commit_after_a_failed_one(store: Store) -> None:
    """What failed may turn up after a crash: nobody may have seen a later revision by then."""
    await put(store, "leases/", "n/a", durable=False)
    store._database._connection = FailsToCommit(store._database._connection)  # type: ignore[assignment]
    with pytest.raises(CommitFailed):
        await put(store, "c/", "k")
    failed = store._assigned
    before = store._database._connection.total_changes
    await put(store, "leases/", "n/a", durable=False)
    assert store.revision > failed
    assert store._database._connection.total_changes > before
    before = store._database._connection.total_changes
    await put(store, "leases/", "n/a", durable=False)
    assert store._database._connection.total_changes == before


async def test_a_batch_is_bounded_in_bytes(store: Store) -> None:
    batches: list[int] = []
    original = store._database.commit

    def measuring(rows: list[Row], reserved: int | None) -> int:
        batches.append(sum(len(row.data) for row in rows))
        return original(rows, reserved)

    store._database.commit = measuring  # type: ignore[method-assign]
    await asyncio.gather(*(put(store, "c/", f"k{n}", "z" * 1_000_000) for n in range(12)))
    assert sum(batches) >= 12_000_000
    assert max(batches) <= MAX_BATCH_BYTES


async def test_reads_of_the_log_do_not_hold_up_writes(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "s", StoreSettings(history_events=3))
    start = store.revision
    for n in range(1200):
        await put(store, "c/", f"k{n % 4}", str(n))
    order: list[str] = []

    async def watch() -> None:
        subscription = await store.subscribe(store.collection("c/"), "", start)
        assert len(subscription.take(2000)) >= 1200
        subscription.close()
        order.append("watch")

    async def write() -> None:
        await put(store, "other/", "k")
        order.append("write")

    watches = [asyncio.create_task(watch()) for _ in range(20)]
    await asyncio.sleep(0)
    await write()
    await asyncio.gather(*watches)
    assert order.index("write") <= 2
    await store.close()


async def test_watch_of_selected_objects_knows_the_state_before_each_event(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "s", StoreSettings(history_events=3))
    await put(store, "c/", "k", "one")
    start = await put(store, "c/", "k", "two")
    for n in range(10):
        await put(store, "c/", f"other{n}")
    await put(store, "c/", "k", "three")
    await put(store, "c/", "last")
    await store.close()
    store = await Store.open(tmp_path / "s", StoreSettings(history_events=1))
    subscription = await store.subscribe(store.collection("c/"), "k", start, previous=True)
    (event,) = subscription.take(10)
    assert event.previous is not None
    assert event.previous.data.startswith(b"two")
    subscription.close()
    await store.close()


async def test_watch_whose_first_event_follows_a_compacted_state_must_start_over(tmp_path: Path) -> None:
    """It was told MODIFIED for what it should have seen as ADDED, and DELETED for what it never had."""
    settings = StoreSettings(limits=Limits(log_rows=10))
    store = await Store.open(tmp_path / "s", settings)
    await put(store, "c/", "old")
    for n in range(20):
        await put(store, "c/", f"k{n}")
    start = store.revision
    await put(store, "c/", "old", "changed")
    await store.close()
    store = await Store.open(tmp_path / "s", settings)
    with pytest.raises(Compacted):
        await store.subscribe(store.collection("c/"), "", start, previous=True)
    plain = await store.subscribe(store.collection("c/"), "", start)
    assert [event.record.key for event in plain.take(10)] == ["old"]
    plain.close()
    other = await store.subscribe(store.collection("c/"), "k1", start, previous=True)
    other.close()
    assert not store.collection("c/").subscriptions
    await store.close()


async def test_abandoned_write_is_still_completed(store: Store) -> None:
    task = asyncio.create_task(put(store, "c/", "k"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.close()
    again = await Store.open(store._database.path)
    assert again.collection("c/").get("k") is not None
    await again.close()


async def test_second_server_is_locked_out(store: Store) -> None:
    with pytest.raises(StoreLocked, match="in use"):
        await Store.open(store._database.path)


async def test_file_is_readable_by_its_owner_only(store: Store) -> None:
    await put(store, "c/", "k")
    for path in store._database.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


async def test_damaged_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = await Store.open(path)
    for n in range(200):
        await put(store, "c/", f"k{n}", "v" * 500)
    await store.close()
    content = bytearray(path.read_bytes())
    content[16_384:40_000] = b"\xff" * (40_000 - 16_384)
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match="damaged"):
        await Store.open(path)
    assert path.read_bytes() == bytes(content)
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreCorrupt, match="Restore it from a backup"):
        await Store.open(path)


async def test_foreign_or_newer_file_is_refused(tmp_path: Path) -> None:
    foreign = sqlite3.connect(tmp_path / "foreign")
    foreign.execute("CREATE TABLE t(x)")
    foreign.close()
    with pytest.raises(StoreIncompatible, match="not a store"):
        await Store.open(tmp_path / "foreign")
    store = await Store.open(tmp_path / "s")
    await store.close()
    newer = sqlite3.connect(tmp_path / "s")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StoreIncompatible, match="newer version"):
        await Store.open(tmp_path / "s")
    older = sqlite3.connect(tmp_path / "s")
    older.execute("PRAGMA user_version = 0")
    older.close()
    with pytest.raises(StoreIncompatible, match="format 0, which no version"):
        await Store.open(tmp_path / "s")


async def test_scan_pages_by_prefix_and_position(store: Store) -> None:
    for key in ("a/1", "a/2", "a-b/1", "b/1", "a/10"):
        await put(store, "c/", key)
    collection = store.collection("c/")
    assert collection.keys("a/") == ["a/1", "a/10", "a/2"]
    assert collection.keys("a/", after="a/1") == ["a/10", "a/2"]
    assert [record.key for record in collection.scan()] == sorted(["a/1", "a/2", "a-b/1", "b/1", "a/10"])


async def test_history_counts_the_states_it_keeps_alive(tmp_path: Path) -> None:
    # Deleted states used to come on top: twice the memory that was allowed.
    store = await Store.open(tmp_path / "s", StoreSettings(history_bytes=4_000))
    for n in range(20):
        await put(store, "c/", f"k{n}", "x" * 1_000)
    for n in range(20):
        await remove(store, "c/", f"k{n}")
    kept = {id(r): r for e in store._history.newest_first() for r in (e.record, e.previous) if r is not None}
    assert 0 < sum(len(record.data) for record in kept.values()) <= 4_000
    await store.close()


async def test_letting_go_of_old_states_is_told_once_per_portion(tmp_path: Path) -> None:
    told: list[int] = []
    settings = StoreSettings(history_bytes=100_000, on_release=lambda: told.append(1))
    store = await Store.open(tmp_path / "s", settings)
    text = "x" * (RELEASE_BYTES // 8)
    for n in range(16):
        await put(store, "c/", f"k{n}", text)
    assert len(told) == 1
    await store.close()
