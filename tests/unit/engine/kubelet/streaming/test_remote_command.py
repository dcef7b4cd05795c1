"""The pure parts of exec and attach: parameters, verdicts, terminal sizes, channels."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from edgevirt.engine.kubelet.streaming import channels, portforward, request
from edgevirt.engine.kubelet.streaming.terminal import Size, SizeReader
from edgevirt.engine.kubelet.streaming.verdict import Verdict, encode

pytestmark = pytest.mark.unit


def test_parameters_name_streams_and_command() -> None:
    query = MultiDict([("command", "sh"), ("command", "-c"), ("input", "1"), ("output", "1"), ("error", "1")])
    assert request.parse(query) == request.Options(True, True, True, False, ("sh", "-c"))


def test_with_a_terminal_there_is_no_error_stream() -> None:
    query = MultiDict([("output", "1"), ("error", "1"), ("tty", "1")])
    assert request.parse(query) == request.Options(False, True, False, True)


def test_at_least_one_stream_is_needed() -> None:
    with pytest.raises(ValueError, match="at least 1 of stdin, stdout, stderr"):
        request.parse(MultiDict([("command", "ls"), ("tty", "0")]))


def test_success_is_a_status() -> None:
    assert json.loads(encode(Verdict(), 4)) == {"metadata": {}, "status": "Success"}


def test_exit_code_is_a_cause() -> None:
    status = json.loads(encode(Verdict(3, ("ls", "/x")), 5))
    assert (status["status"], status["reason"]) == ("Failure", "NonZeroExitCode")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    assert status["message"].endswith("error executing command [ls /x], exit code 3")


def test_failure_to_run_is_an_internal_error() -> None:
    status = json.loads(encode(Verdict(failure="no such file"), 4))
    assert (status["reason"], status["code"]) == ("InternalError", 500)
    assert "error executing command in container: no such file" in status["message"]


def test_old_protocols_get_text_and_nothing_for_success() -> None:
    assert encode(Verdict(), 1) == b""
    assert encode(Verdict(3, ("ls",)), 3).endswith(b"exit code 3")


def test_sizes_are_read_from_any_slices() -> None:
    reader = SizeReader()
    assert reader.feed(b'{"Width":80,"Hei') == []
    assert reader.feed(b'ght":24}\n{"width":1,"height":2}') == [Size(80, 24), Size(1, 2)]


@pytest.mark.parametrize(
    "text",
    ['{"Width":0,"Height":5}', '{"Width":"a"}', "[1]", "nonsense", '{"Width":70000}', '{"a":' + "[" * 4000],
)
def test_what_is_no_size_is_dropped(text: str) -> None:
    reader = SizeReader()
    assert reader.feed(text.encode()) == []
    assert reader.feed(b'{"Width":8,"Height":9}') == [Size(8, 9)]


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_sizes_never_raise_and_hold_little(pieces: list[bytes]) -> None:
    reader = SizeReader()
    for piece in (*pieces, b'{"Width":"', b"x" * 100_000):
        reader.feed(piece)
        assert len(reader._text) < 10_000


def test_channels_are_the_first_byte_or_digit() -> None:
    assert channels.parse(b"\x00abc", text=False) == (0, b"abc")
    assert channels.parse(b"4YWJj", text=True) == (4, b"abc")
    with pytest.raises(ValueError, match="base64"):
        channels.parse(b"0%%%", text=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], 'query parameter "port" is required'),
        ([""], 'query parameter "port" cannot be empty'),
        (["x"], 'unable to parse "x" as a port'),
        (["0"], 'port "0" must be > 0'),
        (["65536"], 'unable to parse "65536" as a port'),
        (["80,"], 'query parameter "port" cannot be empty'),
        (["1"] * 129, "129 ports are more than the 128 that have channels"),
    ],
)
def test_bad_ports_are_named(values: list[str], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        portforward.ports(MultiDict(("port", value) for value in values))
    assert str(caught.value) == message


def test_ports_may_be_listed_or_repeated() -> None:
    assert portforward.ports(MultiDict([("port", "80,81"), ("port", "82")])) == (80, 81, 82)
