"""Watches: a stream of events, each encoded once by being what is stored.

An event goes out as the stored bytes between a constant head and tail. A selector turns changes into what
the watcher sees: entering the selection is ADDED, leaving it DELETED. A watcher that does not keep up is cut
off; it finds its way back by its last resourceVersion.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from aiohttp import web

from edgevirt.engine.apiserver.cluster import Cluster, api_errors
from edgevirt.engine.apiserver.errors import StatusError, expired
from edgevirt.engine.apiserver.http.options import ListOptions
from edgevirt.engine.apiserver.http.stream import Stream
from edgevirt.engine.apiserver.objects import encode_json
from edgevirt.engine.apiserver.reading.selectors import Selector
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.store.errors import Compacted
from edgevirt.engine.store.records import Event, EventType, Record
from edgevirt.engine.store.subscription import Subscription

BATCH = 64
BOOKMARK_SECONDS = 60.0
_SHORTEST_SECONDS = 1800
INITIAL_END = "k8s.io/initial-events-end"

_HEADS = {type_: f'{{"type":"{type_.value}","object":'.encode() for type_ in EventType}
_TAIL = b"}\n"

Render = Callable[[bytes], bytes]
"""From the object's JSON to the JSON of the form asked for."""


class Watch:
    """One watch request."""

    def __init__(
        self,
        cluster: Cluster,
        resource: ServedResource,
        namespace: str,
        options: ListOptions,
        selector: Selector,
        render: Render | None,
        render_bookmark: Render | None,
    ) -> None:
        self._cluster = cluster
        self._resource = resource
        self._options = options
        self._selector = selector
        self._render = render
        self._render_bookmark = render_bookmark
        self._prefix = self._key_prefix(namespace)
        self._matches_all = selector.empty
        self._type_prefix = cluster.prefix(resource)

    def _key_prefix(self, namespace: str) -> str:
        resource, name = self._resource, self._selector.exact("metadata.name")
        if name is not None and (namespace or not resource.namespaced):
            # Other keys may share the prefix; the selector still decides.
            return resource.key(namespace, name)
        return resource.prefix(namespace)

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Streams until the client leaves, the timeout passes or the watcher falls behind."""
        collection = self._cluster.collection(self._resource)
        options = self._options
        revision = self._cluster.store.revision
        initial = self._initial_records(options)
        start = revision if initial is not None or not options.resource_version else options.resource_version
        try:
            with api_errors(self._resource, ""):
                subscription = await self._cluster.store.subscribe(
                    collection, self._prefix, start, previous=not self._matches_all
                )
        except Compacted as error:
            return await _expired_stream(
                request, expired(f"too old resource version: {start} ({error.oldest})")
            )
        try:
            stream = await Stream.begin(request)
            if initial is not None:
                await self._send_initial(stream, initial, revision)
            await self._follow(stream, subscription, start)
        except StatusError as error:
            # A stream that has begun tells its end in itself.
            await stream.write(b'{"type":"ERROR","object":', encode_json(error.to_status()), _TAIL)
        finally:
            subscription.close()
        return stream.response

    def _initial_records(self, options: ListOptions) -> list[Record] | None:
        """The objects to begin with, or None to begin with what happens after the revision given."""
        wanted = (
            options.send_initial_events
            if options.send_initial_events is not None
            else not options.resource_version
        )
        if not wanted:
            return None
        collection = self._cluster.collection(self._resource)
        resource, selector = self._resource, self._selector
        return [record for record in collection.scan(self._prefix) if selector.matches(record, resource)]

    async def _send_initial(self, stream: Stream, records: list[Record], revision: int) -> None:
        head = _HEADS[EventType.ADDED]
        for begin in range(0, len(records), BATCH):
            parts: list[bytes] = []
            for record in await self._cluster.shown(self._resource, records[begin : begin + BATCH]):
                parts += (head, self._form(self._cluster.data(self._resource, record)), _TAIL)
            await stream.write(*parts)
            await asyncio.sleep(0)  # a long list does not keep others waiting
        if self._options.send_initial_events and self._options.bookmarks:
            await stream.write(self._bookmark(revision, initial_end=True))

    def _form(self, data: bytes) -> bytes:
        return data if self._render is None else self._render(data)

    async def _follow(self, stream: Stream, subscription: Subscription, start: int) -> None:
        seconds = self._options.timeout_seconds
        if seconds is None or seconds <= 0:
            # Spread over time, so that not all watches of a client end together.
            seconds = _SHORTEST_SECONDS + random.randrange(_SHORTEST_SECONDS)
        alarm = _Alarm(subscription, seconds, self._options.bookmarks)
        try:
            await self._send_events(stream, subscription, start, alarm)
        finally:
            alarm.close()

    async def _send_events(
        self, stream: Stream, subscription: Subscription, sent: int, alarm: _Alarm
    ) -> None:
        while not (subscription.ended or alarm.ended):
            events = subscription.take(BATCH)
            if events:
                parts: list[bytes] = []
                for event in await self._shown(events):
                    self._append(parts, event)
                if parts:
                    await stream.write(*parts)
                sent = events[-1].revision
                if len(events) == BATCH:
                    await asyncio.sleep(0)  # more wait here, but others wait, too
            elif alarm.rings:
                # Everything published so far was sent or did not concern this watcher.
                await stream.write(self._bookmark(max(sent, self._cluster.store.revision)))
                alarm.set()
            else:
                await subscription.wait()

    async def _shown(self, events: list[Event]) -> list[Event]:
        """The events with their objects in the version that is watched. Raises `StatusError`."""
        if self._resource.converter is None:
            return events
        states = [state for event in events for state in (event.record, event.previous) if state is not None]
        shown = dict(zip(map(id, states), await self._cluster.shown(self._resource, states), strict=True))
        return [
            Event(
                event.type,
                event.collection,
                shown[id(event.record)],
                shown.get(id(event.previous)),
                event.previous_known,
            )
            for event in events
        ]

    def _append(self, parts: list[bytes], event: Event) -> None:
        type_, record = event.type, event.record
        if self._matches_all:
            parts += (_HEADS[type_], self._form(self._cluster.data(self._resource, record)), _TAIL)
            return
        selector, resource = self._selector, self._resource
        matches_now = type_ is not EventType.DELETED and selector.matches(record, resource)
        previous = event.previous
        if previous is not None:
            matched_before = selector.matches(previous, resource)
        else:
            # A deletion whose predecessor is unknown: deleting changes no labels.
            matched_before = type_ is EventType.DELETED and selector.matches(record, resource)
        if matches_now:
            shown = EventType.MODIFIED if matched_before else EventType.ADDED
            data = self._cluster.data(resource, record)
        elif matched_before:
            shown = EventType.DELETED
            if type_ is EventType.DELETED or previous is None:
                data = self._cluster.data(resource, record)
            else:
                data = _with_revision(
                    self._cluster.data(resource, previous), previous.revision, record.revision
                )
        else:
            return
        parts += (_HEADS[shown], self._form(data), _TAIL)

    def _bookmark(self, revision: int, initial_end: bool = False) -> bytes:
        resource = self._resource
        metadata: dict[str, Any] = {"resourceVersion": str(revision)}
        if initial_end:
            metadata["annotations"] = {INITIAL_END: "true"}
        obj = encode_json({"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata})
        if self._render_bookmark is not None:
            obj = self._render_bookmark(obj)
        return b'{"type":"BOOKMARK","object":' + obj + _TAIL


def _with_revision(data: bytes, old: int, new: int) -> bytes:
    # metadata comes first in canonical bytes, so the first match is the object's own.
    return data.replace(f'"resourceVersion":"{old}"'.encode(), f'"resourceVersion":"{new}"'.encode(), 1)


async def _expired_stream(request: web.BaseRequest, error: StatusError) -> web.StreamResponse:
    """A 410 is an event of a stream that starts normally, as clients expect it."""
    stream = await Stream.begin(request)
    await stream.write(b'{"type":"ERROR","object":', encode_json(error.to_status()), _TAIL)
    return stream.response


class _Alarm:
    """Wakes a watch when its bookmark or its end is due: one timer, however many events come."""

    def __init__(self, subscription: Subscription, seconds: float, bookmarks: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._subscription = subscription
        self._end = self._loop.time() + seconds
        self._bookmarks = bookmarks
        self.rings = False
        self.ended = False
        self.set()

    def set(self) -> None:
        """For what is due next."""
        self.rings = False
        at = min(self._end, self._loop.time() + BOOKMARK_SECONDS) if self._bookmarks else self._end
        self._timer = self._loop.call_at(at, self._ring, at == self._end)

    def _ring(self, ended: bool) -> None:
        self.rings, self.ended = True, ended
        self._subscription.wake()

    def close(self) -> None:
        self._timer.cancel()
