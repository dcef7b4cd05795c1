"""A Kubernetes API small enough to read: objects in a dict, watches that a test holds in its hand.

`FakeApi` keeps objects with resource versions and preconditions and can be told to fail. Tests reach it in
two ways: `InMemoryClient` is the real client with the transport cut out, for virtual time; `serve` puts
real HTTP in between, and hands every watch connection to the test, which decides what arrives on it and how
it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import random
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from edgevirt.api.meta import Status
from edgevirt.kube import errors
from edgevirt.kube.client import Client
from edgevirt.kube.clock import Clock
from edgevirt.kube.kubeconfig import KubeConfig


def failure(code: int, reason: str, message: str = "", retry_after: int | None = None) -> dict[str, Any]:
    details = {} if retry_after is None else {"retryAfterSeconds": retry_after}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message or reason,
        "details": details,
    }


@dataclasses.dataclass(frozen=True)
class Call:
    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: Any


class FakeApi:
    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 100
        self.calls: list[Call] = []
        self.failures: deque[tuple[str, dict[str, Any]]] = deque()
        self.unreachable = False
        self.log: list[tuple[int, str, str, dict[str, Any]]] = []

    def fail_next(self, method: str, *statuses: dict[str, Any]) -> None:
        """The next requests of this method are answered with these failures."""
        self.failures.extend((method, status) for status in statuses)

    def put(self, collection: str, name: str, **fields: Any) -> dict[str, Any]:
        """Store an object behind everybody's back; returns it."""
        known = self.objects.get(f"{collection}/{name}")
        namespace = collection.split("/namespaces/")[1].split("/")[0] if "/namespaces/" in collection else ""
        meta = {"name": name, "uid": f"uid-{name}", **fields.pop("metadata", {})}
        if namespace:
            meta["namespace"] = namespace
        return self._store(
            f"{collection}/{name}", {"metadata": meta, **fields}, "MODIFIED" if known else "ADDED"
        )

    def remove(self, path: str) -> dict[str, Any]:
        gone = self.objects.pop(path)
        self.version += 1
        gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.version)}}
        self.log.append((self.version, path, "DELETED", gone))
        return gone

    def handle(self, call: Call) -> tuple[int, dict[str, Any]]:
        self.calls.append(call)
        if self.failures and self.failures[0][0] == call.method:
            status = self.failures.popleft()[1]
            return status["code"], status
        known = self.objects.get(call.path)
        if call.method == "POST":
            return self._create(call)
        if call.method == "GET" and known is None:
            return self._list(call)
        if known is None:
            return 404, failure(404, "NotFound", f"{call.path} not found")
        if call.method == "GET":
            return 200, known
        stated = (call.body or {}).get("metadata", {}).get("resourceVersion")
        wanted = (call.body or {}).get("preconditions", {})
        if stated not in (None, known["metadata"]["resourceVersion"]) or wanted.get("uid") not in (
            None,
            known["metadata"]["uid"],
        ):
            return 409, failure(409, "Conflict", "the object has been modified")
        if call.method == "DELETE":
            return 200, self.remove(call.path)
        changed = call.body if call.method == "PUT" else merge(known, call.body)
        return 200, self._store(call.path, changed, "MODIFIED")

    def _create(self, call: Call) -> tuple[int, dict[str, Any]]:
        meta = call.body["metadata"]
        path = f"{call.path}/{meta['name']}"
        if path in self.objects:
            return 409, failure(409, "AlreadyExists", f"{meta['name']} already exists")
        return 201, self._store(
            path, {**call.body, "metadata": {**meta, "uid": f"uid-{self.version}"}}, "ADDED"
        )

    def _list(self, call: Call) -> tuple[int, dict[str, Any]]:
        last = call.path.rsplit("/", 1)[1]
        if not last.endswith("s"):
            return 404, failure(404, "NotFound", f"{call.path} not found")
        inside = [
            obj
            for path, obj in sorted(self.objects.items())
            if path.startswith(f"{call.path}/") or path.rsplit("/", 2)[1] == last
        ]
        start, limit = int(call.params.get("continue", 0)), int(call.params.get("limit", 10**6))
        meta = {"resourceVersion": str(self.version)}
        if start + limit < len(inside):
            meta["continue"] = str(start + limit)
        return 200, {"kind": "List", "metadata": meta, "items": inside[start : start + limit]}

    def _store(self, path: str, obj: dict[str, Any], kind: str) -> dict[str, Any]:
        self.version += 1
        stored = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        self.objects[path] = stored
        self.log.append((self.version, path, kind, stored))
        return stored


def merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


class InMemoryClient(Client):
    """The real client, retries included, with `FakeApi.handle` where the network would be."""

    def __init__(self, api: FakeApi, clock: Clock) -> None:
        super().__init__(
            lambda: KubeConfig(server="http://fake"), user_agent="test", clock=clock, random_=lambda: 0.0
        )
        self.api = api

    async def _once(
        self,
        method: str,
        path: str,
        body: bytes | None,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        limits: aiohttp.ClientTimeout,
    ) -> tuple[errors.ApiError | None, bytes]:
        await asyncio.sleep(0)
        if self.api.unreachable:
            raise errors.ConnectionFailed("connection refused")
        decoded = None if body is None else msgspec.json.decode(body)
        code, answer = self.api.handle(Call(method, path, dict(params), dict(headers), decoded))
        failed = errors.from_status(msgspec.convert(answer, Status)) if code >= 300 else None
        return failed, msgspec.json.encode(answer)


class WatchConnection:
    """One open watch, seen from the server."""

    def __init__(self, params: dict[str, str], response: web.StreamResponse, request: web.Request) -> None:
        self.params = params
        self._response = response
        self._request = request
        self.ended = asyncio.Event()

    async def send(self, kind: str, obj: dict[str, Any]) -> None:
        await self.send_bytes(json.dumps({"type": kind, "object": obj}).encode() + b"\n")

    async def send_bytes(self, data: bytes) -> None:
        await self._response.write(data)

    async def bookmark(self, version: int | str) -> None:
        await self.send("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(version)}})

    def end(self) -> None:
        """End the stream as a server does when the time is over."""
        self.ended.set()

    def break_off(self) -> None:
        """Cut the connection in the middle of the chunked body."""
        assert self._request.transport is not None
        self._request.transport.abort()
        self.ended.set()


class FakeServer:
    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.url = ""
        self._watches: asyncio.Queue[WatchConnection] = asyncio.Queue()
        self._open: list[WatchConnection] = []
        self.raw_answers: deque[tuple[int, bytes, dict[str, str]]] = deque()

    async def next_watch(self) -> WatchConnection:
        async with asyncio.timeout(5):
            return await self._watches.get()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.raw_answers:
            code, body, headers = self.raw_answers.popleft()
            return web.Response(status=code, body=body, headers=headers)
        params = dict(request.query)
        if params.get("watch") == "true":
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            connection = WatchConnection(params, response, request)
            self._open.append(connection)
            self._watches.put_nowait(connection)
            await connection.ended.wait()
            return response
        body = await request.read()
        call = Call(
            request.method, request.path, params, dict(request.headers), json.loads(body) if body else None
        )
        code, answer = self.api.handle(call)
        return web.json_response(answer, status=code)

    def end_all(self) -> None:
        for connection in self._open:
            connection.end()


@contextlib.asynccontextmanager
async def serve(api: FakeApi) -> AsyncIterator[FakeServer]:
    server = FakeServer(api)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        server.end_all()
        await runner.cleanup()


def client_for(server: FakeServer, clock: Clock | None = None) -> Client:
    return Client(
        lambda: KubeConfig(server=server.url),
        user_agent="edgevirt-test",
        clock=clock,
        random_=random.Random(1).random,
    )
