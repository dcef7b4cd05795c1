"""A local, always current copy of all objects of one kind, and the events of its changes.

List once, then watch from the list's version on; the copy is never polled. A watch that ends is resumed
from the last version seen (bookmarks keep that fresh on quiet kinds); only when the server no longer knows
that version (410) everything is listed again, and the difference to the copy becomes events, with a delete
for each object that vanished meanwhile. Handlers run synchronously, in the order of the changes, after the
copy was updated. An object that was deleted and created anew under its name between two looks is reported
as both.

`put` lets a writer see its own write at once: the answer enters the copy if the watch has not come that far.
Versions are compared as numbers for that; a server whose versions are not numbers only loses this shortcut.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import msgspec

from edgevirt.api.meta import KubeObject, Resource
from edgevirt.kube import errors, objects
from edgevirt.kube.backoff import Backoff, BackoffPolicy
from edgevirt.kube.cache import Cache, IndexFunction
from edgevirt.kube.client import Client
from edgevirt.kube.watch import EventType, WatchEvent

T = TypeVar("T")
log = logging.getLogger("edgevirt.kube.informer")

Handler = Callable[[T | None, T | None], None]

PAGE = 500
RETRY = BackoffPolicy(base=0.05, factor=2.0, cap=5.0, jitter=0.5)
"""Short, because on a box that boots everything waits for the API server to come up."""

STEADY_WATCH = 5.0
"""Seconds after which a watch counts as having worked, even if nothing happened."""

MAX_RETRY_AFTER = 30.0

SHORT_WATCH = 1.0
"""Seconds; a watch that ends sooner without an event counts as a failure, so that it cannot spin."""


class Informer(Generic[T]):
    def __init__(
        self,
        client: Client,
        resource: Resource[T],
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        *,
        backoff: BackoffPolicy | None = None,
        random_: Callable[[], float] = random.random,
    ) -> None:
        self.resource = resource
        self._client = client
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._clock = client.clock
        self._backoff = Backoff(backoff or RETRY, random_=random_)
        self._cache: Cache[T] = Cache()
        self._handlers: list[Handler[T]] = []
        self._version = ""
        self._synced = asyncio.Event()

    # The copy

    def get(self, name: str, namespace: str = "") -> T | None:
        return self._cache.get((namespace, name))

    def items(self) -> Iterable[T]:
        """A snapshot of all objects."""
        return self._cache.items()

    def add_index(self, name: str, values: IndexFunction[T]) -> None:
        """Make `by_index(name, value)` return the objects for which `values(obj)` yields the value."""
        self._cache.add_index(name, values)

    def by_index(self, name: str, value: str) -> tuple[T, ...]:
        return self._cache.by_index(name, value)

    def put(self, obj: T) -> None:
        """Offer the server's answer to a write of ours; ignored unless newer than all the watch has told."""
        version = _number(objects.version_of(obj))
        seen = _number(self._version)
        if version is None or seen is None or version <= seen or not self._synced.is_set():
            # The watch is past this version: what it has (or no longer has) is at least as new.
            return
        known = self._cache.get(objects.key_of(obj))
        known_version = _number(objects.version_of(known)) if known is not None else None
        if known_version is None or version > known_version:
            self._store(obj)

    # Events

    def add_handler(self, handler: Handler[T]) -> None:
        """`handler(old, new)` on every change: (None, obj) added, (old, new) changed, (obj, None) deleted.

        It must not block and must not raise; an error is logged and goes no further. Objects already known
        are told right away.
        """
        self._handlers.append(handler)
        for obj in self._cache.items():
            self._call(handler, None, obj)

    async def synced(self) -> None:
        """Return once the copy is complete for the first time."""
        await self._synced.wait()

    @property
    def has_synced(self) -> bool:
        return self._synced.is_set()

    @property
    def resource_version(self) -> str:
        """The version up to which the copy is known to be complete."""
        return self._version

    # Keeping it current

    async def run(self) -> None:
        """List and watch until cancelled. Failures are logged and retried with back-off, for ever."""
        while True:
            try:
                if not self._version:
                    await self._relist()
                await self._follow()
            except errors.Expired:
                log.info("watch version expired, listing again", extra=self._about())
                self._version = ""
            except errors.KubeError as error:
                if isinstance(error, errors.DecodeError):
                    # Resuming would meet the same bytes again.
                    self._version = ""
                delay = max(self._backoff.next(), _asked_delay(error))
                log.log(
                    # A connection that broke once is ordinary; one that stays broken is worth knowing.
                    logging.DEBUG if self._backoff.failures <= 2 else logging.WARNING,
                    "cannot follow a kind, will retry",
                    extra={**self._about(), "error": str(error), "retry_in": round(delay, 3)},
                )
                await self._clock.sleep(delay)

    async def _relist(self) -> None:
        found: dict[objects.Key, T] = {}
        token = ""
        while True:
            page = await self._client.list(
                self.resource,
                namespace=self._namespace,
                label_selector=self._label_selector,
                field_selector=self._field_selector,
                limit=PAGE,
                continue_token=token,
            )
            found.update((objects.key_of(obj), obj) for obj in page.items)
            token = page.continue_token
            if not token:
                break
        self._version = page.resource_version
        listed = _number(page.resource_version)
        for known in self._cache.items():
            key = objects.key_of(known)
            if key not in found and not _newer(known, listed):
                self._drop(key, known)
        for obj in found.values():
            self._merge(obj)
        self._synced.set()

    async def _follow(self) -> None:
        began = self._clock.monotonic()
        seen = 0
        events = self._client.watch(
            self.resource,
            namespace=self._namespace,
            resource_version=self._version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
        )
        try:
            async with contextlib.aclosing(events):
                async for event in events:
                    self._apply(event)
                    seen += 1
        finally:
            if seen or self._clock.monotonic() - began >= STEADY_WATCH:
                self._backoff.reset()
        if not seen and self._clock.monotonic() - began < SHORT_WATCH:
            raise errors.ConnectionFailed("the server ended the watch at once")

    def _apply(self, event: WatchEvent[T]) -> None:
        if event.type is EventType.DELETED:
            known = self._cache.get(objects.key_of(event.object))
            if known is not None and not _newer(known, _number(event.resource_version)):
                self._drop(objects.key_of(event.object), event.object)
        elif event.type is not EventType.BOOKMARK:
            self._merge(event.object)
        if event.resource_version:
            self._version = event.resource_version

    def _merge(self, obj: T) -> None:
        known = self._cache.get(objects.key_of(obj))
        version = objects.version_of(obj)
        if known is not None and (objects.version_of(known) == version or _newer(known, _number(version))):
            return
        self._store(obj)

    def _store(self, obj: T) -> None:
        _forget_managed_fields(obj)
        old = self._cache.put(obj)
        if old is not None and objects.uid_of(old) != objects.uid_of(obj):
            self._tell(old, None)
            old = None
        self._tell(old, obj)

    def _drop(self, key: objects.Key, last: T) -> None:
        _forget_managed_fields(last)
        self._cache.remove(key)
        self._tell(last, None)

    def _tell(self, old: T | None, new: T | None) -> None:
        for handler in self._handlers:
            self._call(handler, old, new)

    def _call(self, handler: Handler[T], old: T | None, new: T | None) -> None:
        try:
            handler(old, new)
        except Exception:
            log.exception("an event handler raised", extra={**self._about(), "handler": repr(handler)})

    def _about(self) -> dict[str, object]:
        return {
            "resource": self.resource.group_resource,
            "selector": self._label_selector or self._field_selector,
        }


def _asked_delay(error: errors.KubeError) -> float:
    asked = error.retry_after if isinstance(error, errors.ApiError) else None
    return 0.0 if asked is None else min(asked, MAX_RETRY_AFTER)


def _number(version: str) -> int | None:
    return int(version) if version.isdigit() else None


def _newer(known: object, than: int | None) -> bool:
    number = _number(objects.version_of(known))
    return number is not None and than is not None and number > than


def _forget_managed_fields(obj: object) -> None:
    """The largest part of many objects, and nobody who reads a cache wants it. `obj` is not shared yet."""
    if isinstance(obj, KubeObject):
        if obj.metadata.managed_fields:
            msgspec.structs.force_setattr(obj.metadata, "managed_fields", ())
    elif isinstance(obj, dict):
        obj["metadata"].pop("managedFields", None)
