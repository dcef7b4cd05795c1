"""Did every watcher see what it had to? Pure functions over what watchers and writers wrote down.

The truth is put together from the writers' answers and from what any watcher was shown without a selector:
which change each revision is. A watcher's life is a row of sessions, each from a revision on; its first
session begins with a list, and so does each one after a 410. Within a session revisions rise; everything
that happened up to the newest revision received, or told by a bookmark, and that concerns the watcher, was
received; each event has the type that the selector makes of the change; nothing comes after a bookmark
that it covered. A session that goes on where the last one ended is not told 410 unless that revision was
compacted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What a revision did. `kind`: ADDED, MODIFIED or DELETED; `value` names the write."""

    revision: int
    key: str
    kind: str
    labels: Labels
    value: str


@dataclass(frozen=True, slots=True)
class Bookmark:
    revision: int


@dataclass(slots=True)
class Session:
    """One watch. `listed` is what the list before it showed, as key -> (revision, value)."""

    start: int
    listed: Mapping[str, tuple[int, str]] | None = None
    received: list[Change | Bookmark] = field(default_factory=list)
    expired: bool = False
    """It ended with 410, or the attempt to begin it did."""

    @property
    def position(self) -> int:
        """From where the next session goes on."""
        return self.received[-1].revision if self.received else self.start


@dataclass(slots=True)
class Watcher:
    """`selector` is a label and its value, None for all objects."""

    name: str
    selector: tuple[str, str] | None = None
    sessions: list[Session] = field(default_factory=list)


class Truth:
    """All changes by revision, and the state of each key between them."""

    def __init__(self, changes: Iterable[Change]) -> None:
        self.problems: list[str] = []
        by_revision: dict[int, Change] = {}
        for change in changes:
            known = by_revision.setdefault(change.revision, change)
            if known != change:
                self.problems.append(f"one revision, two changes: {known} and {change}")
        self.changes = [by_revision[revision] for revision in sorted(by_revision)]
        self._revisions = [change.revision for change in self.changes]
        self._before: dict[int, Change | None] = {}
        last: dict[str, Change] = {}
        for change in self.changes:
            before = last.get(change.key)
            exists = before is not None and before.kind != "DELETED"
            self._before[change.revision] = before if exists else None
            if exists == (change.kind == "ADDED"):
                self.problems.append(f"{change} cannot follow {before}")
            last[change.key] = change

    def between(self, after: int, upto: int) -> list[Change]:
        """Changes with after < revision <= upto."""
        return self.changes[bisect_right(self._revisions, after) : bisect_right(self._revisions, upto)]

    @property
    def newest(self) -> int:
        return self._revisions[-1] if self._revisions else 0

    def before(self, change: Change) -> int:
        """The revision of the state that the change replaced; 0 if there was none."""
        before = self._before.get(change.revision)
        return before.revision if before is not None else 0

    def state(self, revision: int) -> dict[str, Change]:
        """What existed at a revision."""
        found: dict[str, Change] = {}
        for change in self.between(0, revision):
            if change.kind == "DELETED":
                found.pop(change.key, None)
            else:
                found[change.key] = change
        return found

    def shown(self, change: Change, selector: tuple[str, str] | None) -> Change | None:
        """The event a watcher gets for a change; None if it does not concern it."""
        if selector is None:
            return change
        before = self._before.get(change.revision)
        matched = before is not None and selector in before.labels
        matches = change.kind != "DELETED" and selector in change.labels
        if matches:
            return _as(change, "MODIFIED" if matched else "ADDED", change)
        if matched and before is not None:
            # Who leaves the selection is shown as it last was in it.
            return _as(change, "DELETED", change if change.kind == "DELETED" else before)
        return None


def _as(change: Change, kind: str, looks: Change) -> Change:
    return Change(change.revision, change.key, kind, looks.labels, looks.value)


def check(truth: Truth, watchers: Iterable[Watcher], compacted: int, upto: int) -> list[str]:
    """Everything that is wrong. `compacted`: the newest revision whose history is gone in the end; `upto`:
    every watcher must have come this far."""
    problems = list(truth.problems)
    for watcher in watchers:
        problems += (f"{watcher.name}: {problem}" for problem in _of_watcher(truth, watcher, compacted, upto))
    return problems


def _of_watcher(truth: Truth, watcher: Watcher, compacted: int, upto: int) -> Iterable[str]:
    position: int | None = None
    for number, session in enumerate(watcher.sessions):
        where = f"session {number} from {session.start}"
        if session.listed is not None:
            yield from _of_list(truth, watcher, session, where)
        elif position is not None and session.start != position:
            yield f"{where}: the watcher had come to {position}"
        if session.expired and not _may_expire(truth, watcher, session.position, compacted):
            yield f"{where}: 410, though only history up to {compacted} is compacted"
        yield from _of_session(truth, watcher, session, where)
        position = session.position
    if position is None or position < upto:
        yield f"came to {position} only, not to {upto}"


def _may_expire(truth: Truth, watcher: Watcher, position: int, compacted: int) -> bool:
    """History is gone, or a state is gone from which a selected watcher would have to tell the type."""
    if position < compacted:
        return True
    return watcher.selector is not None and any(
        change.kind == "MODIFIED" and truth.before(change) <= compacted
        for change in truth.between(position, truth.newest)
    )


def _of_list(truth: Truth, watcher: Watcher, session: Session, where: str) -> Iterable[str]:
    assert session.listed is not None
    selector = watcher.selector
    expected = {
        key: (change.revision, change.value)
        for key, change in truth.state(session.start).items()
        if selector is None or selector in change.labels
    }
    for key in sorted(expected.keys() | session.listed.keys()):
        if expected.get(key) != session.listed.get(key):
            yield f"{where}: listed {key} as {session.listed.get(key)}, it was {expected.get(key)}"


def _of_session(truth: Truth, watcher: Watcher, session: Session, where: str) -> Iterable[str]:
    position = session.start
    received: dict[int, Change] = {}
    for item in session.received:
        if isinstance(item, Bookmark):
            if item.revision < position:
                yield f"{where}: bookmark {item.revision} after {position}"
        elif item.revision <= position:
            yield f"{where}: {item} after {position}"
        else:
            received[item.revision] = item
        position = max(position, item.revision)
    for change in truth.between(session.start, position):
        expected, got = truth.shown(change, watcher.selector), received.pop(change.revision, None)
        if expected != got:
            yield f"{where}: got {got} instead of {expected}"
    for unknown in received.values():
        yield f"{where}: got {unknown}, which never happened"
