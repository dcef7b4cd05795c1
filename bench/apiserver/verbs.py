"""Creates, gets, updates, patches and deletes, at a number of connections and with objects of a size."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator

from bench.apiserver.connection import Connection, Target
from bench.apiserver.cost import Cost
from bench.metric import Metric, percentile

VERBS = ("create", "get", "update", "merge-patch", "json-patch", "apply", "delete")
SIZES = {"512B": 512, "6KB": 6 * 1024}

Request = Callable[[int], bytes]
"""The request with that number."""


def config_map(name: str, size: int, number: int = 0) -> bytes:
    """JSON of `size` bytes; another `number` makes another content."""
    data = {"number": str(number), "padding": ""}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
    data["padding"] = "x" * max(0, size - len(json.dumps(body)))
    return json.dumps(body).encode()


async def measure(
    target: Target,
    path: str,
    label: str,
    connections: int,
    seconds: float,
    pids: tuple[int, ...],
    verbs: tuple[str, ...] = VERBS,
) -> AsyncIterator[Metric]:
    """All verbs in their order; the objects created are the ones read, changed and deleted.

    `verbs` are those that are reported: creates happen in any case, deletes too.
    """
    size = SIZES[label]
    made = await target.connect(connections)
    try:
        created = 0
        for verb in VERBS:
            if verb not in (*verbs, "create", "delete"):
                continue
            request = _requests(target, path, verb, size, created)
            limit = created if verb == "delete" else None
            # What is to be deleted is deleted to the end, so that the next figures start from nothing.
            duration = float("inf") if verb == "delete" else seconds
            cost = Cost(pids)
            count, elapsed, latencies = await _load(made, request, duration, limit)
            if verb == "create":
                created = count
            if verb in verbs and count:
                name = f"api.{verb}.{label}.{connections}-connections"
                for metric in _figures(name, count, elapsed, latencies, cost):
                    yield metric
    finally:
        for connection in made:
            connection.close()


def _requests(target: Target, path: str, verb: str, size: int, created: int) -> Request:
    padding = config_map("", size)
    before, _, after = padding.partition(b'"name": ""')
    made = itertools.count(1)

    def whole(name: str, number: int) -> bytes:
        return b"".join((before, b'"name": "%s"' % name.encode(), after.replace(b'"0"', b'"%d"' % number, 1)))

    def name_of(number: int) -> str:
        return f"c{number % created}"

    match verb:
        case "create":
            return lambda number: target.request("POST", path, whole(f"c{number}", number))
        case "get":
            return lambda number: target.request("GET", f"{path}/{name_of(number)}")
        case "update":
            return lambda number: target.request(
                "PUT", f"{path}/{name_of(number)}", whole(name_of(number), next(made))
            )
        case "delete":
            return lambda number: target.request("DELETE", f"{path}/{name_of(number)}")
        case _:
            return lambda number: _patch(target, f"{path}/{name_of(number)}", verb, next(made))


def _patch(target: Target, path: str, verb: str, number: int) -> bytes:
    """One small value changes, as in the patches of controllers."""
    value = f"{verb}-{number}"
    if verb == "merge-patch":
        body = b'{"data":{"number":"%s"}}' % value.encode()
        return target.request("PATCH", path, body, "application/merge-patch+json")
    if verb == "json-patch":
        body = b'[{"op":"replace","path":"/data/number","value":"%s"}]' % value.encode()
        return target.request("PATCH", path, body, "application/json-patch+json")
    name = path.rpartition("/")[2]
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s"},"data":{"number":"%s"}}' % (
        name.encode(),
        value.encode(),
    )
    return target.request(
        "PATCH", f"{path}?fieldManager=bench-apply&force=true", body, "application/apply-patch+yaml"
    )


async def _load(
    connections: list[Connection], request: Request, seconds: float, limit: int | None
) -> tuple[int, float, list[float]]:
    """Requests made, seconds taken and latencies."""
    numbers = itertools.count()
    latencies: list[float] = []
    begun = time.perf_counter()
    end = begun + seconds

    def take() -> bytes | None:
        if time.perf_counter() >= end:
            return None
        number = next(numbers)
        return None if limit is not None and number >= limit else request(number)

    async with asyncio.TaskGroup() as tasks:
        for connection in connections:
            tasks.create_task(connection.drive(take, latencies))
    return len(latencies), time.perf_counter() - begun, latencies


def _figures(name: str, count: int, elapsed: float, latencies: list[float], cost: Cost) -> Iterator[Metric]:
    yield Metric(f"{name}.rate", count / elapsed, "/s")
    yield Metric(f"{name}.p50", 1000 * percentile(latencies, 0.5), "ms")
    yield Metric(f"{name}.p99", 1000 * percentile(latencies, 0.99), "ms")
    yield from cost.metrics(name, count)


async def fill(target: Target, path: str, names: Iterator[str], size: int) -> None:
    """Creates objects of these names as fast as it goes."""

    def take() -> bytes | None:
        name = next(names, None)
        return None if name is None else target.request("POST", path, config_map(name, size))

    made = await target.connect(16)
    try:
        async with asyncio.TaskGroup() as tasks:
            for connection in made:
                tasks.create_task(connection.drive(take, []))
    finally:
        for connection in made:
            connection.close()
