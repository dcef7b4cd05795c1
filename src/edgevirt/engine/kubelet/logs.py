"""Container output: one plain file per run of a container, written by the container itself.

Nothing of ours stands between a container and its log, so output is kept while no kubelet runs. The price is
that the file has no timestamps: while we run, a second file notes how long the log was when (at most every
100 ms), and `--since` and `--timestamps` are answered from it; what was written while no kubelet ran counts
as written when the last of it was.

Size is bounded by cutting the head off in place (FALLOC_FL_PUNCH_HOLE): the writer keeps its descriptor,
offsets stay valid, not a byte of the kept tail is lost.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import ctypes
import dataclasses
import datetime
import os
import struct
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from edgevirt.linux import inotify

_NOTE = struct.Struct("<Qd")
_QUIET = 0.1
_BLOCK = 64 * 1024
_MAX_LINE = 16 * 1024
_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2
_libc = ctypes.CDLL(None, use_errno=True)


@dataclasses.dataclass(frozen=True, slots=True)
class LogQuery:
    """What of a log is wanted, as `kubectl logs` puts it. `since` is a Unix time."""

    follow: bool = False
    tail: int | None = None
    since: float | None = None
    limit_bytes: int | None = None
    timestamps: bool = False


class LogKeeper:
    """Notes times and bounds sizes for the logs of running containers."""

    def __init__(self, max_bytes: int, now: Callable[[], float] = time.time) -> None:
        self._max_bytes = max_bytes
        self._now = now
        self._watcher: inotify.Watcher | None = None
        self._kept: dict[Path, _Kept] = {}

    def keep(self, log: Path) -> None:
        """Start noting for `log` (which exists). Idempotent."""
        if log in self._kept:
            return
        self._watcher = self._watcher or inotify.Watcher()
        kept = self._kept[log] = _Kept(log, self._watcher, self._max_bytes, self._now)
        kept.start()

    def drop(self, log: Path) -> None:
        """Stop noting; the log stays. Idempotent."""
        if kept := self._kept.pop(log, None):
            kept.stop()

    def close(self) -> None:
        for log in tuple(self._kept):
            self.drop(log)
        if self._watcher:
            self._watcher.close()


class _Kept:
    def __init__(self, log: Path, watcher: inotify.Watcher, max_bytes: int, now: Callable[[], float]) -> None:
        self._log = log
        self._watcher = watcher
        self._max_bytes = max_bytes
        self._now = now
        self._seen = next((end for end, _ in reversed(_notes(log))), 0)
        self._first = True
        self._handle: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._handle = self._watcher.add(self._log, inotify.IN_MODIFY, lambda _: self._written())
            self._note()
            self._first = False

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._handle is not None:
            self._watcher.remove(self._handle)
        self._handle = self._timer = None
        with contextlib.suppress(OSError):
            self._note()

    def _written(self) -> None:
        """Note it, then don't listen for a while: a chatty container must not keep us busy."""
        if self._handle is not None:
            self._watcher.remove(self._handle)
            self._handle = None
        with contextlib.suppress(OSError):
            self._note()
        self._timer = asyncio.get_running_loop().call_later(_QUIET, self.start)

    def _note(self) -> None:
        info = self._log.stat()
        if info.st_size <= self._seen:
            return
        moment = min(info.st_mtime, self._now()) if self._first else self._now()
        with _times(self._log).open("ab") as file:
            file.write(_NOTE.pack(info.st_size, moment))
        self._seen = info.st_size
        if info.st_blocks * 512 > self._max_bytes:
            self._cut(info.st_size - self._max_bytes // 2)

    def _cut(self, keep_from: int) -> None:
        fd = os.open(self._log, os.O_WRONLY)
        try:
            mode = _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE
            length = ctypes.c_int64(keep_from)
            if _libc.fallocate(fd, mode, ctypes.c_int64(0), length) != 0:
                os.ftruncate(fd, 0)  # a file system without holes: the whole log is the head
                self._seen = 0
                _times(self._log).unlink(missing_ok=True)
                return
        finally:
            os.close(fd)
        notes = [note for note in _notes(self._log) if note[0] > keep_from]
        temporary = _times(self._log).with_suffix(".tmp")
        temporary.write_bytes(b"".join(_NOTE.pack(*note) for note in notes))
        temporary.rename(_times(self._log))


async def read(log: Path, query: LogQuery, ended: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    """The wanted part of the log in chunks. With `follow` until `ended` is set and everything was given."""
    try:
        fd = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        left = query.limit_bytes
        async for chunk in _stream(fd, log, query, ended):
            if left is not None:
                chunk = chunk[:left]
                left -= len(chunk)
            if chunk:
                yield chunk
            if left == 0:
                return
    finally:
        os.close(fd)


async def _stream(fd: int, log: Path, query: LogQuery, ended: asyncio.Event | None) -> AsyncIterator[bytes]:
    stamper = _Stamper(log) if query.timestamps else None
    offset = _first(fd, log, query)
    watcher: inotify.Watcher | None = None
    written = asyncio.Event()
    try:
        if query.follow:
            watcher = inotify.Watcher()
            watcher.add(log, inotify.IN_MODIFY, lambda _: written.set())
        while True:
            last = not query.follow or ended is None or ended.is_set()
            written.clear()
            while data := os.pread(fd, _BLOCK, offset):
                start, offset = offset, offset + len(data)
                yield stamper.stamp(data, start) if stamper else data
                await asyncio.sleep(0)  # let others run between blocks
            if last:
                break
            assert ended is not None
            await _either(written, ended)
        if stamper and (rest := stamper.rest()):
            yield rest
    finally:
        if watcher:
            watcher.close()


async def _either(one: asyncio.Event, other: asyncio.Event) -> None:
    tasks = [asyncio.ensure_future(event.wait()) for event in (one, other)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _first(fd: int, log: Path, query: LogQuery) -> int:
    """The offset where the answer begins."""
    start = _start(fd)
    if query.since is not None:
        notes = _notes(log)
        index = bisect.bisect_left(notes, query.since, key=lambda note: note[1])
        start = max(start, notes[index - 1][0] if index else 0)
    if query.tail is not None:
        start = max(start, _tail(fd, start, query.tail))
    return start


def _start(fd: int) -> int:
    """Where the kept part begins: after the hole, at the start of a line."""
    try:
        offset = os.lseek(fd, 0, os.SEEK_DATA)
    except OSError:
        return 0
    if offset == 0:
        return 0
    data = os.pread(fd, _MAX_LINE, offset).lstrip(b"\0")
    offset += min(_MAX_LINE, os.fstat(fd).st_size - offset) - len(data)
    return offset + data.find(b"\n") + 1


def _tail(fd: int, start: int, lines: int) -> int:
    """The offset of the last `lines` lines."""
    end = os.fstat(fd).st_size
    if lines <= 0 or end <= start:
        return end
    position, found = end, 0
    while position > start:
        size = min(_BLOCK, position - start)
        position -= size
        block = os.pread(fd, size, position)
        index = len(block) - (1 if position + size == end and block.endswith(b"\n") else 0)
        while (index := block.rfind(b"\n", 0, index)) >= 0:
            found += 1
            if found == lines:
                return position + index + 1
    return start


class _Stamper:
    """Puts the time in front of every line."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._notes = _notes(log)
        self._pending = b""
        self._pending_at = 0

    def stamp(self, data: bytes, offset: int) -> bytes:
        if not self._notes or offset + len(data) > self._notes[-1][0]:
            self._notes = _notes(self._log)
        if not self._pending:
            self._pending_at = offset
        position = self._pending_at
        lines = (self._pending + data).split(b"\n")
        self._pending = lines.pop()
        result = bytearray()
        for line in lines:
            result += self._time(position) + b" " + line + b"\n"
            position += len(line) + 1
        self._pending_at = position
        return bytes(result)

    def rest(self) -> bytes:
        return self._time(self._pending_at) + b" " + self._pending if self._pending else b""

    def _time(self, offset: int) -> bytes:
        index = bisect.bisect_right(self._notes, offset, key=lambda note: note[0])
        if index < len(self._notes):
            moment = self._notes[index][1]
        else:
            moment = self._log.stat().st_mtime
        stamp = datetime.datetime.fromtimestamp(moment, datetime.UTC)
        return stamp.strftime("%Y-%m-%dT%H:%M:%S.%f000Z").encode()


def _times(log: Path) -> Path:
    return log.with_suffix(".times")


def _notes(log: Path) -> list[tuple[int, float]]:
    """(length of the log, time) pairs, ascending; a torn last entry is dropped."""
    try:
        data = _times(log).read_bytes()
    except FileNotFoundError:
        return []
    whole = len(data) - len(data) % _NOTE.size
    return [(end, moment) for end, moment in _NOTE.iter_unpack(data[:whole])]
