"""What a disk can hold after the power went: pure functions from a record of file operations to contents.

What a completed sync of a file covers is there. Every later write or truncation of it may be there or not,
each for itself, and the last one may be torn between sectors. A name made or taken away is certain once its
directory was synced, open before that. After a sync that failed nothing it should have covered is ever
certain, not even after a later sync that succeeded: the kernel may have forgotten that
those pages were dirty.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from recording_vfs import Kind, Operation

SECTOR = 512
Contents = Mapping[str, bytes]


@dataclass(slots=True)
class _Inode:
    """`certain` has been synced; `open` may or may not be on disk."""

    certain: bytearray = field(default_factory=bytearray)
    later: list[tuple[Operation, bool]] = field(default_factory=list)
    """From the first failed sync on: what was written, and whether a sync that succeeded covers it."""
    open: list[Operation] = field(default_factory=list)

    def sync(self, done: bool) -> None:
        if done and not self.later:
            for one in self.open:
                _write(self.certain, one)
        else:
            self.later += [(one, done) for one in self.open]
        self.open = []


@dataclass(slots=True)
class _Disk:
    inodes: list[_Inode] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    """As the running system sees them."""
    certain_names: dict[str, int] = field(default_factory=dict)
    open_names: list[tuple[str, int | None]] = field(default_factory=list)


def acknowledged(operations: list[Operation], upto: int) -> int:
    """The last thing called durable before the operation with that index; -1 if there was none."""
    for operation in reversed(operations[:upto]):
        if operation.kind is Kind.ACKNOWLEDGED:
            return operation.size
    return -1


def states(operations: list[Operation], upto: int, present: frozenset[str], count: int) -> Iterator[Contents]:
    """Up to `count` contents the disk can have when the power goes before operation `upto`.

    `present` are files whose (empty) existence is certain from the start. The first is the one in which
    nothing open got there, the second the one in which everything did, then a random choice, the same for the
    same arguments.
    """
    disk = _replay(operations[:upto], present)
    chance = random.Random(f"{upto}/{len(operations)}")
    seen: set[tuple[tuple[str, bytes], ...]] = set()
    for number in range(count):
        share = (0.0, 1.0)[number] if number < 2 else chance.random()
        made = _settle(disk, chance, share, torn=number >= 2)
        key = tuple(sorted(made.items()))
        if key not in seen:
            seen.add(key)
            yield made


def _replay(operations: list[Operation], present: frozenset[str]) -> _Disk:
    disk = _Disk()
    for path in sorted(present):
        disk.inodes.append(_Inode())
        disk.names[path] = disk.certain_names[path] = len(disk.inodes) - 1
    for operation in operations:
        _replay_one(disk, operation)
    return disk


def _replay_one(disk: _Disk, operation: Operation) -> None:
    path = operation.path
    match operation.kind:
        case Kind.CREATE:
            disk.inodes.append(_Inode())
            disk.names[path] = len(disk.inodes) - 1
            disk.open_names.append((path, disk.names[path]))
        case Kind.DELETE:
            disk.names.pop(path, None)
            disk.open_names.append((path, None))
        case Kind.WRITE | Kind.TRUNCATE:
            disk.inodes[disk.names[path]].open.append(operation)
        case Kind.SYNC:
            disk.inodes[disk.names[path]].sync(operation.done)
        case Kind.SYNC_DIRECTORY:
            for name, number in disk.open_names:
                _name(disk.certain_names, name, number)
            disk.open_names = []
        case Kind.ACKNOWLEDGED:
            pass


def _settle(disk: _Disk, chance: random.Random, share: float, torn: bool) -> dict[str, bytes]:
    names = dict(disk.certain_names)
    for name, number in disk.open_names:
        if chance.random() < share:
            _name(names, name, number)
    return {name: _content(disk.inodes[number], chance, share, torn) for name, number in names.items()}


def _content(inode: _Inode, chance: random.Random, share: float, torn: bool) -> bytes:
    content = bytearray(inode.certain)
    for operation, sure in inode.later:
        if sure or chance.random() < share:
            _write(content, operation)
    for position, operation in enumerate(inode.open):
        if chance.random() >= share:
            continue
        if torn and position == len(inode.open) - 1 and operation.kind is Kind.WRITE:
            _write_torn(content, operation, chance)
        else:
            _write(content, operation)
    return bytes(content)


def _write(content: bytearray, operation: Operation) -> None:
    if operation.kind is Kind.TRUNCATE:
        del content[operation.size :]
        content.extend(bytes(operation.size - len(content)))
        return
    end = operation.offset + len(operation.data)
    content.extend(bytes(max(0, operation.offset - len(content))))
    content[operation.offset : end] = operation.data


def _write_torn(content: bytearray, operation: Operation, chance: random.Random) -> None:
    """Some of the sectors."""
    for begin in range(0, len(operation.data), SECTOR):
        if chance.random() < 0.5:
            part = operation.data[begin : begin + SECTOR]
            _write(content, Operation(Kind.WRITE, operation.path, operation.offset + begin, part))


def _name(names: dict[str, int], name: str, number: int | None) -> None:
    if number is None:
        names.pop(name, None)
    else:
        names[name] = number
