"""SPDY/3.1 frames as values, and the codec between them and bytes. No I/O.

Header blocks are compressed with one zlib stream per direction for the whole connection, so reader and writer
have state and frames must be written in the order they are sent. The reader hands the payload of a DATA frame
on as it arrives, in as many `Data` pieces as it takes: what it holds is bounded, whatever lengths a peer
announces. Control frames are small by nature and refused beyond a limit, before and after inflating.
"""

from __future__ import annotations

import enum
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from edgevirt.engine.streams.spdy_dictionary import DICTIONARY

Headers: TypeAlias = Mapping[str, tuple[str, ...]]
"""Lower-case names; a header may have several values."""

VERSION = 3
MAX_CONTROL = 64 * 1024
MAX_HEADERS = 16 * 1024
MAX_COUNT = 256
"""Of headers in one block: a few bytes of it can stand for tens of thousands."""
_HEAD = 8
_FIN, _UNIDIRECTIONAL = 0x01, 0x02
_STREAM_MASK = 0x7FFF_FFFF


class FrameError(Exception):
    """What the peer sent cannot be SPDY/3; the connection is of no more use."""


class ResetStatus(enum.IntEnum):
    """Why a stream is reset."""

    PROTOCOL_ERROR = 1
    INVALID_STREAM = 2
    REFUSED_STREAM = 3
    CANCEL = 5
    INTERNAL_ERROR = 6
    FLOW_CONTROL_ERROR = 7
    STREAM_IN_USE = 8
    STREAM_ALREADY_CLOSED = 9


class GoAwayStatus(enum.IntEnum):
    """Why a side leaves."""

    OK = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


@dataclass(frozen=True, slots=True)
class SynStream:
    stream: int
    headers: Headers
    associated: int = 0
    priority: int = 0
    fin: bool = False
    unidirectional: bool = False


@dataclass(frozen=True, slots=True)
class SynReply:
    stream: int
    headers: Headers
    fin: bool = False


@dataclass(frozen=True, slots=True)
class RstStream:
    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Settings:
    """`values`: (flags, identifier, value)."""

    values: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Ping:
    id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    last_stream: int
    status: int


@dataclass(frozen=True, slots=True)
class MoreHeaders:
    """The HEADERS frame: further headers of a stream."""

    stream: int
    headers: Headers
    fin: bool = False


@dataclass(frozen=True, slots=True)
class WindowUpdate:
    stream: int
    delta: int


@dataclass(frozen=True, slots=True)
class Data:
    """A DATA frame when written; when read, a piece of one. `fin` is set on the last piece only."""

    stream: int
    data: bytes
    fin: bool = False


Frame: TypeAlias = (
    SynStream | SynReply | RstStream | Settings | Ping | GoAway | MoreHeaders | WindowUpdate | Data
)


