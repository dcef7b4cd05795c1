from __future__ import annotations

import signal

import pytest

from edgevirt.engine.kubelet.attention import heeds

pytestmark = pytest.mark.unit
TERM = 1 << (signal.SIGTERM - 1)


def status(namespaces: str = "4711\t1", caught: int = 0, blocked: int = 0) -> str:
    return (
        f"Name:\tsh\nNSpid:\t{namespaces}\nSigPnd:\t{0:016x}\nSigBlk:\t{blocked:016x}\n"
        f"SigIgn:\t{0:016x}\nSigCgt:\t{caught:016x}\n"
    )


def stat(flags: int = 0x400100) -> str:
    return f"4711 (a) b) S 1 4711 4711 0 -1 {flags} 100 0 0"


@pytest.mark.parametrize(
    ("namespaces", "caught", "blocked", "expected"),
    [
        ("4711\t1", 0, 0, False),
        ("4711\t1", TERM, 0, True),
        ("4711\t1", 0, TERM, True),
        ("4711\t1", TERM << 1, TERM >> 1, False),
        ("4711\t7", 0, 0, True),
        ("4711", 0, 0, True),
    ],
)
def test_the_first_of_a_namespace_hears_what_it_handles_or_blocks(
    namespaces: str, caught: int, blocked: int, expected: bool
) -> None:
    assert heeds(status(namespaces, caught, blocked), stat(), signal.SIGTERM) is expected


def test_before_its_program_is_executed_it_hears_nothing() -> None:
    """What the runtime blocks or handles meanwhile is undone by then."""
    assert not heeds(status(caught=TERM, blocked=TERM), stat(0x400140), signal.SIGTERM)
