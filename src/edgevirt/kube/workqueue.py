"""The queue between informers and workers: every key at most once, never twice at a time.

Guarantees, those of client-go's work queue: a key added while it waits is not added again; a key added while
it is being processed is queued again after `done`; so one key is never processed by two workers at a time,
and no change is missed. `add_rate_limited` delays a key by its own number of failures in a row.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from edgevirt.kube.backoff import BackoffPolicy
from edgevirt.kube.clock import Clock, SystemClock, Timer

K = TypeVar("K", bound=Hashable)

PER_KEY_BACKOFF = BackoffPolicy(base=0.005, factor=2.0, cap=60.0, jitter=0.0)


class QueueClosed(Exception):
    """Raised by `get` when the queue is closed and empty."""


class WorkQueue(Generic[K]):
    """All methods but `get` are synchronous and must be called on the event loop's thread."""

    def __init__(self, *, clock: Clock | None = None, backoff: BackoffPolicy = PER_KEY_BACKOFF) -> None:
        self._clock = clock or SystemClock()
        self._backoff = backoff
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._failures: dict[K, int] = {}
        self._delayed: dict[K, tuple[float, Timer]] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def __len__(self) -> int:
        """Keys ready to be taken; delayed ones and those being processed don't count."""
        return len(self._ready)

    def add(self, key: K) -> None:
        """Queue `key` now, unless it already waits."""
        if self._closed or key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._ready.append(key)
            self._wake_one()

    def add_after(self, key: K, seconds: float) -> None:
        """Queue `key` once `seconds` have passed. Of several delays of one key the nearest counts."""
        if self._closed:
            return
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        waiting = self._delayed.get(key)
        if waiting is not None:
            if waiting[0] <= due:
                return
            waiting[1].cancel()
        self._delayed[key] = (due, self._clock.call_later(seconds, lambda: self._ripen(key)))

    def add_rate_limited(self, key: K) -> float:
        """Queue `key` after a delay that doubles with each call since `forget`; returns the seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = self._backoff.delay(failures)
        self.add_after(key, delay)
        return delay

    def failures(self, key: K) -> int:
        """How often `key` was rate limited since the last `forget`."""
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        """`key` succeeded: its next failure starts from the shortest delay."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """Take the next key; it counts as being processed until `done`. Raises QueueClosed."""
        while not self._ready:
            if self._closed:
                raise QueueClosed
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    # We were woken for a key and leave without it: somebody else has to take it.
                    self._wake_one()
                elif getter in self._getters:
                    self._getters.remove(getter)
                raise
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        """Processing of `key` ended, well or not; if it was added meanwhile it is ready again."""
        self._processing.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wake_one()

    def close(self) -> None:
        """Take no more keys, drop delayed ones, and let `get` raise once the ready ones are taken."""
        self._closed = True
        for _, timer in self._delayed.values():
            timer.cancel()
        self._delayed.clear()
        while self._getters:
            self._wake_one()

    def _ripen(self, key: K) -> None:
        del self._delayed[key]
        self.add(key)

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
