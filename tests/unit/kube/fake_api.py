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
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, TypeVar

import aiohttp
import msgspec
from aiohttp import web

from edgevirt.api.meta import Resource, Status
from edgevirt.kube import errors
from edgevirt.kube.client import Client, WatchEvent, path_of
from edgevirt.kube.clock import Clock
from edgevirt.kube.kubeconfig import KubeConfig
from edgevirt.kube.watch import parse

T = TypeVar("T")


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


KINDS: dict[str, list[tuple[str, str, bool]]] = {
    "v1": [
        ("namespaces", "Namespace", False),
        ("nodes", "Node", False),
        ("persistentvolumes", "PersistentVolume", False),
        ("persistentvolumeclaims", "PersistentVolumeClaim", True),
        ("pods", "Pod", True),
        ("configmaps", "ConfigMap", True),
        ("serviceaccounts", "ServiceAccount", True),
        ("events", "Event", True),
    ],
    "coordination.k8s.io/v1": [("leases", "Lease", True)],
    "apiextensions.k8s.io/v1": [("customresourcedefinitions", "CustomResourceDefinition", False)],
    "apiregistration.k8s.io/v1": [("apiservices", "APIService", False)],
}
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


@dataclasses.dataclass(frozen=True)
class Where:
    """A request path taken apart. `name` is "" for a collection."""

    prefix: str
    namespace: str
    plural: str
    name: str
    subresource: str

    @classmethod
    def of(cls, path: str) -> Where:
        parts = path.strip("/").split("/")
        size = 2 if parts[0] == "api" else 3
        prefix, rest = "/" + "/".join(parts[:size]), parts[size:]
        namespace = ""
        if len(rest) >= 3 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        rest += [""] * (3 - len(rest))
        return cls(prefix, namespace, rest[0], rest[1], rest[2])

    @property
    def collection(self) -> str:
        inside = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{self.prefix}{inside}/{self.plural}"

    @property
    def object(self) -> str:
        return f"{self.collection}/{self.name}"

    def contains(self, path: str) -> bool:
        """Whether the object at `path` is in this collection, be it of one namespace or of all."""
        other = Where.of(path)
        return (other.prefix, other.plural) == (self.prefix, self.plural) and self.namespace in (
            "",
            other.namespace,
        )


