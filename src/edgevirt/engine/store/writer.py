"""One thread that makes writes durable, all that wait at once in one transaction.

The first write to arrive while the thread is idle goes out alone; the ones that arrive during its fsync form
the next batch. So a slow disk gets larger batches instead of longer queues. Batches are reported to the
event loop in order, one call per batch. Reads of the file go through the same thread, at most one between
two batches, so that they cost a write no more than one short read.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from edgevirt.engine.store.errors import CommitFailed, StoreClosed

MAX_BATCH = 256
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Of one transaction, unless a single write is larger: it bounds how far a commit stretches the log file."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Read:
    function: Callable[[], Any]
    future: asyncio.Future[Any]


class _End:
    """The last entry of the queue."""


class GroupWriter(Generic[Item]):
    """Runs `commit(items)` in its own thread and `done(items, result, error)` on the loop.

    `commit` returns a number passed to `done`, or raises `CommitFailed` for all of the batch. `size` tells
    the bytes of an item.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        commit: Callable[[list[Item]], int],
        done: Callable[[list[Item], int, CommitFailed | None], None],
        size: Callable[[Item], int],
    ) -> None:
        self._loop = loop
        self._commit = commit
        self._done = done
        self._size = size
        self._queue: queue.SimpleQueue[Item | _Read | _End] = queue.SimpleQueue()
        self._closing = False
        self._finished = loop.create_future()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> None:
        self._queue.put(item)

    async def read(self, function: Callable[[], Result]) -> Result:
        """Runs `function` in the thread between two batches. Raises what it raises, or `StoreClosed`."""
        if self._closing:
            raise StoreClosed("the store is closed")
        future: asyncio.Future[Result] = self._loop.create_future()
        self._queue.put(_Read(function, future))
        return await future

    async def close(self) -> None:
        """Does what was submitted before and ends the thread. Idempotent."""
        self._closing = True
        self._queue.put(_End())
        await self._finished
        self._thread.join()

    def _run(self) -> None:
        items: deque[Item] = deque()
        reads: deque[_Read] = deque()
        ending = False
        while True:
            try:
                while True:
                    idle = not (items or reads or ending)
                    taken = self._queue.get() if idle else self._queue.get_nowait()
                    if isinstance(taken, _Read):
                        reads.append(taken)
                    elif isinstance(taken, _End):
                        ending = True
                    else:
                        items.append(taken)
            except queue.Empty:
                pass
            if items:
                self._write(self._next_batch(items))
            if reads:
                self._read(reads.popleft())
            if ending and not items and not reads:
                break
        self._loop.call_soon_threadsafe(self._end)

    def _next_batch(self, items: deque[Item]) -> list[Item]:
        batch = [items.popleft()]
        room = MAX_BATCH_BYTES - self._size(batch[0])
        while items and len(batch) < MAX_BATCH:
            room -= self._size(items[0])
            if room < 0:
                break
            batch.append(items.popleft())
        return batch

    def _write(self, batch: list[Item]) -> None:
        result, failure = 0, None
        try:
            result = self._commit(batch)
        except CommitFailed as error:
            failure = error
        except Exception as error:
            # Whatever it was, the waiting requests must get an answer and the thread must live on.
            failure = CommitFailed(f"the store cannot be written: {error!r}")
            failure.__cause__ = error
        self._loop.call_soon_threadsafe(self._done, batch, result, failure)

    def _read(self, read: _Read) -> None:
        try:
            found = read.function()
        except Exception as error:
            self._loop.call_soon_threadsafe(_fail, read.future, error)
        else:
            self._loop.call_soon_threadsafe(_answer, read.future, found)

    def _end(self) -> None:
        if not self._finished.done():
            self._finished.set_result(None)


def _answer(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
