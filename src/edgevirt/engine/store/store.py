"""The store as everybody uses it: durable writes with optimistic locking, reads and watches from memory.

All methods are called on one event loop. A write is checked against memory, given the next revision, encoded
with it and queued for the writer thread; it becomes visible (to reads, watches and its own caller) only
after its commit, in revision order. Writes to a key with a write under way wait for that one, so no check is
made against a state that may still fail. A failed commit leaves nothing behind but an unused revision.

Volatile writes take part in all of it but the disk: they have revisions and are watched, and are lost (or
fall back to the last durable state of their key) when the process dies. They serve heartbeats. After a failed
commit they wait for a successful one: the failed transaction may turn up again in a file opened after a
crash, and then no watcher may have been told of a later revision.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edgevirt.engine import failpoints
from edgevirt.engine.store.collection import Collection
from edgevirt.engine.store.database import Database, Limits, Row
from edgevirt.engine.store.errors import (
    CommitFailed,
    Compacted,
    KeyExists,
    KeyMissing,
    RevisionConflict,
    StoreClosed,
)
from edgevirt.engine.store.history import History
from edgevirt.engine.store.records import Event, EventType, Record
from edgevirt.engine.store.subscription import Subscription
from edgevirt.engine.store.writer import GroupWriter

RESERVE_STEP = 10_000
_RESERVE_MARGIN = 2_000
_LOG_PAGE = 500
RELEASE_BYTES = 4 * 1024 * 1024

Encode = Callable[[int], bytes]
"""Makes the stored bytes of an object, given the revision it gets."""


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Bounds of the store. `history_*` bound the events kept in memory, `watch_*` one watcher's backlog."""

    limits: Limits = field(default_factory=Limits)
    history_events: int = 10_000
    history_bytes: int = 8 * 1024 * 1024
    watch_events: int = 10_000
    watch_bytes: int = 32 * 1024 * 1024
    volatile_collections: frozenset[str] = frozenset()
    """Where volatile writes happen: their history cannot be continued over a restart."""
    on_release: Callable[[], None] | None = None
    """Called on the loop each time another `RELEASE_BYTES` of old states have been let go."""


class _Write:
    """A write on its way: what to write and who waits for it."""

    __slots__ = ("durable", "event", "future", "reserved")

    def __init__(self, event: Event, durable: bool, future: asyncio.Future[Record]) -> None:
        self.event = event
        self.durable = durable
        self.future = future
        self.reserved: int | None = None