class FakeApi:
    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 100
        self.kinds = dict(KINDS)
        self.calls: list[Call] = []
        self.failures: deque[tuple[str, dict[str, Any]]] = deque()
        self.unreachable = False
        self.log: list[tuple[int, str, str, dict[str, Any]]] = []
        self._listeners: list[asyncio.Event] = []

    def fail_next(self, method: str, *statuses: dict[str, Any]) -> None:
        """The next requests of this method are answered with these failures."""
        self.failures.extend((method, status) for status in statuses)

    def put(self, collection: str, name: str, **fields: Any) -> dict[str, Any]:
        """Store an object behind everybody's back; returns it."""
        path = f"{collection}/{name}"
        meta = {"name": name, "uid": f"uid-{name}", **fields.pop("metadata", {})}
        namespace = Where.of(path).namespace
        if namespace:
            meta["namespace"] = namespace
        return self._store(path, {"metadata": meta, **fields})

    def remove(self, path: str) -> dict[str, Any]:
        return self._record("DELETED", path, self.objects.pop(path))

    def writes(self) -> list[str]:
        """What was asked for besides reading: "METHOD path"."""
        return [f"{call.method} {call.path}" for call in self.calls if call.method != "GET"]

    def handle(self, call: Call) -> tuple[int, dict[str, Any]]:
        self.calls.append(call)
        if self.failures and self.failures[0][0] == call.method:
            status = self.failures.popleft()[1]
            return status["code"], status
        discovered = self._discovery(call.path)
        if discovered is not None:
            return 200, discovered
        where = Where.of(call.path)
        if not where.name:
            return self._on_collection(call, where)
        known = self.objects.get(where.object)
        if known is None:
            return 404, failure(404, "NotFound", f"{call.path} not found")
        if call.method == "GET":
            return 200, known
        body = call.body or {}
        wanted = {**body.get("metadata", {}), **body.get("preconditions", {})}
        for precondition in ("resourceVersion", "uid"):
            if wanted.get(precondition) not in (None, known["metadata"][precondition]):
                return 409, failure(409, "Conflict", "the object has been modified")
        if where.subresource == "binding":
            bound = merge(known, {"spec": {"nodeName": body["target"]["name"]}})
            return 201, self._store(where.object, bound)
        if call.method == "DELETE":
            return 200, self._delete(where, known, body.get("propagationPolicy", ""))
        return 200, self._store(where.object, body if call.method == "PUT" else merge(known, body))

    def _on_collection(self, call: Call, where: Where) -> tuple[int, dict[str, Any]]:
        selector = call.params.get("fieldSelector", "")
        inside = [
            path
            for path in sorted(self.objects)
            if where.contains(path) and selects(selector, self.objects[path])
        ]
        if call.method == "POST":
            return self._create(call, where)
        if call.method == "DELETE":
            for path in inside:
                self._delete(Where.of(path), self.objects[path], "")
            return 200, {"kind": "List", "metadata": {}, "items": []}
        start, limit = int(call.params.get("continue", 0)), int(call.params.get("limit", 10**6))
        meta = {"resourceVersion": str(self.version)}
        if start + limit < len(inside):
            meta["continue"] = str(start + limit)
        items = [self.objects[path] for path in inside[start : start + limit]]
        return 200, {"kind": "List", "metadata": meta, "items": items}

    def _create(self, call: Call, where: Where) -> tuple[int, dict[str, Any]]:
        meta = call.body["metadata"]
        path = f"{where.collection}/{meta['name']}"
        if path in self.objects:
            return 409, failure(409, "AlreadyExists", f"{meta['name']} already exists")
        owned = {"namespace": where.namespace} if where.namespace else {}
        meta = {**meta, **owned, "uid": f"uid-{self.version}"}
        return 201, self._store(path, {**call.body, "metadata": meta})

    def _delete(self, where: Where, known: dict[str, Any], propagation: str) -> dict[str, Any]:
        meta = known["metadata"]
        finalizers = list(meta.get("finalizers", ()))
        added = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(propagation)
        if added and added not in finalizers:
            finalizers.append(added)
        held = finalizers or known.get("spec", {}).get("finalizers")
        if not held:
            return self.remove(where.object)
        if meta.get("deletionTimestamp") and finalizers == list(meta.get("finalizers", ())):
            return known
        meta = {**meta, "finalizers": finalizers, "deletionTimestamp": "2026-01-01T00:00:00Z"}
        return self._store(where.object, {**known, "metadata": meta})

    def _store(self, path: str, obj: dict[str, Any]) -> dict[str, Any]:
        meta = obj["metadata"]
        held = meta.get("finalizers") or obj.get("spec", {}).get("finalizers")
        if meta.get("deletionTimestamp") and not held and path in self.objects:
            return self.remove(path)
        kind = "MODIFIED" if path in self.objects else "ADDED"
        self.objects[path] = {**obj, "metadata": {**meta, "resourceVersion": str(self.version + 1)}}
        return self._record(kind, path, self.objects[path])

    def _record(self, kind: str, path: str, obj: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        self.log.append((self.version, path, kind, obj))
        for listener in self._listeners:
            listener.set()
        return obj

    def _discovery(self, path: str) -> dict[str, Any] | None:
        if path == "/apis":
            groups = [one for one in self.kinds if "/" in one]
            return {
                "groups": [
                    {
                        "name": one.split("/")[0],
                        "versions": [{"groupVersion": one, "version": one.split("/")[1]}],
                        "preferredVersion": {"groupVersion": one, "version": one.split("/")[1]},
                    }
                    for one in groups
                ]
            }
        version = path.removeprefix("/apis/").removeprefix("/api/")
        if version not in self.kinds:
            return None
        return {
            "kind": "APIResourceList",
            "resources": [
                {"name": plural, "kind": kind, "namespaced": namespaced, "verbs": VERBS}
                for plural, kind, namespaced in self.kinds[version]
            ],
        }

    async def changes(self, path: str, after: int) -> AsyncGenerator[tuple[int, str, dict[str, Any]], None]:
        """Changes in a collection after a version, for ever."""
        where, news, seen = Where.of(path), asyncio.Event(), after
        self._listeners.append(news)
        try:
            while True:
                news.clear()
                for version, changed, kind, obj in tuple(self.log):
                    if version > seen:
                        seen = version
                        if where.contains(changed):
                            yield version, kind, obj
                await news.wait()
        finally:
            self._listeners.remove(news)


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


def selects(field_selector: str, obj: dict[str, Any]) -> bool:
    """Whether a selector of "path=value" terms takes the object."""
    for term in filter(None, field_selector.split(",")):
        path, _, wanted = term.partition("=")
        value: Any = obj
        for key in path.split("."):
            value = value.get(key, "") if isinstance(value, dict) else ""
        if value != wanted:
            return False
    return True


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

    async def watch(
        self,
        resource: Resource[T],
        *,
        namespace: str | None = None,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout: float | None = None,
    ) -> AsyncGenerator[WatchEvent[T], None]:
        changes = self.api.changes(path_of(resource, namespace or ""), int(resource_version or 0))
        async with contextlib.aclosing(changes):
            async for _, kind, obj in changes:
                if not selects(field_selector, obj):
                    continue
                line = msgspec.json.encode({"type": kind, "object": obj})
                yield parse(line, resource)


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