class FrameWriter:
    """Frames to bytes, in the order they will be sent."""

    def __init__(self) -> None:
        # A small window: our headers are few, and the memory is held as long as the connection.
        self._deflate = zlib.compressobj(level=6, wbits=11, memLevel=2, zdict=DICTIONARY)

    def write(self, frame: Frame) -> bytes:
        match frame:
            case Data(stream, data, fin):
                return struct.pack(">II", stream, _FIN * fin << 24 | len(data)) + data
            case SynStream(stream, headers, associated, priority, fin, unidirectional):
                flags = _FIN * fin | _UNIDIRECTIONAL * unidirectional
                fixed = struct.pack(">IIBB", stream, associated, priority << 5, 0)
                return _control(1, flags, fixed + self._block(headers))
            case SynReply(stream, headers, fin):
                return _control(2, _FIN * fin, struct.pack(">I", stream) + self._block(headers))
            case RstStream(stream, status):
                return _control(3, 0, struct.pack(">II", stream, status))
            case Settings(values):
                entries = (struct.pack(">II", flags << 24 | key, value) for flags, key, value in values)
                return _control(4, 0, struct.pack(">I", len(values)) + b"".join(entries))
            case Ping(number):
                return _control(6, 0, struct.pack(">I", number))
            case GoAway(last, status):
                return _control(7, 0, struct.pack(">II", last, status))
            case MoreHeaders(stream, headers, fin):
                return _control(8, _FIN * fin, struct.pack(">I", stream) + self._block(headers))
            case WindowUpdate(stream, delta):
                return _control(9, 0, struct.pack(">II", stream, delta))

    def _block(self, headers: Headers) -> bytes:
        plain = bytearray(struct.pack(">I", len(headers)))
        for name, values in headers.items():
            for text in (name.lower(), "\0".join(values)):
                encoded = text.encode("latin-1", "replace")
                plain += struct.pack(">I", len(encoded)) + encoded
        return self._deflate.compress(bytes(plain)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


class FrameReader:
    """Bytes to frames; `feed` may be given any slices of the stream of bytes."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._buffer = bytearray()
        self._left = 0
        self._stream = 0
        self._fin = False

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by `data`. Raises FrameError, after which the reader is of no more use."""
        self._buffer += data
        frames: list[Frame] = []
        while True:
            if self._left:
                if not self._buffer:
                    return frames
                piece = bytes(self._buffer[: self._left])
                del self._buffer[: len(piece)]
                self._left -= len(piece)
                frames.append(Data(self._stream, piece, self._fin and not self._left))
                continue
            if len(self._buffer) < _HEAD:
                return frames
            first, second = struct.unpack_from(">II", self._buffer)
            flags, length = second >> 24, second & 0xFF_FFFF
            if first & ~_STREAM_MASK:
                if length > MAX_CONTROL:
                    raise FrameError(f"a control frame of {length} bytes")
                if len(self._buffer) < _HEAD + length:
                    return frames
                body = bytes(self._buffer[_HEAD : _HEAD + length])
                del self._buffer[: _HEAD + length]
                frame = self._control(first >> 16 & 0x7FFF, first & 0xFFFF, flags, body)
                if frame is not None:
                    frames.append(frame)
                continue
            del self._buffer[:_HEAD]
            self._stream, self._left, self._fin = first, length, bool(flags & _FIN)
            if not length:
                frames.append(Data(first, b"", self._fin))

    def _control(self, version: int, kind: int, flags: int, body: bytes) -> Frame | None:
        """None for a kind of frame that SPDY/3 does not know; such frames are to be skipped."""
        if version != VERSION:
            raise FrameError(f"SPDY version {version}")
        fin = bool(flags & _FIN)
        try:
            match kind:
                case 1:
                    stream, associated, priority = struct.unpack_from(">IIB", body)
                    return SynStream(
                        stream & _STREAM_MASK,
                        self._headers(body[10:]),
                        associated & _STREAM_MASK,
                        priority >> 5,
                        fin,
                        bool(flags & _UNIDIRECTIONAL),
                    )
                case 2:
                    return SynReply(_number(body, 0) & _STREAM_MASK, self._headers(body[4:]), fin)
                case 3:
                    return RstStream(_number(body, 0) & _STREAM_MASK, _number(body, 4))
                case 4:
                    return _settings(body)
                case 6:
                    return Ping(_number(body, 0))
                case 7:
                    return GoAway(_number(body, 0) & _STREAM_MASK, _number(body, 4))
                case 8:
                    return MoreHeaders(_number(body, 0) & _STREAM_MASK, self._headers(body[4:]), fin)
                case 9:
                    return WindowUpdate(_number(body, 0) & _STREAM_MASK, _number(body, 4) & _STREAM_MASK)
        except struct.error as error:
            raise FrameError(f"a control frame of kind {kind} is too short") from error
        return None

    def _headers(self, block: bytes) -> Headers:
        try:
            plain = self._inflate.decompress(block, MAX_HEADERS)
        except zlib.error as error:
            raise FrameError(f"a header block cannot be inflated: {error}") from error
        if self._inflate.unconsumed_tail:
            raise FrameError(f"a header block of more than {MAX_HEADERS} bytes")
        count = _number(plain, 0)
        if count > MAX_COUNT:
            raise FrameError(f"a header block with {count} headers")
        headers: dict[str, list[str]] = {}
        position = 4
        for _ in range(count):
            name, position = _text(plain, position)
            value, position = _text(plain, position)
            headers.setdefault(name.lower(), []).extend(value.split("\0"))
        return {name: tuple(values) for name, values in headers.items()}


def _control(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(body)) + body


def _settings(body: bytes) -> Settings:
    count = _number(body, 0)
    if count * 8 + 4 > len(body):
        raise FrameError(f"SETTINGS with {count} entries in {len(body)} bytes")
    pairs = struct.iter_unpack(">II", body[4 : 4 + count * 8])
    return Settings(tuple((first >> 24, first & 0xFF_FFFF, value) for first, value in pairs))


def _number(data: bytes, position: int) -> int:
    return int.from_bytes(_exactly(data, position, 4), "big")


def _text(data: bytes, position: int) -> tuple[str, int]:
    end = position + 4 + _number(data, position)
    return _exactly(data, position + 4, end - position - 4).decode("latin-1"), end


def _exactly(data: bytes, position: int, length: int) -> bytes:
    part = data[position : position + length]
    if len(part) != length:
        raise FrameError("a frame ends in the middle of a field")
    return part
