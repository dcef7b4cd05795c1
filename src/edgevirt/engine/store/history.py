"""The last events in memory, bounded by count and bytes, for watches and older snapshots.

An event counts with both states it holds: the one before may live on only for its sake.

Events of all collections are in one sequence, ordered by revision. What falls out at the old end is still on
disk for a while (`Database.recent` fills the ring again after a restart).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from edgevirt.engine.store.records import Event


class History:
    """`floor` is the revision after which every event is here."""

    def __init__(self, max_events: int, max_bytes: int, floor: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._events: deque[Event] = deque()
        self._bytes = 0
        self.floor = floor
        self.forgotten = 0
        """Bytes that fell out so far."""

    def __len__(self) -> int:
        return len(self._events)

    def append(self, event: Event) -> None:
        """Adds the newest event and forgets the oldest ones that no longer fit."""
        events = self._events
        events.append(event)
        self._bytes += _size(event)
        while len(events) > self._max_events or (self._bytes > self._max_bytes and len(events) > 1):
            dropped = events.popleft()
            size = _size(dropped)
            self._bytes -= size
            self.forgotten += size
            self.floor = dropped.record.revision

    def after(self, revision: int) -> Iterable[Event]:
        """Events newer than `revision`, oldest first. The caller has checked `revision >= floor`."""
        events = self._events
        if not events or events[-1].record.revision <= revision:
            return ()
        # A watch usually starts close to the newest event, so look there first.
        recent = min(64, len(events))
        if events[-recent].record.revision <= revision:
            start = len(events) - recent
            while events[start].record.revision <= revision:
                start += 1
        else:
            start = bisect_right(events, revision, key=_revision)
        return islice(events, start, None)

    def newest_first(self) -> Iterator[Event]:
        return reversed(self._events)


def _size(event: Event) -> int:
    previous = event.previous
    return len(event.record.data) + (len(previous.data) if previous is not None else 0)


def _revision(event: Event) -> int:
    return event.record.revision
