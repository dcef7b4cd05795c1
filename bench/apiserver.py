"""Requests per second and latencies of the API server, over TLS, at one and at sixteen connections.

The load comes from one process of its own with hand-made HTTP, so that the client costs as little as can be;
on two cores the figures are still those of server and client together.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from urllib.parse import urlsplit

import uvloop

from bench import instance
from bench.metric import Metric, percentile
from edgevirt.api.resources import CONFIG_MAPS, NAMESPACES
from edgevirt.kube.errors import AlreadyExists, KubeError
from edgevirt.kube.tls import client_context

SECONDS = float(os.environ.get("BENCH_API_SECONDS", "4"))
SIZES = {"512B": 512, "6KB": 6 * 1024}
CONNECTIONS = (1, 16)
LISTED = int(os.environ.get("BENCH_API_LISTED", "2000"))
_LISTS = 20
_WATCHED = 300
_NAMESPACE = f"bench-api-{os.getpid()}"  # its own, because the one of the run before may still be ending
_PATH = f"/api/v1/namespaces/{_NAMESPACE}/configmaps"

Request = Callable[[int], tuple[str, str, bytes]]
"""Method, path and body of the request with that number."""


async def measure() -> Iterator[Metric]:
    metrics = await asyncio.to_thread(_in_uvloop)
    return iter(metrics)


def _in_uvloop() -> list[Metric]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure())


async def _measure() -> list[Metric]:
    metrics: list[Metric] = []
    async with instance.client() as client:
        with contextlib.suppress(AlreadyExists):
            await client.create(NAMESPACES, {"metadata": {"name": _NAMESPACE}})
        server = urlsplit(client.config.server)
        context = client_context(client.config)
        pool = _Pool(server.hostname or "", server.port or 443, context)
        try:
            for label, size in SIZES.items():
                for count in CONNECTIONS:
                    metrics += await _verbs(pool, label, size, count)
                    await client.delete_collection(CONFIG_MAPS, namespace=_NAMESPACE)
            metrics += await _lists(pool)
            await client.delete_collection(CONFIG_MAPS, namespace=_NAMESPACE)
            metrics += await _watch(pool)
        finally:
            with contextlib.suppress(KubeError):
                await client.delete(NAMESPACES, _NAMESPACE)
    return metrics


class _Connection:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader, self._writer, self._host = reader, writer, host

    async def ask(self, method: str, path: str, body: bytes) -> bytes:
        """The answer's body. Raises BenchError for a status that is not 2xx."""
        await self.send(method, path, body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        answer = await self._body(head)
        if head[9:10] != b"2":
            raise instance.BenchError(f"{method} {path}: {head[9:12].decode()} {answer[:300].decode()}")
        return answer

    async def send(self, method: str, path: str, body: bytes) -> None:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept: application/json\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)

    async def _body(self, head: bytes) -> bytes:
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            parts = []
            while size := int(await self._reader.readline(), 16):
                parts.append(await self._reader.readexactly(size))
                await self._reader.readexactly(2)
            await self._reader.readexactly(2)
            return b"".join(parts)
        length = int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0])
        return await self._reader.readexactly(length)

    async def lines(self) -> AsyncIterator[bytes]:
        """The lines of a stream that was asked for with `send`."""
        await self._reader.readuntil(b"\r\n\r\n")
        rest = b""
        while size := int(await self._reader.readline(), 16):
            rest += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
            *whole, rest = rest.split(b"\n")
            for line in whole:
                yield line

    def close(self) -> None:
        self._writer.close()


class _Pool:
    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        self._host, self._port, self._context = host, port, context

    @contextlib.asynccontextmanager
    async def connections(self, count: int) -> AsyncIterator[list[_Connection]]:
        made = []
        for _ in range(count):
            streams = await asyncio.open_connection(
                self._host, self._port, ssl=self._context, limit=64 * 1024 * 1024
            )
            made.append(_Connection(*streams, self._host))
        try:
            yield made
        finally:
            for connection in made:
                connection.close()


