"""What the store keeps: the current state of a key, and the events that led there.

Both are immutable and shared by all readers; `data` is the JSON as clients get it. An event holds the
state before it, so that a watcher with a selector can tell "no longer matches" from "never matched", and
so that an older snapshot can be rebuilt by undoing events.
"""

from __future__ import annotations

import enum
from typing import Any


class EventType(enum.Enum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class Record:
    """One state of one key. `view` is room for what readers derive from `data`, such as parsed labels."""

    __slots__ = ("data", "key", "revision", "view")

    def __init__(self, key: str, revision: int, data: bytes) -> None:
        self.key = key
        self.revision = revision
        self.data = data
        self.view: Any = None

    def __repr__(self) -> str:
        return f"Record({self.key!r}, {self.revision})"


class Event:
    """A committed change. `record` is the new state (for DELETED: the last state, with the revision of the
    deletion); `previous` the state before, None if there was none.

    `previous_known` is False for the first event of a key read back from disk after its predecessor was
    compacted.
    """

    __slots__ = ("collection", "previous", "previous_known", "record", "type")

    def __init__(
        self,
        type_: EventType,
        collection: str,
        record: Record,
        previous: Record | None,
        previous_known: bool = True,
    ) -> None:
        self.type = type_
        self.collection = collection
        self.record = record
        self.previous = previous
        self.previous_known = previous_known

    @property
    def revision(self) -> int:
        return self.record.revision

    def __repr__(self) -> str:
        return f"Event({self.type.value}, {self.collection}{self.record.key}, {self.record.revision})"
