"""How objects are written as bytes, and what readers derive from those bytes.

Stored bytes start with apiVersion, kind and metadata, in this order and without spaces. So an object in
another version of its kind (conversion None changes nothing but apiVersion), or a list item without its
type, is a matter of replacing the first few bytes; nothing is decoded to be served.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.store.records import Record

Json = dict[str, Any]

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()
_METADATA = b',"metadata":'


class _Metadata(msgspec.Struct, frozen=True):
    labels: dict[str, str] | None = None


class _Head(msgspec.Struct, frozen=True):
    metadata: _Metadata


_head_decoder = msgspec.json.Decoder(_Head)


class View:
    """What was derived from a record so far; kept in `Record.view`."""

    __slots__ = ("fields", "labels")

    def __init__(self, labels: dict[str, str]) -> None:
        self.labels = labels
        self.fields: dict[str, str] | None = None


def encode_json(value: Any) -> bytes:
    return _encoder.encode(value)


def decode_json(data: bytes) -> Any:
    return _decoder.decode(data)


def encode(obj: Json) -> bytes:
    """The canonical bytes of an object that has apiVersion, kind and metadata."""
    ordered = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": obj["metadata"]}
    ordered.update(obj)
    return _encoder.encode(ordered)


def exact(data: bytes) -> bytes:
    """The same bytes in memory of just their size, for what is kept.

    The encoder's buffer grows by halves and is handed out as it is: up to a third of it would stay unused.
    """
    return bytes(memoryview(data))


def decode(record: Record) -> Json:
    """A fresh copy of the stored object, free to be changed."""
    document: Json = _decoder.decode(record.data)
    return document


def type_prefix(resource: ServedResource) -> bytes:
    """How the canonical bytes of this resource's objects begin."""
    return f'{{"apiVersion":"{resource.api_version}","kind":"{resource.kind}",'.encode()


def as_version(data: bytes, prefix: bytes) -> bytes:
    """The same object under another `type_prefix`."""
    if data.startswith(prefix):
        return data
    return prefix + data[data.index(_METADATA) + 1 :]


def labels_of(record: Record) -> dict[str, str]:
    return _view(record).labels


def _view(record: Record) -> View:
    view = record.view
    if view is None:
        view = record.view = View(_head_decoder.decode(record.data).metadata.labels or {})
    return view  # type: ignore[no-any-return]  # Record.view is untyped room for readers


def fields_of(record: Record, resource: ServedResource) -> dict[str, str]:
    """The values that field selectors can ask for, beside name and namespace."""
    view = _view(record)
    if view.fields is None:
        view.fields = resource.strategy.field_labels(decode(record))
    return view.fields


def split_key(resource: ServedResource, key: str) -> tuple[str, str]:
    """(namespace, name) of a collection-relative store key."""
    if resource.namespaced:
        namespace, _, name = key.partition("/")
        return namespace, name
    return "", key


def metadata_of(obj: Json) -> Json:
    """The object's metadata, created if it is missing."""
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    return metadata
