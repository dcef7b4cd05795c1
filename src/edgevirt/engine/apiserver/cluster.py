"""The state everything in the server shares: the store, the registry and the seams' implementations.

It also is the `ObjectReader` that authentication, authorisation, admission and aggregation read from, and
the place where the store's errors become API errors.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from edgevirt.engine.apiserver.conversion import Caller
from edgevirt.engine.apiserver.errors import (
    already_exists,
    insufficient_storage,
    internal,
    modified,
    not_found,
    service_unavailable,
)
from edgevirt.engine.apiserver.extension import (
    AdmissionChain,
    AdmitAll,
    Aggregator,
    AllowAll,
    Authenticator,
    Authorizer,
    Everyone,
    NoAggregation,
    ObjectCallback,
    ReviewHandler,
    TokenIssuer,
)
from edgevirt.engine.apiserver.objects import as_version, decode, decode_json, encode, type_prefix
from edgevirt.engine.apiserver.registry import Registry, ServedResource
from edgevirt.engine.store.collection import Collection
from edgevirt.engine.store.errors import (
    CommitFailed,
    KeyExists,
    KeyMissing,
    RevisionConflict,
    StoreClosed,
    StoreFull,
)
from edgevirt.engine.store.records import Event, Record
from edgevirt.engine.store.store import Store

Clock = Callable[[], float]


@dataclass(slots=True)
class Seams:
    """What decides beside the REST layer. The defaults let everything through."""

    authenticator: Authenticator = field(default_factory=Everyone)
    authorizer: Authorizer = field(default_factory=AllowAll)
    admission: AdmissionChain = field(default_factory=AdmitAll)
    aggregator: Aggregator = field(default_factory=NoAggregation)
    token_issuer: TokenIssuer | None = None
    reviews: dict[tuple[str, str], ReviewHandler] = field(default_factory=dict)
    conversion: Caller | None = None
    """Asks conversion webhooks."""


class Cluster:
    """One per server. All methods are called on the event loop."""

    def __init__(self, store: Store, registry: Registry, seams: Seams, clock: Clock = time.time) -> None:
        self.store = store
        self.registry = registry
        self.seams = seams
        self.clock = clock
        self._prefixes: dict[ServedResource, bytes] = {}
        self._now = (0, "")

    def now(self) -> str:
        """The time as RFC 3339 with whole seconds, UTC."""
        second = int(self.clock())
        if self._now[0] != second:
            self._now = (second, rfc3339(second))
        return self._now[1]

    def collection(self, resource: ServedResource) -> Collection:
        return self.store.collection(resource.storage_prefix)

    def prefix(self, resource: ServedResource) -> bytes:
        """How canonical bytes of the resource begin; see `objects`."""
        found = self._prefixes.get(resource)
        if found is None:
            if len(self._prefixes) > 4096:
                self._prefixes.clear()
            found = self._prefixes[resource] = type_prefix(resource)
        return found

    def record(self, resource: ServedResource, namespace: str, name: str) -> Record:
        """The stored record. Raises `StatusError` 404."""
        record = self.collection(resource).get(resource.key(namespace, name))
        if record is None:
            raise not_found(resource.group_resource, name)
        return record

    def data(self, resource: ServedResource, record: Record) -> bytes:
        """The record's bytes in the resource's version."""
        return as_version(record.data, self.prefix(resource))

    def object(self, resource: ServedResource, record: Record) -> dict[str, Any]:
        """A fresh copy of the stored object in the resource's version."""
        document: dict[str, Any] = decode_json(record.data)
        document["apiVersion"] = resource.api_version
        return document

    async def shown(self, resource: ServedResource, records: list[Record]) -> list[Record]:
        """The records as the resource's version shows them. Raises `StatusError` if they cannot be converted.

        Only a definition with a conversion webhook costs anything here; for all others stored bytes serve
        every version.
        """
        converter = resource.converter
        if converter is None:
            return records
        prefix = self.prefix(resource)
        foreign = [record for record in records if not record.data.startswith(prefix)]
        if not foreign:
            return records
        documents = await converter.convert([decode(record) for record in foreign], resource.version)
        made: dict[int, Record] = {}
        for record, document in zip(foreign, documents, strict=True):
            resource.schema.prune(document)
            resource.schema.apply_defaults(document)
            made[id(record)] = Record(record.key, record.revision, encode(document))
        return [made.get(id(record), record) for record in records]

    async def storable(self, resource: ServedResource, obj: dict[str, Any]) -> dict[str, Any]:
        """The object as it is to be stored. Raises `StatusError` if it cannot be converted."""
        converter = resource.converter
        if converter is None:
            return obj
        (converted,) = await converter.convert([obj], converter.storage)
        # Its own metadata, because the store stamps the revision into it.
        return {**converted, "metadata": dict(converted["metadata"])}

    # ObjectReader

    def _stored(self, group: str, plural: str) -> Collection:
        resource = self.registry.storage_of(group, plural)
        if resource is None:
            return self.store.collection(storage_prefix(group, plural))
        return self.collection(resource)

    def get(self, group: str, plural: str, namespace: str, name: str) -> dict[str, Any] | None:
        key = f"{namespace}/{name}" if namespace else name
        record = self._stored(group, plural).get(key)
        return _shared(record) if record is not None else None

    def list(self, group: str, plural: str, namespace: str = "") -> list[dict[str, Any]]:
        prefix = f"{namespace}/" if namespace else ""
        return [decode(record) for record in self._stored(group, plural).scan(prefix)]

    def observe(self, group: str, plural: str, callback: ObjectCallback) -> Callable[[], None]:
        collection = self._stored(group, plural)

        def forward(event: Event) -> None:
            callback(event.type.value, decode(event.record))

        for record in collection.scan():
            callback("ADDED", decode(record))
        return collection.observe(forward)


@functools.lru_cache(maxsize=256)
def _shared(record: Record) -> dict[str, Any]:
    """The object for readers, who do not change it: namespaces and the like are asked for at every write."""
    return decode(record)


def storage_prefix(group: str, plural: str) -> str:
    """The collection in which a resource is stored; the core group has no directory of its own."""
    return f"/registry/{group}/{plural}/" if group else f"/registry/{plural}/"


@contextlib.contextmanager
def api_errors(resource: ServedResource, name: str) -> Iterator[None]:
    """Turns the store's refusals into API errors. `RevisionConflict` becomes 409."""
    try:
        yield
    except KeyExists:
        raise already_exists(resource.group_resource, name) from None
    except KeyMissing:
        raise not_found(resource.group_resource, name) from None
    except RevisionConflict:
        raise modified(resource.group_resource, name) from None
    except StoreFull as error:
        raise insufficient_storage(str(error)) from error
    except CommitFailed as error:
        raise internal(str(error)) from error
    except StoreClosed as error:
        raise service_unavailable("the server is shutting down") from error


def rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
