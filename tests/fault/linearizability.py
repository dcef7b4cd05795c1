"""Is there an order of the operations on one object that explains all answers? Wing and Gong, with memory.

An operation takes effect at one moment between its call and its answer. One whose answer was lost may have
taken effect or not, but if, then before the process that could have done it was known to be dead. The
object is what Kubernetes makes of it: absent, or there with a uid, a revision and the value of one writer;
every write carries a value of its own, so whatever is read names the write it saw. Revisions of one object
only grow, over deletions too.

`explain` is a pure function of the history; None means that no order explains it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

Revision = int | None
"""None: not known, because the answer that would have told it was lost."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`kind`: create, update, delete or read. `answer`: ok, exists, conflict, absent or lost.

    `called` and `answered` are positions on one clock. `expected` and `uid` are preconditions. For ok,
    `revision`, `found_uid` and `value` say what the answer showed; for a lost write `value` is what it would
    have written.
    """

    kind: str
    called: float
    answered: float
    answer: str
    value: str = ""
    expected: int | None = None
    uid: str = ""
    revision: int | None = None
    found_uid: str = ""


@dataclass(frozen=True, slots=True)
class _State:
    """Of the object between two operations; `floor` is the newest revision it had, as far as known."""

    exists: bool = False
    revision: Revision = None
    uid: str = ""
    value: str = ""
    floor: int = 0


_Order = tuple["_Order", int] | None
"""The last placed operation and those before it."""


def explain(history: list[Operation]) -> list[Operation] | None:
    """The operations in an order that explains their answers (lost ones without effect left out)."""
    operations = sorted(history, key=lambda operation: operation.called)
    everything = (1 << len(operations)) - 1
    seen: set[tuple[int, int, _State]] = set()
    stack: list[tuple[int, _State, _Order]] = [(0, _State(), None)]
    while stack:
        done, state, order = stack.pop()
        if done == everything:
            return _unrolled(operations, order)
        first = (~done & (done + 1)).bit_length() - 1
        key = (first, done >> first, state)
        if key in seen:
            continue
        seen.add(key)
        stack += _successors(operations, first, done, state, order)
    return None


def _unrolled(operations: list[Operation], order: _Order) -> list[Operation]:
    found: list[Operation] = []
    while order is not None:
        order, index = order
        found.append(operations[index])
    return found[::-1]


def _successors(
    operations: list[Operation], first: int, done: int, state: _State, order: _Order
) -> list[tuple[int, _State, _Order]]:
    found: list[tuple[int, _State, _Order]] = []
    for index in _minimal(operations, first, done):
        operation = operations[index]
        marked = done | (1 << index)
        after = _effect(operation, state)
        if after is not None and not _changes(operation):
            # It fits here and changes nothing: no order is lost by putting it here.
            return [(marked, after, (order, index))]
        if after is not None:
            found.append((marked, after, (order, index)))
        if operation.answer == "lost":
            found.append((marked, state, order))
    return found


def _minimal(operations: list[Operation], first: int, done: int) -> list[int]:
    """Operations not yet placed that were called before any such one was answered."""
    waiting: list[int] = []
    answered = float("inf")
    for index in range(first, len(operations)):
        if done >> index & 1:
            continue
        operation = operations[index]
        if operation.called > answered:
            break
        waiting.append(index)
        answered = min(answered, operation.answered)
    return [index for index in waiting if operations[index].called <= answered]


def _changes(operation: Operation) -> bool:
    return operation.kind != "read" and operation.answer in ("ok", "lost")


def _effect(operation: Operation, state: _State) -> _State | None:
    """The state after the operation, or None if it cannot have had this answer here."""
    match operation.answer:
        case "exists":
            return state if operation.kind == "create" and state.exists else None
        case "absent":
            return state if operation.kind != "create" and not state.exists else None
        case "conflict":
            return state if state.exists and not _certainly_meets(operation, state) else None
        case "lost" if operation.kind == "read":
            return None
    match operation.kind:
        case "read":
            return _observed(operation, state)
        case "create":
            return None if state.exists else _written(operation, state, operation.found_uid)
    if not state.exists or not _may_meet(operation, state):
        return None
    if operation.kind == "delete":
        known = operation.revision if operation.revision is not None else 0
        if known and known <= _newest(state):
            return None
        return _State(floor=max(known, _newest(state)))
    return _written(operation, state, operation.found_uid or state.uid)


def _may_meet(operation: Operation, state: _State) -> bool:
    revision_fits = operation.expected is None or state.revision in (None, operation.expected)
    uid_fits = not operation.uid or not state.uid or state.uid == operation.uid
    return revision_fits and uid_fits and (operation.expected is None or operation.expected > state.floor)


def _certainly_meets(operation: Operation, state: _State) -> bool:
    revision_fits = operation.expected is None or state.revision == operation.expected
    uid_fits = not operation.uid or state.uid == operation.uid
    return revision_fits and uid_fits


def _newest(state: _State) -> int:
    return max(state.floor, state.revision or 0)


def _written(operation: Operation, state: _State, uid: str) -> _State | None:
    if operation.revision is not None and operation.revision <= _newest(state):
        return None
    if operation.kind == "update" and state.uid and uid and uid != state.uid:
        return None
    newest = max(_newest(state), operation.expected or 0)
    return _State(True, operation.revision, uid, operation.value, newest)


def _observed(operation: Operation, state: _State) -> _State | None:
    """What a read showed must be the state; what was unknown of it is known from here on."""
    if not state.exists or state.value != operation.value or operation.revision is None:
        return None
    if state.revision is None:
        if operation.revision <= state.floor:
            return None
    elif state.revision != operation.revision:
        return None
    if state.uid and state.uid != operation.found_uid:
        return None
    return replace(state, revision=operation.revision, uid=operation.found_uid)
