"""The checker of single objects must find what it is for, and accept what may happen."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from linearizability import Operation, explain

pytestmark = pytest.mark.fault

CREATED = Operation("create", 0, 1, "ok", "a", revision=10, found_uid="u1")


def read(called: float, answered: float, value: str, revision: int, uid: str = "u1") -> Operation:
    return Operation("read", called, answered, "ok", value, revision=revision, found_uid=uid)


def update(
    called: float, answered: float, value: str, expected: int | None, revision: int, uid: str = "u1"
) -> Operation:
    return Operation(
        "update", called, answered, "ok", value, expected=expected, revision=revision, found_uid=uid
    )


def lost(
    kind: str, called: float, answered: float, value: str = "", expected: int | None = None
) -> Operation:
    return Operation(kind, called, answered, "lost", value, expected=expected)


ACCEPTED = {
    "one after the other": [CREATED, update(2, 3, "b", 10, 11), read(4, 5, "b", 11)],
    "read during a write sees the old state": [CREATED, update(2, 9, "b", 10, 11), read(3, 4, "a", 10)],
    "read during a write sees the new state": [CREATED, update(2, 9, "b", 10, 11), read(3, 4, "b", 11)],
    "loser of two writers is told": [
        CREATED,
        update(2, 5, "b", 10, 11),
        Operation("update", 2, 6, "conflict", "c", expected=10),
    ],
    "lost write happened": [CREATED, lost("update", 2, 3, "b", 10), read(4, 5, "b", 11)],
    "lost write did not happen": [CREATED, lost("update", 2, 3, "b", 10), read(4, 5, "a", 10)],
    "lost write happened and is built upon": [
        CREATED,
        lost("update", 2, 3, "b", 10),
        update(4, 5, "c", 12, 13),
        read(6, 7, "c", 13),
    ],
    "lost delete happened": [
        CREATED,
        lost("delete", 2, 3),
        Operation("read", 4, 5, "absent"),
        Operation("create", 6, 7, "ok", "b", revision=14, found_uid="u2"),
    ],
    "lost create is found to exist": [
        lost("create", 0, 1, "a"),
        Operation("create", 2, 3, "exists", "b"),
        read(4, 5, "a", 7),
    ],
    "precondition on another life fails": [
        CREATED,
        Operation("delete", 2, 3, "ok", revision=11),
        Operation("create", 4, 5, "ok", "b", revision=12, found_uid="u2"),
        Operation("delete", 6, 7, "conflict", uid="u1"),
    ],
    "lost write seen only by a later writer's precondition": [
        CREATED,
        lost("update", 2, 20, "b", 10),
        lost("update", 3, 20, "c", 10),
        read(21, 22, "c", 15),
    ],
}

REFUSED = {
    "acknowledged write is gone": [CREATED, update(2, 3, "b", 10, 11), read(4, 5, "a", 10)],
    "read goes back": [CREATED, update(2, 9, "b", 10, 11), read(3, 4, "b", 11), read(5, 6, "a", 10)],
    "two winners with one precondition": [CREATED, update(2, 5, "b", 10, 11), update(3, 6, "c", 10, 12)],
    "value nobody wrote": [CREATED, read(2, 3, "z", 10)],
    "value with a revision that is not its own": [CREATED, read(2, 3, "a", 11)],
    "refused though the precondition held": [
        CREATED,
        Operation("update", 2, 3, "conflict", "b", expected=10),
    ],
    "created twice": [CREATED, Operation("create", 2, 3, "ok", "b", revision=12, found_uid="u2")],
    "revision goes back": [CREATED, update(2, 3, "b", 10, 9)],
    "revision goes back over a deletion": [
        CREATED,
        Operation("delete", 2, 3, "ok", revision=11),
        Operation("create", 4, 5, "ok", "b", revision=11, found_uid="u2"),
    ],
    "deleted object is back": [CREATED, Operation("delete", 2, 3, "ok", revision=11), read(4, 5, "a", 10)],
    "uid changes in one life": [CREATED, update(2, 3, "b", 10, 11, uid="u2")],
    "lost write happened and then did not": [
        CREATED,
        lost("update", 2, 3, "b", 10),
        read(4, 5, "b", 11),
        read(6, 7, "a", 10),
    ],
    "lost write happened after the process was dead": [
        CREATED,
        lost("update", 2, 3, "b", 10),
        read(4, 5, "a", 10),
        read(6, 7, "b", 11),
    ],
    "both of two lost writes with one precondition happened": [
        CREATED,
        lost("update", 2, 20, "b", 10),
        lost("update", 3, 20, "c", 10),
        read(4, 5, "b", 11),
        read(6, 7, "c", 12),
    ],
    "absent though never deleted": [CREATED, Operation("read", 2, 3, "absent")],
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_history_that_may_happen_is_explained(name: str) -> None:
    assert explain(ACCEPTED[name]) is not None


@pytest.mark.parametrize("name", REFUSED)
def test_history_that_must_not_happen_is_refused(name: str) -> None:
    assert explain(REFUSED[name]) is None


def simulated(chance: random.Random, count: int) -> list[Operation]:
    """Clients of a correct object: each operation takes effect at a moment between call and answer."""
    moments = sorted(chance.sample(range(1, count * 10), count))
    exists, revision, uid, value, newest = False, 0, "", "", 100
    history: list[Operation] = []
    for number, moment in enumerate(moments):
        called, answered = moment - chance.random() * 30, moment + chance.random() * 30
        kind = chance.choice(("read", "update", "update", "delete", "create"))
        expected = chance.choice((revision, revision, newest - 2)) if kind in ("update", "delete") else None
        made = Operation(kind, called, answered, "absent", f"v{number}", expected=expected)
        if kind == "create":
            if exists:
                made = replace(made, answer="exists")
            else:
                newest += 1
                exists, revision, uid, value = True, newest, f"u{number}", made.value
                made = replace(made, answer="ok", revision=newest, found_uid=uid)
        elif exists and kind == "read":
            made = replace(made, answer="ok", value=value, revision=revision, found_uid=uid)
        elif exists and expected != revision:
            made = replace(made, answer="conflict")
        elif exists and kind == "update":
            newest += 1
            revision, value = newest, made.value
            made = replace(made, answer="ok", revision=newest, found_uid=uid)
        elif exists:
            newest += 1
            exists = False
            made = replace(made, answer="ok", revision=newest)
        if made.kind != "read" and chance.random() < 0.1:
            made = replace(made, answer="lost", revision=None, found_uid="")
        history.append(made)
    return history


@pytest.mark.parametrize("number", range(20))
def test_histories_of_a_correct_object_are_explained(number: int) -> None:
    assert explain(simulated(random.Random(number), 60)) is not None


@pytest.mark.parametrize("number", range(20))
def test_one_stale_read_in_a_long_history_is_found(number: int) -> None:
    history = simulated(random.Random(number), 60)
    first = next(o for o in history if o.answer == "ok" and o.kind == "create")
    end = max(operation.answered for operation in history)
    deleted = Operation("delete", end + 1, end + 2, "lost")
    made = Operation("create", end + 3, end + 4, "lost", "last")
    seen = read(end + 5, end + 6, "last", 9_999, "last-uid")
    assert explain([*history, deleted, made, seen]) is not None
    stale = read(end + 7, end + 8, first.value, first.revision or 0, first.found_uid)
    assert explain([*history, deleted, made, seen, stale]) is None