def _config_map(name: str, size: int, seed: int = 0) -> bytes:
    """JSON of `size` bytes; another `seed` makes another content."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"padding": ""}}
    body["data"] = {"padding": str(seed).ljust(size - len(json.dumps(body)), "x")}
    return json.dumps(body).encode()


async def _verbs(pool: _Pool, label: str, size: int, count: int) -> list[Metric]:
    metrics: list[Metric] = []
    created = 0

    def create(number: int) -> tuple[str, str, bytes]:
        nonlocal created
        created = max(created, number + 1)
        return "POST", _PATH, _config_map(f"c{number}", size)

    def get(number: int) -> tuple[str, str, bytes]:
        return "GET", f"{_PATH}/c{number % created}", b""

    def update(number: int) -> tuple[str, str, bytes]:
        name = f"c{number % created}"
        return "PUT", f"{_PATH}/{name}", _config_map(name, size, seed=number)

    async with pool.connections(count) as connections:
        for verb, request in (("create", create), ("get", get), ("update", update)):
            rate, latencies = await _load(connections, request)
            name = f"api.{verb}.{label}.{count}-connections"
            metrics.append(Metric(f"{name}.rate", rate, "/s"))
            metrics.append(Metric(f"{name}.p50", 1000 * percentile(latencies, 0.5), "ms"))
            metrics.append(Metric(f"{name}.p99", 1000 * percentile(latencies, 0.99), "ms"))
    return metrics


async def _load(connections: list[_Connection], request: Request) -> tuple[float, list[float]]:
    latencies: list[float] = []
    numbers = iter(range(10**9))
    end = time.perf_counter() + SECONDS

    async def work(connection: _Connection) -> None:
        while (begun := time.perf_counter()) < end:
            method, path, body = request(next(numbers))
            await connection.ask(method, path, body)
            latencies.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(work(connection) for connection in connections))
    return len(latencies) / (time.perf_counter() - begun), latencies


async def _lists(pool: _Pool) -> list[Metric]:
    async with pool.connections(16) as connections:
        numbers = iter(range(LISTED))

        async def fill(connection: _Connection) -> None:
            for number in numbers:
                await connection.ask("POST", _PATH, _config_map(f"l{number}", 1024))

        await asyncio.gather(*(fill(connection) for connection in connections))
    samples = []
    async with pool.connections(1) as (connection,):
        for _ in range(_LISTS):
            begun = time.perf_counter()
            await connection.ask("GET", _PATH, b"")
            samples.append(time.perf_counter() - begun)
    name = f"api.list.{LISTED}-of-1KB"
    return [
        Metric(f"{name}.rate", len(samples) / sum(samples), "/s"),
        Metric(f"{name}.p50", 1000 * percentile(samples, 0.5), "ms"),
        Metric(f"{name}.p99", 1000 * percentile(samples, 0.99), "ms"),
    ]


async def _watch(pool: _Pool) -> list[Metric]:
    """From sending a create to its event at a watcher, one after the other; and the answer's own time."""
    sent: dict[str, float] = {}
    lags: list[float] = []
    answers: list[float] = []
    done = asyncio.Event()

    async def follow(connection: _Connection) -> None:
        async for line in connection.lines():
            event = json.loads(line)
            begun = sent.get(event["object"]["metadata"].get("name", ""))
            if event["type"] == "ADDED" and begun is not None:
                lags.append(time.perf_counter() - begun)
                if len(lags) == _WATCHED:
                    done.set()
                    return

    async with pool.connections(2) as (watcher, writer):
        listed = json.loads(await writer.ask("GET", f"{_PATH}?limit=1", b""))
        version = listed["metadata"]["resourceVersion"]
        await watcher.send("GET", f"{_PATH}?watch=true&resourceVersion={version}", b"")
        following = asyncio.create_task(follow(watcher))
        for number in range(_WATCHED):
            name = f"w{number}"
            body = _config_map(name, 1024)
            sent[name] = time.perf_counter()
            await writer.ask("POST", _PATH, body)
            answers.append(time.perf_counter() - sent[name])
            await asyncio.sleep(0.005)
        async with asyncio.timeout(10):
            await done.wait()
        await following
    return [
        Metric("api.watch.write-to-event.p50", 1000 * percentile(lags, 0.5), "ms"),
        Metric("api.watch.write-to-event.p99", 1000 * percentile(lags, 0.99), "ms"),
        Metric("api.watch.write-to-answer.p50", 1000 * percentile(answers, 0.5), "ms"),
    ]
