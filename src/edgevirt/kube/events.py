"""Events of objects, as `kubectl describe` shows them: written in the background, repeats counted.

Recording never blocks and never fails the caller: a full queue drops (and counts) events. The same event of
the same object within ten minutes is not written again but counted on the first one; an object that talks
too much is throttled (25 at once, then one per five minutes), so that no loop can fill the store.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import logging
import random
from collections.abc import Callable
from typing import Generic, TypeVar

from edgevirt.api.core import Event, EventSource, ObjectReference
from edgevirt.api.meta import KubeObject, ObjectMeta
from edgevirt.api.resources import EVENTS
from edgevirt.kube import errors
from edgevirt.kube.backoff import BackoffPolicy
from edgevirt.kube.client import Client
from edgevirt.kube.clock import timestamp

log = logging.getLogger("edgevirt.kube.events")

QUEUE_SIZE = 1000
REPEAT_WINDOW = 600.0
REMEMBERED = 4096
BURST = 25
REFILL_SECONDS = 300.0
MAX_ATTEMPTS = 12
MAX_MESSAGE = 1024
_RETRY = BackoffPolicy(base=0.5, factor=2.0, cap=10.0, jitter=0.5)

K = TypeVar("K")
V = TypeVar("V")


@dataclasses.dataclass(frozen=True, slots=True)
class _Occurrence:
    about: ObjectReference
    type: str
    reason: str
    message: str
    at: str


@dataclasses.dataclass(slots=True)
class _Written:
    name: str
    namespace: str
    count: int
    last: float


@dataclasses.dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float


class EventRecorder:
    """One per component. `run` has to run for anything to be written."""

    def __init__(
        self,
        client: Client,
        component: str,
        host: str = "",
        *,
        random_: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._clock = client.clock
        self._component = component
        self._host = host
        self._random = random_
        self._queue: asyncio.Queue[_Occurrence] = asyncio.Queue(QUEUE_SIZE)
        self._written: _Recent[_Occurrence, _Written] = _Recent(REMEMBERED)
        self._buckets: _Recent[tuple[str, ...], _Bucket] = _Recent(REMEMBERED)
        self._last_suffix = 0
        self.dropped = 0
        """Events not written: queue full, throttled, or refused by the server."""

    def normal(self, obj: KubeObject | ObjectReference, reason: str, message: str) -> None:
        """Something went as it should. `reason` is one CamelCase word."""
        self._record(obj, "Normal", reason, message)

    def warning(self, obj: KubeObject | ObjectReference, reason: str, message: str) -> None:
        """Something went wrong that the owner of the object should know."""
        self._record(obj, "Warning", reason, message)

    async def run(self) -> None:
        """Write what is recorded, until cancelled."""
        while True:
            occurrence = await self._queue.get()
            try:
                await self._write(occurrence)
            finally:
                self._queue.task_done()

    async def flush(self) -> None:
        """Return when everything recorded so far has been written or given up."""
        await self._queue.join()

    def _record(self, obj: KubeObject | ObjectReference, type_: str, reason: str, message: str) -> None:
        about = obj if isinstance(obj, ObjectReference) else reference_to(obj)
        text = message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 3] + "..."
        if not self._admit(about):
            self.dropped += 1
            return
        try:
            self._queue.put_nowait(_Occurrence(about, type_, reason, text, timestamp(self._clock.now())))
        except asyncio.QueueFull:
            if not self.dropped:
                log.warning("event queue is full, dropping events", extra={"component": self._component})
            self.dropped += 1

    def _admit(self, about: ObjectReference) -> bool:
        now = self._clock.monotonic()
        key = (about.kind, about.namespace, about.name, about.uid)
        bucket = self._buckets.get(key) or _Bucket(BURST, now)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.filled) / REFILL_SECONDS)
        bucket.filled = now
        self._buckets.put(key, bucket)
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True

    async def _write(self, occurrence: _Occurrence) -> None:
        for attempt in range(MAX_ATTEMPTS):
            try:
                await self._write_once(occurrence)
            except (errors.Transient, errors.Conflict) as error:
                log.debug(
                    "cannot write an event, will retry", extra={"error": str(error), "attempt": attempt}
                )
                await self._clock.sleep(_RETRY.delay(attempt, self._random))
            except errors.KubeError as error:
                # Typically the namespace is being deleted; the event is not worth more than a line.
                log.debug("event refused", extra={"error": str(error), "reason": occurrence.reason})
                self.dropped += 1
                return
            else:
                return
        self.dropped += 1
        log.warning("event given up", extra={"component": self._component, "reason": occurrence.reason})

    async def _write_once(self, occurrence: _Occurrence) -> None:
        key = dataclasses.replace(occurrence, at="")
        now = self._clock.monotonic()
        written = self._written.get(key)
        if written is not None and now - written.last <= REPEAT_WINDOW:
            patch = {"count": written.count + 1, "lastTimestamp": occurrence.at}
            try:
                await self._client.patch(EVENTS, written.name, patch, namespace=written.namespace)
            except errors.NotFound:
                pass  # expired or deleted by somebody: start a new one
            else:
                written.count += 1
                written.last = now
                return
        namespace = occurrence.about.namespace or "default"
        event = self._compose(occurrence, namespace)
        try:
            await self._client.create(EVENTS, event)
        except errors.AlreadyExists:
            pass  # our own earlier attempt, whose answer got lost: names are unique to this process
        self._written.put(key, _Written(event.metadata.name, namespace, 1, now))

    def _compose(self, occurrence: _Occurrence, namespace: str) -> Event:
        # Nanoseconds since the epoch, as Kubernetes names events; never the same twice.
        self._last_suffix = max(self._last_suffix + 1, int(self._clock.now().timestamp() * 1e6) * 1000)
        return Event(
            metadata=ObjectMeta(name=f"{occurrence.about.name}.{self._last_suffix:x}", namespace=namespace),
            involved_object=occurrence.about,
            type=occurrence.type,
            reason=occurrence.reason,
            message=occurrence.message,
            count=1,
            first_timestamp=occurrence.at,
            last_timestamp=occurrence.at,
            source=EventSource(component=self._component, host=self._host),
            reporting_component=self._component,
            reporting_instance=self._host,
        )


def reference_to(obj: KubeObject) -> ObjectReference:
    """A reference as events carry it."""
    meta = obj.metadata
    return ObjectReference(
        api_version=obj.api_version,
        kind=obj.kind,
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        resource_version=meta.resource_version,
    )


class _Recent(Generic[K, V]):
    """A mapping that forgets what was not used for longest."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: collections.OrderedDict[K, V] = collections.OrderedDict()

    def get(self, key: K) -> V | None:
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        return None

    def put(self, key: K, value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
