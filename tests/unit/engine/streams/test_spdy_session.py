from __future__ import annotations

import pytest

from edgevirt.engine.streams.spdy_frames import (
    Data,
    Frame,
    FrameError,
    FrameReader,
    FrameWriter,
    GoAway,
    Ping,
    ResetStatus,
    RstStream,
    Settings,
    SynReply,
    SynStream,
    WindowUpdate,
)
from edgevirt.engine.streams.spdy_session import (
    INITIAL_WINDOW,
    MAX_STREAMS,
    MAX_WINDOW,
    Ended,
    Event,
    Opened,
    Received,
    Session,
    WasReset,
    Widened,
)

pytestmark = pytest.mark.unit


class Peer:
    """The client's side: frames in, events and answered frames out."""

    def __init__(self) -> None:
        self.session = Session()
        self._writer, self._reader = FrameWriter(), FrameReader()

    def send(self, *frames: Frame) -> list[Event]:
        return self.session.receive(b"".join(map(self._writer.write, frames)))

    def answers(self) -> list[Frame]:
        return self._reader.feed(self.session.take())


@pytest.fixture
def peer() -> Peer:
    return Peer()


def open_stream(peer: Peer, stream: int = 1) -> None:
    peer.send(SynStream(stream, {"a": ("b",)}))
    peer.session.reply(stream)
    peer.answers()


def test_stream_is_offered_and_accepted(peer: Peer) -> None:
    assert peer.send(SynStream(1, {"a": ("b",)})) == [Opened(1, {"a": ("b",)})]
    assert peer.answers() == []
    peer.session.reply(1)
    assert peer.answers() == [SynReply(1, {})]


def test_stream_may_be_refused(peer: Peer) -> None:
    peer.send(SynStream(1, {}))
    peer.session.reset(1, ResetStatus.REFUSED_STREAM)
    assert peer.answers() == [RstStream(1, ResetStatus.REFUSED_STREAM)]
    assert not peer.session.writable(1)


def test_each_side_ends_for_itself(peer: Peer) -> None:
    open_stream(peer)
    assert peer.send(Data(1, b"last", fin=True)) == [Received(1, b"last"), Ended(1)]
    peer.session.send(1, b"answer")
    peer.session.finish(1)
    peer.session.finish(1)
    assert peer.answers() == [Data(1, b"answer"), Data(1, b"", fin=True)]
    assert not peer.session.writable(1)


def test_data_after_the_end_resets_the_stream(peer: Peer) -> None:
    open_stream(peer)
    peer.send(Data(1, b"", fin=True))
    assert peer.send(Data(1, b"more")) == [WasReset(1)]
    assert peer.answers() == [RstStream(1, ResetStatus.STREAM_ALREADY_CLOSED)]


def test_data_for_a_stream_that_never_was_is_answered_with_a_reset(peer: Peer) -> None:
    assert peer.send(Data(5, b"x")) == []
    assert peer.answers() == [RstStream(5, ResetStatus.INVALID_STREAM)]


def test_data_that_crosses_our_reset_is_ignored(peer: Peer) -> None:
    open_stream(peer)
    peer.session.reset(1, ResetStatus.CANCEL)
    peer.answers()
    assert peer.send(Data(1, b"late")) == []
    assert peer.answers() == []


@pytest.mark.parametrize("stream", [2, 1])
def test_stream_numbers_must_be_odd_and_rise(peer: Peer, stream: int) -> None:
    open_stream(peer, 1)
    assert peer.send(SynStream(stream, {})) == []
    assert peer.answers() == [RstStream(stream, ResetStatus.PROTOCOL_ERROR)]


def test_streams_are_bounded(peer: Peer) -> None:
    for number in range(MAX_STREAMS):
        peer.send(SynStream(2 * number + 1, {}))
    assert peer.send(SynStream(2 * MAX_STREAMS + 1, {})) == []
    assert peer.answers()[-1] == RstStream(2 * MAX_STREAMS + 1, ResetStatus.REFUSED_STREAM)


def test_the_peers_pings_are_answered_and_answers_to_ours_are_not(peer: Peer) -> None:
    peer.send(Ping(1), Ping(2))
    assert peer.answers() == [Ping(1)]


def test_consumed_bytes_are_given_back_in_halves_of_the_window(peer: Peer) -> None:
    open_stream(peer)
    peer.send(Data(1, b"x" * INITIAL_WINDOW))
    peer.session.consumed(1, INITIAL_WINDOW // 2 - 1)
    assert peer.answers() == []
    peer.session.consumed(1, 1)
    assert peer.answers() == [WindowUpdate(1, INITIAL_WINDOW // 2)]


def test_a_peer_without_windows_is_not_waited_for(peer: Peer) -> None:
    """kubectl sends no WINDOW_UPDATE: with windows its output would stop after 64 KiB."""
    open_stream(peer)
    for _ in range(4):
        peer.session.send(1, b"x" * INITIAL_WINDOW)
    assert peer.session.room(1) > 0


def test_a_peer_with_windows_is_never_sent_more_than_fits(peer: Peer) -> None:
    open_stream(peer)
    assert peer.send(Settings(((0, 7, 1000),))) == [Widened(0)]
    assert peer.session.room(1) == 1000
    peer.session.send(1, b"x" * 1000)
    assert peer.session.room(1) == 0
    assert peer.session.writable(1)
    assert peer.send(WindowUpdate(1, 10)) == [Widened(1)]
    assert peer.session.room(1) == 10


def test_a_shrunk_window_may_be_below_zero_until_it_is_paid_back(peer: Peer) -> None:
    open_stream(peer)
    peer.session.send(1, b"x" * 500)
    peer.send(Settings(((0, 7, 100),)))
    assert peer.session.room(1) == 0
    peer.send(WindowUpdate(1, 401))
    assert peer.session.room(1) == 1


def test_a_window_beyond_the_limit_resets_the_stream(peer: Peer) -> None:
    open_stream(peer)
    assert peer.send(WindowUpdate(1, MAX_WINDOW)) == [WasReset(1)]
    assert peer.answers() == [RstStream(1, ResetStatus.FLOW_CONTROL_ERROR)]


def test_the_peers_reset_ends_a_stream(peer: Peer) -> None:
    open_stream(peer)
    assert peer.send(RstStream(1, ResetStatus.CANCEL)) == [WasReset(1)]
    assert not peer.session.writable(1)


def test_nonsense_is_answered_with_goaway(peer: Peer) -> None:
    open_stream(peer, 7)
    with pytest.raises(FrameError):
        peer.session.receive(b"\x80\x02" + bytes(6))
    assert peer.answers() == [GoAway(7, 1)]


def test_after_goaway_no_stream_is_taken(peer: Peer) -> None:
    peer.session.go_away()
    assert peer.send(SynStream(1, {})) == []
    assert peer.answers() == [GoAway(0, 0), RstStream(1, ResetStatus.REFUSED_STREAM)]