class Store:
    """Open with `Store.open`, end with `close`."""

    def __init__(self, database: Database, settings: StoreSettings) -> None:
        self._settings = settings
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._collections: dict[str, Collection] = {}
        self._pending: dict[tuple[str, str], asyncio.Future[Record]] = {}
        self._in_flight = 0
        self._closed = False
        # Keys whose newest state is not on disk: True if an older state is, False if nothing is.
        self._volatile: dict[tuple[str, str], bool] = {}
        self._load()
        self._writer: GroupWriter[_Write] = GroupWriter(self._loop, self._commit, self._committed, _size)

    @classmethod
    async def open(cls, path: Path, settings: StoreSettings | None = None) -> Store:
        """Opens or creates the file. Raises a `StoreError` that says what to do."""
        chosen = settings or StoreSettings()
        database = await asyncio.get_running_loop().run_in_executor(None, Database, path, chosen.limits)
        return cls(database, chosen)

    def _load(self) -> None:
        database = self._database
        by_collection: dict[str, list[Record]] = {}
        for name, key, revision, data in database.objects():
            by_collection.setdefault(name, []).append(Record(key, revision, data))
        for name, records in by_collection.items():
            self.collection(name).load(records)
        self._compacted = database.value("compacted")
        self._revision = max(database.last_revision(), database.value("reserved"))
        self._assigned = self._revision
        self._reserved = database.value("reserved")
        self._reserving = self._reserved
        self._boot_revision = self._revision
        self._restore_history()
        self._release_at = self._history.forgotten + RELEASE_BYTES

    def _restore_history(self) -> None:
        rows = self._database.recent(self._settings.history_bytes)
        rows = rows[-self._settings.history_events :]
        floor = max(self._compacted, rows[0][0] - 1) if rows else self._revision
        self._history = History(self._settings.history_events, self._settings.history_bytes, floor)
        for event in self._events_from(rows):
            self._history.append(event)
            self.collection(event.collection).revision = event.revision

    def _events_from(self, rows: Iterable[tuple[int, str, str, str, bytes]]) -> list[Event]:
        """Events from log rows, sharing the bytes of current states."""
        last: dict[tuple[str, str], Record | None] = {}
        events: list[Event] = []
        for revision, type_name, name, key, data in rows:
            type_ = EventType(type_name)
            current = self.collection(name).get(key)
            record = current if current and current.revision == revision else Record(key, revision, data)
            path = (name, key)
            known = path in last or type_ is EventType.ADDED
            events.append(Event(type_, name, record, last.get(path), known))
            last[path] = None if type_ is EventType.DELETED else record
        return events

    @property
    def revision(self) -> int:
        """The newest visible revision."""
        return self._revision

    @property
    def closed(self) -> bool:
        """Nothing can be written any more."""
        return self._closed

    def collection(self, name: str) -> Collection:
        """The collection of that name, empty if nothing was ever written to it."""
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = Collection(name)
        return found

    def collections(self) -> list[str]:
        return list(self._collections)

    # Writing

    async def create(
        self, collection: Collection, key: str, encode: Encode, *, durable: bool = True
    ) -> Record:
        """Raises `KeyExists`, `StoreFull`, `CommitFailed` or `StoreClosed`."""
        await self._settled(collection.name, key)
        if collection.get(key) is not None:
            raise KeyExists(key)
        return await self._submit(collection, key, EventType.ADDED, None, encode, durable)

    async def update(
        self, collection: Collection, key: str, expected: int, encode: Encode, *, durable: bool = True
    ) -> Record:
        """Replaces the state with revision `expected`.

        Raises `KeyMissing`, `RevisionConflict`, `StoreFull`, `CommitFailed` or `StoreClosed`.
        """
        await self._settled(collection.name, key)
        current = self._expect(collection, key, expected)
        return await self._submit(collection, key, EventType.MODIFIED, current, encode, durable)

    async def delete(self, collection: Collection, key: str, expected: int, encode: Encode) -> Record:
        """Deletes the state with revision `expected`; `encode` makes the last state that watchers see.

        Raises like `update`. A key that was never written to disk is deleted without the disk.
        """
        await self._settled(collection.name, key)
        current = self._expect(collection, key, expected)
        durable = self._volatile.get((collection.name, key)) is not False
        return await self._submit(collection, key, EventType.DELETED, current, encode, durable)

    @staticmethod
    def _expect(collection: Collection, key: str, expected: int) -> Record:
        current = collection.get(key)
        if current is None:
            raise KeyMissing(key)
        if current.revision != expected:
            raise RevisionConflict(current.revision)
        return current

    async def _settled(self, name: str, key: str) -> None:
        path = (name, key)
        while (pending := self._pending.get(path)) is not None:
            with contextlib.suppress(CommitFailed):
                await asyncio.shield(pending)
        if self._closed:
            raise StoreClosed("the store is closed")

    async def _submit(
        self,
        collection: Collection,
        key: str,
        type_: EventType,
        previous: Record | None,
        encode: Encode,
        durable: bool,
    ) -> Record:
        revision = self._assigned + 1
        data = encode(revision)
        self._assigned = revision
        event = Event(type_, collection.name, Record(key, revision, data), previous)
        future: asyncio.Future[Record] = self._loop.create_future()
        write = _Write(event, durable, future)
        beyond = not durable and revision > self._reserved
        if beyond or revision + _RESERVE_MARGIN > self._reserving:
            # A volatile revision may only be seen once a reservation that covers it is on disk.
            write.reserved = self._reserving = revision + RESERVE_STEP
        if not durable and write.reserved is None and not self._in_flight and not self._database.suspect:
            self._publish(write)
            return event.record
        path = (collection.name, key)
        self._pending[path] = future
        self._in_flight += 1
        self._writer.submit(write)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # The write goes on without its caller; nobody is left to hear of its failure.
            future.add_done_callback(_retrieve)
            raise

    def _commit(self, batch: list[_Write]) -> int:
        """In the writer thread."""
        rows: list[Row] = []
        reserved: int | None = None
        for write in batch:
            if write.reserved is not None:
                reserved = write.reserved
            if write.durable:
                record = write.event.record
                rows.append(
                    Row(
                        write.event.type.value,
                        write.event.collection,
                        record.key,
                        record.revision,
                        record.data,
                    )
                )
        if rows or reserved is not None or self._database.suspect:
            return self._database.commit(rows, reserved)
        return -1

    def _committed(self, batch: list[_Write], compacted: int, failure: CommitFailed | None) -> None:
        self._in_flight -= len(batch)
        if failure is not None:
            self._reserving = self._reserved
        if compacted >= 0:
            self._compacted = max(self._compacted, compacted)
        failpoints.hit(failpoints.BEFORE_PUBLISH)
        for write in batch:
            event = write.event
            del self._pending[(event.collection, event.record.key)]
            if failure is not None:
                if not write.future.done():
                    write.future.set_exception(failure)
                continue
            if write.reserved is not None:
                self._reserved = max(self._reserved, write.reserved)
            self._publish(write)
            if not write.future.done():
                write.future.set_result(event.record)
        failpoints.hit(failpoints.PUBLISHED)

    def _publish(self, write: _Write) -> None:
        event = write.event
        path = (event.collection, event.record.key)
        if write.durable:
            if self._volatile:
                self._volatile.pop(path, None)
        elif event.type is EventType.DELETED:
            self._volatile.pop(path, None)
        else:
            self._volatile.setdefault(path, event.type is not EventType.ADDED)
        self._revision = event.record.revision
        self._history.append(event)
        if self._history.forgotten >= self._release_at:
            self._release_at = self._history.forgotten + RELEASE_BYTES
            if self._settings.on_release is not None:
                self._settings.on_release()
        self._collections[event.collection].apply(event)

    # Reading

    def snapshot(self, collection: Collection, prefix: str, revision: int) -> list[Record]:
        """The records under `prefix` as they were at `revision`, in key order.

        `revision` must not be newer than `self.revision`. Raises `Compacted` if history does not reach back.
        """
        if collection.revision <= revision:
            return list(collection.scan(prefix))
        self._check_floor(collection, revision)
        undone: dict[str, Record | None] = {}
        for event in self._history.newest_first():
            if event.revision <= revision:
                break
            if event.collection != collection.name or not event.record.key.startswith(prefix):
                continue
            if not event.previous_known:
                raise Compacted(revision, event.revision)
            undone[event.record.key] = event.previous
        state = {record.key: record for record in collection.scan(prefix)}
        for key, record in undone.items():
            if record is None:
                state.pop(key, None)
            else:
                state[key] = record
        return [state[key] for key in sorted(state)]

    def _check_floor(self, collection: Collection, revision: int) -> None:
        floor = self._history.floor
        if collection.name in self._settings.volatile_collections:
            floor = max(floor, self._boot_revision)
        if revision < floor:
            raise Compacted(revision, floor)

    async def subscribe(
        self, collection: Collection, prefix: str, after: int, *, previous: bool = False
    ) -> Subscription:
        """All events under `prefix` with a revision greater than `after`, from now on without gaps.

        `after` may lie in the future. `previous` says that the reader needs the state before each event.
        Raises `Compacted` if history does not reach back that far, or not to such a state.
        """
        if self._closed:
            raise StoreClosed("the store is closed")
        settings = self._settings
        in_memory = after >= self._history.floor
        if not in_memory:
            if after < self._compacted or collection.name in settings.volatile_collections:
                raise Compacted(after, max(self._compacted, self._history.floor))
        elif collection.name in settings.volatile_collections:
            self._check_floor(collection, after)
        subscription = Subscription(
            prefix, after, collection.subscriptions.discard, settings.watch_events, settings.watch_bytes
        )
        collection.subscriptions.add(subscription)
        try:
            if not in_memory:
                events: Iterable[Event] = await self._read_log(collection.name, after, previous)
            elif collection.revision > after:
                events = [e for e in self._history.after(after) if e.collection == collection.name]
            else:
                events = ()
            subscription.preload(events)
            if previous:
                _check_previous(events, prefix, after)
        except BaseException:
            subscription.close()
            raise
        return subscription

    async def _read_log(self, name: str, after: int, previous: bool) -> list[Event]:
        """What is visible now of the log after that revision. Raises `Compacted` or `CommitFailed`."""
        until = self._revision
        # The state before an event is in an earlier row, if anywhere.
        position = 0 if previous else after
        rows: list[tuple[int, str, str, str, bytes]] = []
        while position < until:
            page, position = await self._writer.read(
                functools.partial(self._database.log_page, name, position, until, _LOG_PAGE)
            )
            rows += page
        if after < self._compacted:
            raise Compacted(after, self._compacted)
        return [event for event in self._events_from(rows) if event.revision > after]

    async def close(self) -> None:
        """Commits what is under way, ends all subscriptions and closes the file. Idempotent."""
        if self._closed:
            return
        self._closed = True
        await self._writer.close()
        for collection in self._collections.values():
            for subscription in tuple(collection.subscriptions):
                subscription.close()
        await self._loop.run_in_executor(None, self._shut)

    def _shut(self) -> None:
        # A clean end gives the unused part of the reservation back. It is only an economy of numbers.
        with contextlib.suppress(CommitFailed):
            self._database.commit([], self._assigned)
        self._database.close()


def _check_previous(events: Iterable[Event], prefix: str, after: int) -> None:
    """A deletion shows by itself what was there; a change of an unknown state tells nothing about it."""
    for event in events:
        if (
            not event.previous_known
            and event.type is EventType.MODIFIED
            and event.record.key.startswith(prefix)
        ):
            raise Compacted(after, event.revision)


def _size(write: _Write) -> int:
    return len(write.event.record.data)


def _retrieve(future: asyncio.Future[Record]) -> None:
    """Marks the outcome of an abandoned write as seen."""
    if not future.cancelled():
        future.exception()
