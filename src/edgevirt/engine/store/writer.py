"""One thread that makes writes durable, all that wait at once in one transaction.

The first write to arrive while the thread is idle goes out alone; the ones that arrive during its fsync form
the next batch. So a slow disk gets larger batches instead of longer queues. Batches are reported to the
event loop in order, one call per batch.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from edgevirt.engine.store.errors import CommitFailed

MAX_BATCH = 256


Item = TypeVar("Item")


class GroupWriter(Generic[Item]):
    """Runs `commit(items)` in its own thread and `done(items, result, error)` on the loop.

    `commit` returns a number passed to `done`, or raises `CommitFailed` for all of the batch.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        commit: Callable[[list[Item]], int],
        done: Callable[[list[Item], int, CommitFailed | None], None],
    ) -> None:
        self._loop = loop
        self._commit = commit
        self._done = done
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._finished = loop.create_future()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> None:
        self._queue.put(item)

    async def close(self) -> None:
        """Commits what was submitted before and ends the thread. Idempotent."""
        self._queue.put(None)
        await self._finished
        self._thread.join()

    def _run(self) -> None:
        get, get_nowait = self._queue.get, self._queue.get_nowait
        closing = False
        while not closing:
            item = get()
            batch: list[Item] = []
            while item is not None:
                batch.append(item)
                if len(batch) == MAX_BATCH:
                    break
                try:
                    item = get_nowait()
                except queue.Empty:
                    break
            closing = item is None
            if batch:
                self._write(batch)
        self._loop.call_soon_threadsafe(self._end)

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

    def _end(self) -> None:
        if not self._finished.done():
            self._finished.set_result(None)
