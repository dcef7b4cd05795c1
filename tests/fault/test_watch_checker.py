"""The watch checker must find each of the faults it is for, and nothing in what is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from watch_history import Bookmark, Change, Labels, Session, Truth, Watcher, check

pytestmark = pytest.mark.fault

RED: Labels = (("color", "red"),)
BLUE: Labels = (("color", "blue"),)
CHANGES = (
    Change(1, "a", "ADDED", RED, "a1"),
    Change(2, "b", "ADDED", BLUE, "b1"),
    Change(4, "a", "MODIFIED", RED, "a2"),
    Change(5, "b", "MODIFIED", RED, "b2"),
    Change(7, "a", "MODIFIED", BLUE, "a3"),
    Change(8, "b", "DELETED", RED, "b2"),
    Change(9, "c", "ADDED", RED, "c1"),
)
FOR_RED = (
    Change(4, "a", "MODIFIED", RED, "a2"),
    Change(5, "b", "ADDED", RED, "b2"),
    Change(7, "a", "DELETED", RED, "a2"),
    Change(8, "b", "DELETED", RED, "b2"),
    Change(9, "c", "ADDED", RED, "c1"),
)
LISTED = {"a": (1, "a1"), "b": (2, "b1")}
COMPACTED = 4


def everything() -> Watcher:
    """Sees all: listed at 3, cut off after 5, goes on."""
    return Watcher(
        "everything",
        None,
        [Session(3, LISTED, list(CHANGES[2:4])), Session(5, None, [*CHANGES[4:], Bookmark(10)])],
    )


def red() -> Watcher:
    """Sees red objects only, is told 410 at 3 and starts over."""
    listed = {"a": (1, "a1")}
    return Watcher(
        "red", ("color", "red"), [Session(3, listed, [], expired=True), Session(3, listed, list(FOR_RED))]
    )


def problems(watcher: Watcher, upto: int = 9) -> list[str]:
    return check(Truth(CHANGES), [watcher], COMPACTED, upto)


def test_right_histories_have_no_problems() -> None:
    assert problems(everything()) == []
    assert problems(red()) == []


def missing_event(watcher: Watcher) -> None:
    del watcher.sessions[1].received[1]


def duplicate_event(watcher: Watcher) -> None:
    received = watcher.sessions[1].received
    received.insert(1, received[0])


def reordered_events(watcher: Watcher) -> None:
    received = watcher.sessions[1].received
    received[0], received[1] = received[1], received[0]


def wrong_type(watcher: Watcher) -> None:
    first = watcher.sessions[1].received[0]
    assert isinstance(first, Change)
    watcher.sessions[1].received[0] = replace(first, kind="ADDED" if first.kind != "ADDED" else "MODIFIED")


def old_content(watcher: Watcher) -> None:
    first = watcher.sessions[1].received[0]
    assert isinstance(first, Change)
    watcher.sessions[1].received[0] = replace(first, value="old")


def event_of_nothing(watcher: Watcher) -> None:
    last = watcher.sessions[1].received[-1]
    watcher.sessions[1].received.append(Change(last.revision + 1, "z", "ADDED", RED, "z"))


def event_before_the_start(watcher: Watcher) -> None:
    watcher.sessions[1].received.insert(0, CHANGES[1])


def wrong_list(watcher: Watcher) -> None:
    watcher.sessions[0].listed = {"a": (1, "a0")}


def list_with_a_ghost(watcher: Watcher) -> None:
    watcher.sessions[0].listed = {**(watcher.sessions[0].listed or {}), "z": (2, "z")}


def not_the_end(watcher: Watcher) -> None:
    del watcher.sessions[1].received[-2:]


FAULTS = (
    missing_event,
    duplicate_event,
    reordered_events,
    wrong_type,
    old_content,
    event_of_nothing,
    event_before_the_start,
    wrong_list,
    list_with_a_ghost,
    not_the_end,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("make", [everything, red], ids=["all objects", "with a selector"])
def test_fault_is_found(make: Callable[[], Watcher], fault: Callable[[Watcher], None]) -> None:
    watcher = make()
    fault(watcher)
    assert problems(watcher)


def test_bookmark_that_covers_an_event_still_to_come_is_found() -> None:
    watcher = everything()
    watcher.sessions[1].received = [CHANGES[4], Bookmark(8), *CHANGES[5:]]
    assert any("after 8" in problem for problem in problems(watcher))


def test_bookmark_that_covers_an_event_that_never_comes_is_found() -> None:
    watcher = red()
    watcher.sessions[1].received = [*FOR_RED[:3], Bookmark(9)]
    assert len(problems(watcher)) == 2


def test_410_for_a_revision_that_is_kept_is_found() -> None:
    watcher = everything()
    watcher.sessions[0].expired = True
    assert any("410" in problem for problem in problems(watcher))


def test_session_that_skips_is_found() -> None:
    watcher = everything()
    watcher.sessions[1].start = 7
    del watcher.sessions[1].received[0]
    assert any("had come to 5" in problem for problem in problems(watcher))


def test_event_that_should_not_concern_the_watcher_is_found() -> None:
    watcher = red()
    watcher.sessions[1].received = [Change(4, "a", "MODIFIED", RED, "a2"), CHANGES[3], *FOR_RED[2:]]
    assert any("instead of" in problem for problem in problems(watcher))


def test_two_changes_with_one_revision_are_found() -> None:
    truth = Truth([*CHANGES, Change(9, "d", "ADDED", RED, "d1")])
    assert any("two changes" in problem for problem in truth.problems)


def test_impossible_order_of_changes_is_found() -> None:
    assert Truth([Change(1, "a", "MODIFIED", RED, "x")]).problems
    assert Truth([CHANGES[0], Change(2, "a", "ADDED", RED, "x")]).problems


def test_410_is_right_when_the_state_before_a_selected_change_is_compacted() -> None:
    watcher = red()
    watcher.sessions[0] = Session(6, {"a": (4, "a2"), "b": (5, "b2")}, [], expired=True)
    watcher.sessions[1] = Session(6, {"a": (4, "a2"), "b": (5, "b2")}, list(FOR_RED[2:]))
    assert check(Truth(CHANGES), [watcher], 4, 9) == []
    assert check(Truth(CHANGES), [watcher], 3, 9) != []
