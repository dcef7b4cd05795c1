"""The current state of one collection (one resource), in key order.

Keys are relative to the collection: "namespace/name" or "name". The sorted key list is maintained on insert
and delete, so a list of a namespace is a slice and a page starts with a bisection.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator

from edgevirt.engine.store.records import Event, EventType, Record
from edgevirt.engine.store.subscription import Subscription

LAST = "\U0010ffff"
"""Sorts after every character a key can hold."""


class Collection:
    """Read access for everybody; `apply` is the store's."""

    __slots__ = ("_keys", "_observers", "_records", "name", "revision", "subscriptions")

    def __init__(self, name: str) -> None:
        self.name = name
        self._records: dict[str, Record] = {}
        self._keys: list[str] = []
        self._observers: list[Callable[[Event], None]] = []
        self.subscriptions: set[Subscription] = set()
        self.revision = 0
        """Of the newest event in this collection."""

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, key: str) -> Record | None:
        return self._records.get(key)

    def scan(self, prefix: str = "", after: str = "") -> Iterator[Record]:
        """Records in key order whose key starts with `prefix` and sorts after `after`.

        The collection must not change while the iterator is in use: do not await in between.
        """
        records = self._records
        for key in self.keys(prefix, after):
            yield records[key]

    def keys(self, prefix: str = "", after: str = "") -> list[str]:
        if not prefix and not after:
            return self._keys
        keys = self._keys
        start = bisect_left(keys, prefix)
        if after:
            start = max(start, bisect_left(keys, after + "\0"))
        end = bisect_left(keys, prefix + LAST) if prefix else len(keys)
        return keys[start:end]

    def page(self, prefix: str, after: str, limit: int) -> tuple[list[Record], int]:
        """The first `limit` records of `scan(prefix, after)`, and how many follow."""
        keys = self.keys(prefix, after)
        records = self._records
        return [records[key] for key in keys[:limit]], max(0, len(keys) - limit)

    def load(self, records: list[Record]) -> None:
        """Initial content, in key order."""
        self._records = {record.key: record for record in records}
        self._keys = [record.key for record in records]

    def apply(self, event: Event) -> None:
        """Takes a committed event over and hands it to observers, then to subscriptions."""
        record = event.record
        self.revision = record.revision
        if event.type is EventType.DELETED:
            if self._records.pop(record.key, None) is not None:
                del self._keys[bisect_left(self._keys, record.key)]
        else:
            if record.key not in self._records:
                insort(self._keys, record.key)
            self._records[record.key] = record
        for observer in self._observers:
            observer(event)
        for subscription in tuple(self.subscriptions):
            subscription.offer(event)

    def observe(self, observer: Callable[[Event], None]) -> Callable[[], None]:
        """Calls `observer` for each committed event, before the writer gets its answer; it must not raise."""
        self._observers.append(observer)

        def end() -> None:
            if observer in self._observers:
                self._observers.remove(observer)

        return end
