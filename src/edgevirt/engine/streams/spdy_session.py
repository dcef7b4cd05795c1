"""The server's side of one SPDY/3.1 connection: which streams exist, who may send how much. No I/O.

Bytes go in by `receive`, which returns what happened; bytes to send are collected and fetched by `take`.

Flow control has two faces. We always tell the peer what we consumed. But the library behind kubectl neither
sends nor minds WINDOW_UPDATE, so our own sending is held back by a window only once the peer has shown that
it keeps one; until then TCP's own back-pressure holds, as it does between kubectl and any cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from edgevirt.engine.streams.spdy_frames import (
    Data,
    Frame,
    FrameError,
    FrameReader,
    FrameWriter,
    GoAway,
    GoAwayStatus,
    Headers,
    MoreHeaders,
    Ping,
    ResetStatus,
    RstStream,
    Settings,
    SynReply,
    SynStream,
    WindowUpdate,
)

INITIAL_WINDOW = 64 * 1024
MAX_WINDOW = 0x7FFF_FFFF
MAX_STREAMS = 1024
_INITIAL_WINDOW_SETTING = 7
_UNLIMITED = 1 << 30


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer wants a stream; answer with `reply` or `reset`."""

    stream: int
    headers: Headers


@dataclass(frozen=True, slots=True)
class Received:
    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The peer sends no more on this stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class WasReset:
    stream: int


@dataclass(frozen=True, slots=True)
class Widened:
    """More may be sent, on one stream or (0) on any."""

    stream: int


Event: TypeAlias = Opened | Received | Ended | WasReset | Widened


@dataclass(slots=True)
class _Stream:
    window: int
    owed: int = 0
    """Bytes consumed that the peer was not told of yet."""
    sending: bool = True
    receiving: bool = True


class Session:
    """What is known of the connection's streams."""

    def __init__(self) -> None:
        self._reader, self._writer = FrameReader(), FrameWriter()
        self._streams: dict[int, _Stream] = {}
        self._last = 0
        self._out = bytearray()
        self._window = INITIAL_WINDOW
        self._peer_keeps_windows = False
        self._leaving = False

    def receive(self, data: bytes) -> list[Event]:
        """What happened. Raises FrameError; what `take` then returns should still be sent."""
        events: list[Event] = []
        try:
            for frame in self._reader.feed(data):
                self._handle(frame, events)
        except FrameError:
            self.go_away(GoAwayStatus.PROTOCOL_ERROR)
            raise
        return events

    def take(self) -> bytes:
        """The bytes to send now."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def reply(self, stream: int) -> None:
        """Accept a stream the peer opened."""
        if stream in self._streams:
            self._put(SynReply(stream, {}))

    def room(self, stream: int) -> int:
        """How many bytes may be sent on `stream` now; 0 for one that is closed for sending."""
        known = self._streams.get(stream)
        if known is None or not known.sending:
            return 0
        return max(known.window, 0) if self._peer_keeps_windows else _UNLIMITED

    def writable(self, stream: int) -> bool:
        """Whether `stream` is open for sending, room or not."""
        known = self._streams.get(stream)
        return known is not None and known.sending

    def send(self, stream: int, data: bytes) -> None:
        """Send `data`, which must not be more than there is room for."""
        known = self._streams[stream]
        known.window -= len(data)
        self._put(Data(stream, data))

    def finish(self, stream: int) -> None:
        """Send no more on `stream`. Idempotent."""
        known = self._streams.get(stream)
        if known is not None and known.sending:
            known.sending = False
            self._put(Data(stream, b"", fin=True))
            self._forget_if_done(stream, known)

    def consumed(self, stream: int, count: int) -> None:
        """`count` received bytes are out of the way: the peer may send as many more."""
        known = self._streams.get(stream)
        if known is None or not known.receiving:
            return
        known.owed += count
        if known.owed >= INITIAL_WINDOW // 2:
            self._put(WindowUpdate(stream, known.owed))
            known.owed = 0

    def reset(self, stream: int, status: ResetStatus) -> None:
        """End a stream at once, both ways. Idempotent."""
        if self._streams.pop(stream, None) is not None:
            self._put(RstStream(stream, status))

    def go_away(self, status: GoAwayStatus = GoAwayStatus.OK) -> None:
        """Take no more streams. Idempotent."""
        if not self._leaving:
            self._leaving = True
            self._put(GoAway(self._last, status))

    def _put(self, frame: Frame) -> None:
        self._out += self._writer.write(frame)

    def _handle(self, frame: Frame, events: list[Event]) -> None:
        match frame:
            case SynStream(stream, headers, fin=fin):
                self._open(stream, headers, fin, events)
            case Data(stream, data, fin):
                self._receive_data(stream, data, fin, events)
            case RstStream(stream):
                if self._streams.pop(stream, None) is not None:
                    events.append(WasReset(stream))
            case WindowUpdate(stream, delta):
                self._widen(stream, delta, events)
            case Settings(values):
                for _, key, value in values:
                    if key == _INITIAL_WINDOW_SETTING:
                        self._resize_windows(min(value, MAX_WINDOW), events)
            case Ping(number):
                if number % 2:  # the peer's own; an even one would be an answer to ours
                    self._put(Ping(number))
            case MoreHeaders(stream, fin=fin):
                if fin:
                    self._receive_data(stream, b"", fin, events)
            case SynReply() | GoAway():
                pass  # we open no streams, so there is nothing to be answered or given up

    def _open(self, stream: int, headers: Headers, fin: bool, events: list[Event]) -> None:
        if stream % 2 == 0 or stream <= self._last:
            self._put(RstStream(stream, ResetStatus.PROTOCOL_ERROR))
            return
        self._last = stream
        if self._leaving or len(self._streams) >= MAX_STREAMS:
            self._put(RstStream(stream, ResetStatus.REFUSED_STREAM))
            return
        self._streams[stream] = _Stream(self._window, receiving=not fin)
        events.append(Opened(stream, headers))
        if fin:
            events.append(Ended(stream))

    def _receive_data(self, stream: int, data: bytes, fin: bool, events: list[Event]) -> None:
        known = self._streams.get(stream)
        if known is None:
            if stream > self._last:
                self._put(RstStream(stream, ResetStatus.INVALID_STREAM))
            return  # else it was closed or reset meanwhile
        if not known.receiving:
            self.reset(stream, ResetStatus.STREAM_ALREADY_CLOSED)
            events.append(WasReset(stream))
            return
        if data:
            events.append(Received(stream, data))
        if fin:
            known.receiving = False
            events.append(Ended(stream))
            self._forget_if_done(stream, known)

    def _widen(self, stream: int, delta: int, events: list[Event]) -> None:
        self._peer_keeps_windows = True
        known = self._streams.get(stream)
        if known is None:
            return
        known.window += delta
        if known.window > MAX_WINDOW:
            self.reset(stream, ResetStatus.FLOW_CONTROL_ERROR)
            events.append(WasReset(stream))
            return
        events.append(Widened(stream))

    def _resize_windows(self, window: int, events: list[Event]) -> None:
        self._peer_keeps_windows = True
        for known in self._streams.values():
            known.window += window - self._window
        self._window = window
        events.append(Widened(0))

    def _forget_if_done(self, stream: int, known: _Stream) -> None:
        if not known.sending and not known.receiving:
            del self._streams[stream]
