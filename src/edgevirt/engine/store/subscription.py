"""One watcher's queue of events: bounded, so that a slow client costs itself and nobody else."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from edgevirt.engine.store.records import Event


class Subscription:
    """Events of one collection, in order, without gaps, starting after a revision.

    When more than `max_bytes` or `max_events` wait to be read, the subscription is cut off: what is queued is
    dropped and `overrun` is set, the reader then ends the watch. `close` must be called in the end.
    """

    __slots__ = (
        "_after",
        "_bytes",
        "_close",
        "_closed",
        "_key_prefix",
        "_max_bytes",
        "_max_events",
        "_queue",
        "_waiter",
        "overrun",
    )

    def __init__(
        self,
        key_prefix: str,
        after: int,
        close: Callable[[Subscription], None],
        max_events: int,
        max_bytes: int,
    ) -> None:
        self._key_prefix = key_prefix
        self._after = after
        self._close = close
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._queue: deque[Event] = deque()
        self._bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False
        self.overrun = False

    def preload(self, events: Iterable[Event]) -> None:
        """Puts history in front of what was offered so far; it does not count against the bounds."""
        prefix = self._key_prefix
        self._queue.extendleft(
            reversed([event for event in events if not prefix or event.record.key.startswith(prefix)])
        )

    def offer(self, event: Event) -> None:
        """Called on the loop with each new event of the collection."""
        if self._key_prefix and not event.record.key.startswith(self._key_prefix):
            return
        if self._closed or self.overrun or event.record.revision <= self._after:
            return
        self._queue.append(event)
        self._bytes += len(event.record.data)
        if len(self._queue) > self._max_events or self._bytes > self._max_bytes:
            self.overrun = True
            self._queue.clear()
        self.wake()

    def wake(self) -> None:
        """Makes a `wait` under way return."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    @property
    def ended(self) -> bool:
        """Nothing will come any more."""
        return self._closed or self.overrun

    def take(self, limit: int) -> list[Event]:
        """Up to `limit` waiting events; empty if none waits."""
        queue = self._queue
        if len(queue) <= limit:
            batch = list(queue)
            queue.clear()
            self._bytes = 0
            return batch
        batch = [queue.popleft() for _ in range(limit)]
        self._bytes = max(0, self._bytes - sum(len(event.record.data) for event in batch))
        return batch

    async def wait(self) -> None:
        """Returns when an event waits, the subscription has ended, or at `wake`."""
        if self._queue or self.ended:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        """Ends the subscription and wakes its reader. Idempotent."""
        if not self._closed:
            self._closed = True
            self._close(self)
            self.wake()
