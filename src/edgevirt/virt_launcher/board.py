"""The domain's status as it is now, and those who want to hear of changes.

A subscriber that reads slowly misses intermediate states, never the last one: the board keeps one status,
and a short queue of events for the VMI's record.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

import msgspec

from edgevirt.api.launcher import DomainStatus, Event

_MOST_EVENTS: Final = 32


class Subscription:
    """One subscriber's place: what it has not been told yet."""

    def __init__(self, board: StatusBoard) -> None:
        self._board = board
        self._told: DomainStatus | None = None
        self._records: deque[Event] = deque(maxlen=_MOST_EVENTS)
        self._news = asyncio.Event()

    async def next(self) -> Event:
        """The next thing to tell; waits until there is one. What is returned counts as told."""
        while True:
            if self._records:
                return self._records.popleft()
            if self._told != self._board.status:
                self._told = self._board.status
                return Event(kind="Domain", status=self._told)
            self._news.clear()
            await self._news.wait()

    def skip_current(self) -> DomainStatus:
        """The status now, counted as told."""
        self._told = self._board.status
        return self._told

    def wake(self) -> None:
        self._news.set()

    def add(self, record: Event) -> None:
        self._records.append(record)
        self._news.set()


class StatusBoard:
    """One status, many readers, all on one event loop."""

    def __init__(self, uid: str) -> None:
        self._status = DomainStatus(uid=uid)
        self._subscriptions: set[Subscription] = set()
        self._changed = asyncio.Event()

    @property
    def status(self) -> DomainStatus:
        return self._status

    def update(self, **changes: Any) -> None:
        """Replace fields of the status; subscribers hear of it if that changed anything."""
        status = msgspec.structs.replace(self._status, **changes)
        if status == self._status:
            return
        self._status = status
        for subscription in self._subscriptions:
            subscription.wake()

    def record(self, type: str, reason: str, message: str) -> None:
        """An event to be recorded on the VMI; `type` is Normal or Warning."""
        for subscription in self._subscriptions:
            subscription.add(Event(kind="KubeEvent", type=type, reason=reason, message=message))

    def subscribe(self) -> Subscription:
        subscription = Subscription(self)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)
