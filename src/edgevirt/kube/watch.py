"""Watch streams: bytes as they arrive, to typed events.

The stream is cut at line ends without ever holding more than one line beyond what was just read; a line
longer than the bound breaks the watch instead of filling the memory. Reads are coalesced: everything the
socket has is taken at once and decoded in one go. An ERROR event is raised, not yielded.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Generic, TypeVar

import msgspec

from edgevirt.api.meta import KubeObject, Resource, Status, Struct
from edgevirt.kube import codec, errors, objects

T = TypeVar("T")

MAX_LINE = 16 << 20
"""Bytes of one event; an object in a real cluster stays below 3 MiB."""


class EventType(enum.Enum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclasses.dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """`object` of a BOOKMARK carries nothing but its resource version."""

    type: EventType
    object: T
    resource_version: str


class LineTooLong(errors.Transient):
    pass


class LineSplitter:
    """Cuts a byte stream into lines of at most `limit` bytes."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._held = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes, without line ends; empty ones left out. Raises LineTooLong."""
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines and self._parts:
            # Parts are joined once per line, so a line that trickles in costs no quadratic copying.
            self._check(self._held + len(lines[0]))
            lines[0] = b"".join((*self._parts, lines[0]))
            self._parts.clear()
            self._held = 0
        for line in lines:
            self._check(len(line))
        if rest:
            self._held += len(rest)
            self._check(self._held)
            self._parts.append(rest)
        return [line for line in lines if line.strip()]

    @property
    def incomplete(self) -> bool:
        """Whether the stream stands in the middle of a line."""
        return self._held > 0

    def _check(self, length: int) -> None:
        if length > self._limit:
            raise LineTooLong(f"the server sent a watch event of more than {self._limit} bytes")


class _Line(Struct):
    type: str
    object: msgspec.Raw


def parse(line: bytes, resource: Resource[T]) -> WatchEvent[T]:
    """One event. Raises the ApiError an ERROR event carries (Expired for 410), or DecodeError."""
    envelope = codec.decode_as(line, _Line)
    if envelope.type == "ERROR":
        raise errors.from_status(codec.decode_as(envelope.object, Status))
    try:
        kind = EventType(envelope.type)
    except ValueError as error:
        raise errors.DecodeError(
            f"the server sent a watch event of unknown type {envelope.type!r}"
        ) from error
    if kind is EventType.BOOKMARK:
        mark = codec.decode_as(envelope.object, KubeObject)
        return WatchEvent(kind, codec.decode(envelope.object, resource), mark.metadata.resource_version)
    obj = codec.decode(envelope.object, resource)
    return WatchEvent(kind, obj, objects.version_of(obj))
