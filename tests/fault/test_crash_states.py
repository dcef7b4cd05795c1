"""The model of a disk that loses power must be able to lose what a disk loses, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from crash_states import Contents, acknowledged, states
from recording_vfs import Kind, Operation

pytestmark = pytest.mark.fault

F, G = "/d/f", "/d/g"
PRESENT = frozenset({F})
A, B = b"a" * 1024, b"b" * 1024


def write(data: bytes, offset: int = 0, path: str = F) -> Operation:
    return Operation(Kind.WRITE, path, offset, data)


def sync(path: str = F, done: bool = True) -> Operation:
    return Operation(Kind.SYNC, path, done=done)


def all_states(operations: list[Operation], present: Iterable[str] = PRESENT) -> list[Contents]:
    return list(states(operations, len(operations), frozenset(present), 200))


def contents(operations: list[Operation]) -> set[bytes]:
    return {state[F] for state in all_states(operations)}


def test_synced_write_is_always_there() -> None:
    assert contents([write(A), sync()]) == {A}


def test_open_write_is_there_or_not_or_torn_between_sectors() -> None:
    found = contents([write(A)])
    assert {b"", A, A[:512], bytes(512) + A[512:]} == found


def test_open_writes_reach_the_disk_in_any_order() -> None:
    found = contents([write(A), sync(), write(B), write(b"c" * 512, 1024)])
    assert A + b"c" * 512 in found
    assert B in found


def test_open_truncation_may_be_lost() -> None:
    assert contents([write(A), sync(), Operation(Kind.TRUNCATE, F, size=3)]) == {A, b"aaa"}


def test_name_is_certain_only_after_its_directory_was_synced() -> None:
    made = [Operation(Kind.CREATE, G), write(A, path=G), sync(G)]
    assert {G in state for state in all_states(made)} == {True, False}
    certain = [*made, Operation(Kind.SYNC_DIRECTORY, "/d")]
    assert all(state[G] == A for state in all_states(certain))


def test_deleted_file_may_be_back() -> None:
    made = [Operation(Kind.CREATE, G), write(A, path=G), sync(G), Operation(Kind.SYNC_DIRECTORY, "/d")]
    assert {G in state for state in all_states([*made, Operation(Kind.DELETE, G)])} == {True, False}


def test_what_a_failed_sync_should_have_covered_is_never_certain() -> None:
    assert b"" in contents([write(A), sync(done=False), sync()])
    assert contents([write(A), sync(done=False), write(B), sync()]) == {B}


def test_nothing_after_the_crash_is_seen() -> None:
    operations = [write(A), sync(), write(B), sync()]
    assert {state[F] for state in states(operations, 2, PRESENT, 50)} == {A}


def test_last_acknowledgement_before_the_crash_counts() -> None:
    operations = [Operation(Kind.ACKNOWLEDGED, size=1), write(A), Operation(Kind.ACKNOWLEDGED, size=2)]
    assert [acknowledged(operations, n) for n in range(4)] == [-1, 1, 1, 2]
