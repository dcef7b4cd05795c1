"""Events are kept for an hour, then dropped: they tell what happened lately, they are no archive."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from edgevirt.engine.apiserver.cluster import Cluster, rfc3339, storage_prefix
from edgevirt.engine.apiserver.objects import decode
from edgevirt.engine.apiserver.writing.write import stamped
from edgevirt.engine.store.collection import Collection
from edgevirt.engine.store.errors import StoreError
from edgevirt.engine.store.records import Record
from edgevirt.engine.store.store import Store

EVENT_SECONDS = 3600.0
_SWEEP_SECONDS = 300.0
_MOST_EVENTS = 10_000
_TOGETHER = 500


async def expire_events(cluster: Cluster) -> None:
    """Removes old events every few minutes, and the oldest ones when there are too many, until cancelled."""
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        await sweep(cluster.store, rfc3339(cluster.clock() - EVENT_SECONDS))


async def sweep(store: Store, oldest_kept: str) -> None:
    """Removes the events that last happened at `oldest_kept` (RFC 3339) or before, and any surplus."""
    collection = store.collection(storage_prefix("", "events"))
    dated = sorted(((_time_of(decode(record)), record) for record in collection.scan()), key=_by_time)
    surplus = len(dated) - _MOST_EVENTS
    expired = [
        record for position, (when, record) in enumerate(dated) if when <= oldest_kept or position < surplus
    ]
    for first in range(0, len(expired), _TOGETHER):
        # Together, so that they share a commit: one commit each would write more than the events did.
        batch = expired[first : first + _TOGETHER]
        await asyncio.gather(*(_delete(store, collection, record) for record in batch))


async def _delete(store: Store, collection: Collection, record: Record) -> None:
    # Changed or gone meanwhile, or the disk is full: the next sweep sees it again.
    with contextlib.suppress(StoreError):
        await store.delete(collection, record.key, record.revision, stamped(decode(record)))


def _by_time(entry: tuple[str, Record]) -> str:
    return entry[0]


def _time_of(event: dict[str, Any]) -> str:
    """The last time the event happened; RFC 3339 texts in UTC sort by time."""
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
        or ""
    )
