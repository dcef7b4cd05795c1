from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.engine.streams.spdy_dictionary import DICTIONARY
from edgevirt.engine.streams.spdy_frames import (
    MAX_CONTROL,
    MAX_COUNT,
    MAX_HEADERS,
    Data,
    Frame,
    FrameError,
    FrameReader,
    FrameWriter,
    GoAway,
    MoreHeaders,
    Ping,
    RstStream,
    Settings,
    SynReply,
    SynStream,
    WindowUpdate,
)

pytestmark = pytest.mark.unit

streams = st.integers(1, 2**31 - 1)
numbers = st.integers(0, 2**32 - 1)
names = st.text(st.characters(codec="ascii", categories=["Ll", "Nd"]), min_size=1, max_size=12)
values = st.text(st.characters(codec="latin-1", exclude_characters="\0"), max_size=40)
headers = st.dictionaries(names, st.lists(values, min_size=1, max_size=3).map(tuple), max_size=5)
frames = st.one_of(
    st.builds(SynStream, streams, headers, streams, st.integers(0, 7), st.booleans(), st.booleans()),
    st.builds(SynReply, streams, headers, st.booleans()),
    st.builds(RstStream, streams, numbers),
    st.builds(
        Settings,
        st.lists(st.tuples(st.integers(0, 3), st.integers(1, 8), numbers), max_size=4).map(tuple),
    ),
    st.builds(Ping, numbers),
    st.builds(GoAway, streams, numbers),
    st.builds(MoreHeaders, streams, headers, st.booleans()),
    st.builds(WindowUpdate, streams, st.integers(1, 2**31 - 1)),
    st.builds(Data, streams, st.binary(max_size=2000), st.booleans()),
)


def joined(found: Sequence[Frame]) -> list[Frame]:
    """With the pieces of DATA frames put together; `fin` closes a frame, as does a frame of another kind."""
    result: list[Frame] = []
    for frame in found:
        last = result[-1] if result else None
        if (
            isinstance(frame, Data)
            and isinstance(last, Data)
            and not last.fin
            and last.stream == frame.stream
        ):
            result[-1] = Data(frame.stream, last.data + frame.data, frame.fin)
        else:
            result.append(frame)
    return result


@given(st.lists(frames, max_size=8), st.data())
def test_frames_survive_the_wire_however_it_is_cut(sent: list[Frame], data: st.DataObject) -> None:
    writer, reader = FrameWriter(), FrameReader()
    wire = b"".join(writer.write(frame) for frame in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=10)))
    received: list[Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        received += reader.feed(wire[start:end])
    assert joined(received) == joined(sent)


@given(st.binary(max_size=400))
def test_nonsense_is_refused_or_waited_for_but_never_anything_else(wire: bytes) -> None:
    try:
        FrameReader().feed(wire)
    except FrameError:
        pass


@given(st.lists(frames, min_size=1, max_size=4), st.data())
def test_damaged_frames_are_refused_or_read_as_others(sent: list[Frame], data: st.DataObject) -> None:
    writer = FrameWriter()
    wire = bytearray(b"".join(writer.write(frame) for frame in sent))
    wire[data.draw(st.integers(0, len(wire) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        FrameReader().feed(bytes(wire))
    except FrameError:
        pass


def test_dictionary_has_the_checksum_that_every_spdy_3_stream_names() -> None:
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


def test_headers_of_a_go_client_are_understood() -> None:
    """Best compression, the full window, names with capitals: as the framer behind kubectl writes them."""
    plain = struct.pack(">I", 1)
    for text in (b"streamType", b"stdin"):
        plain += struct.pack(">I", len(text)) + text
    compressor = zlib.compressobj(9, zdict=DICTIONARY)
    block = compressor.compress(plain) + compressor.flush(zlib.Z_SYNC_FLUSH)
    body = struct.pack(">IIBB", 1, 0, 0, 0) + block
    wire = struct.pack(">HHI", 0x8003, 1, len(body)) + body
    assert FrameReader().feed(wire) == [SynStream(1, {"streamtype": ("stdin",)})]


def test_large_data_frame_is_handed_on_while_it_arrives() -> None:
    reader = FrameReader()
    assert reader.feed(struct.pack(">II", 1, 0x01 << 24 | 1 << 20) + b"ab") == [Data(1, b"ab")]
    assert reader.feed(b"c") == [Data(1, b"c")]


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (struct.pack(">HHI", 0x8002, 1, 0), "SPDY version 2"),
        (struct.pack(">HHI", 0x8003, 1, MAX_CONTROL + 1), "a control frame of"),
        (struct.pack(">HHI", 0x8003, 6, 2) + b"ab", "ends in the middle"),
        (struct.pack(">HHI", 0x8003, 2, 8) + b"abcdefgh", "cannot be inflated"),
        (struct.pack(">HHII", 0x8003, 4, 4, 1000), "SETTINGS with 1000 entries"),
    ],
)
def test_what_cannot_be_spdy_3_is_refused(wire: bytes, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        FrameReader().feed(wire)


def test_header_block_that_inflates_without_end_is_refused() -> None:
    compressor = zlib.compressobj(9, zdict=DICTIONARY)
    block = compressor.compress(b"\0" * (MAX_HEADERS + 1)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    body = struct.pack(">I", 1) + block
    with pytest.raises(FrameError, match="a header block of more than"):
        FrameReader().feed(struct.pack(">HHI", 0x8003, 2, len(body)) + body)


def test_header_block_with_very_many_headers_is_refused_before_they_are_read() -> None:
    compressor = zlib.compressobj(zdict=DICTIONARY)
    plain = struct.pack(">I", MAX_COUNT + 1) + b"\0" * 8 * (MAX_COUNT + 1)
    block = compressor.compress(plain) + compressor.flush(zlib.Z_SYNC_FLUSH)
    wire = struct.pack(">HHIIIBB", 0x8003, 1, 10 + len(block), 1, 0, 0, 0) + block
    with pytest.raises(FrameError, match="headers"):
        FrameReader().feed(wire)


def test_unknown_control_frames_are_skipped() -> None:
    writer = FrameWriter()
    wire = struct.pack(">HHI", 0x8003, 77, 3) + b"abc" + writer.write(Ping(1))
    assert FrameReader().feed(wire) == [Ping(1)]
