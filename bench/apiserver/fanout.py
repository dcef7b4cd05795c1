"""Watch fan-out: from sending a create to its event at each of many watchers, at a fixed rate of writes.

The time of sending travels in the object's name, so a watcher needs no other knowledge to tell the lag.
Writes start by the clock and not when the last one was answered: a server that falls behind shows it as lag.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator

from bench.apiserver.connection import Connection, Target
from bench.apiserver.cost import Cost
from bench.apiserver.verbs import config_map
from bench.instance import BenchError
from bench.metric import Metric, percentile

_NAME = re.compile(rb'"metadata": ?\{"name": ?"w(\d+)"')
_WRITERS = 16
_OVERLAP = 64
_SIZE = 512
_DRAIN_SECONDS = 30.0


class _Lags:
    """Milliseconds from sending to seeing, of all watches together."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self._wanted = 0
        self._reached = asyncio.Event()

    def add(self, lag: float) -> None:
        self.seen.append(lag)
        if len(self.seen) >= self._wanted:
            self._reached.set()

    async def reach(self, wanted: int) -> None:
        """Return when so many were seen. Raises `BenchError` if they do not come."""
        self._wanted = wanted
        self._reached.clear()
        if len(self.seen) >= wanted:
            return
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self._reached.wait()
        except TimeoutError:
            raise BenchError(f"of {wanted} events only {len(self.seen)} came") from None


class _Watcher:
    """Reads the names from one watch."""

    def __init__(self, lags: _Lags) -> None:
        self._lags = lags
        self._rest = b""

    def __call__(self, data: bytes) -> None:
        now = time.perf_counter_ns()
        seen = self._rest + data
        last = 0
        for match in _NAME.finditer(seen):
            self._lags.add((now - int(match[1])) / 1e6)
            last = match.end()
        # A name may lie across two reads.
        self._rest = seen[max(last, len(seen) - _OVERLAP) :]


async def measure(
    target: Target, path: str, watchers: int, rate: float, seconds: float, pids: tuple[int, ...]
) -> AsyncIterator[Metric]:
    """`rate` creates per second for so long, seen by `watchers` watches."""
    lags = _Lags()
    following = await target.connect(watchers)
    writing = await target.connect(_WRITERS)
    try:
        watch = target.request(
            "GET", f"{path}?watch=true&resourceVersion={await _version(writing[0], target, path)}"
        )
        writes = int(rate * seconds)
        wanted = writes * watchers
        streams = [asyncio.create_task(each.stream(watch, _Watcher(lags))) for each in following]
        # One write that is not counted: every watch is there once it has seen it. The head of the answer
        # would not tell, because a server may send it with the first event.
        await _write(writing, target, path, 1, rate)
        await lags.reach(watchers)
        await asyncio.gather(*streams)
        lags.seen.clear()
        cost = Cost(pids)
        begun = time.perf_counter()
        await _write(writing, target, path, writes, rate)
        elapsed = time.perf_counter() - begun
        await lags.reach(wanted)
        name = f"api.watch.{watchers}-watchers.{rate:.0f}-per-s"
        yield Metric(f"{name}.rate", writes / elapsed, "/s")
        yield Metric(f"{name}.p50", percentile(lags.seen, 0.5), "ms")
        yield Metric(f"{name}.p99", percentile(lags.seen, 0.99), "ms")
        for metric in cost.metrics(name, writes):
            yield metric
    finally:
        for connection in (*following, *writing):
            connection.close()


async def _version(connection: Connection, target: Target, path: str) -> str:
    answer = await connection.ask(target.request("GET", f"{path}?limit=1"))
    found = re.search(rb'"resourceVersion": ?"(\d+)"', answer)
    if found is None:
        raise BenchError("the list has no resourceVersion")
    return found[1].decode()


async def _write(connections: list[Connection], target: Target, path: str, writes: int, rate: float) -> None:
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in connections:
        free.put_nowait(connection)

    async def create(connection: Connection) -> None:
        body = config_map(f"w{time.perf_counter_ns()}", _SIZE)
        await connection.ask(target.request("POST", path, body))
        free.put_nowait(connection)

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(writes):
            ahead = begun + number / rate - time.perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)  # the rate that was asked for, not a way to wait for something
            tasks.create_task(create(await free.get()))
