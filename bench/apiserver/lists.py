"""Lists: whole, in pages, as tables; and what a long list does to the request beside it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import quote

from bench.apiserver.connection import Connection, Target
from bench.apiserver.cost import Cost
from bench.apiserver.verbs import fill
from bench.metric import Metric, percentile

PAGE = 500
ROUNDS = 20
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_SIZE = 1024


async def measure(
    target: Target, path: str, counts: tuple[int, ...], pids: tuple[int, ...]
) -> AsyncIterator[Metric]:
    """Lists of so many objects of 1 KB; `counts` rise."""
    reader, beside = await target.connect(2)
    try:
        present = 0
        for count in counts:
            await fill(target, path, (f"l{number}" for number in range(present, count)), _SIZE)
            present = count
            forms: dict[str, Callable[[], Awaitable[None]]] = {
                "whole": lambda: _list(reader, target, path),
                f"pages-of-{PAGE}": lambda: _pages(reader, target, path),
                "table": lambda: _list(reader, target, path, _TABLE),
            }
            for form, read in forms.items():
                cost = Cost(pids)
                samples = [await _timed(read) for _ in range(ROUNDS)]
                name = f"api.list.{count}-of-1KB.{form}"
                yield Metric(f"{name}.p50", 1000 * percentile(samples, 0.5), "ms")
                yield Metric(f"{name}.p99", 1000 * percentile(samples, 0.99), "ms")
                for metric in cost.metrics(name, ROUNDS):
                    yield metric
            stalls = await _gets_beside_lists(reader, beside, target, path)
            yield Metric(f"api.get-beside-list-of-{count}.p50", 1000 * percentile(stalls, 0.5), "ms")
            yield Metric(f"api.get-beside-list-of-{count}.p99", 1000 * percentile(stalls, 0.99), "ms")
    finally:
        reader.close()
        beside.close()


async def _timed(read: Callable[[], Awaitable[None]]) -> float:
    begun = time.perf_counter()
    await read()
    return time.perf_counter() - begun


async def _list(connection: Connection, target: Target, path: str, accept: str = "application/json") -> None:
    await connection.ask(target.request("GET", path, accept=accept))


async def _pages(connection: Connection, target: Target, path: str) -> None:
    token = ""
    while True:
        page = await connection.ask(target.request("GET", f"{path}?limit={PAGE}{token}"))
        following = json.loads(page)["metadata"].get("continue")
        if not following:
            return
        token = f"&continue={quote(following)}"


async def _gets_beside_lists(
    reader: Connection, beside: Connection, target: Target, path: str
) -> list[float]:
    """Latencies of gets on one connection while another lists without a pause."""
    get = target.request("GET", f"{path}/l0")
    samples: list[float] = []

    async def lists() -> None:
        for _ in range(ROUNDS):
            await _list(reader, target, path)

    listing = asyncio.create_task(lists())
    while not listing.done():
        begun = time.perf_counter()
        await beside.ask(get)
        samples.append(time.perf_counter() - begun)
    await listing
    return samples
