"""Requests through the aggregation layer to a real TLS server, and the conditions that come of it."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from object_reader_fake import FakeReader
from yarl import URL

from edgevirt.engine.apiserver import aggregation
from edgevirt.engine.apiserver.aggregation import Aggregator, ServiceDirectory
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.request import UserInfo

pytestmark = pytest.mark.component

Json = dict[str, Any]
ALICE = UserInfo("alice", "u-1", ("dev",), {"scopes": ("a",)})
GROUP = "apiregistration.k8s.io"
RESOURCES = {
    "kind": "APIResourceList",
    "groupVersion": "ext.example.com/v1",
    "resources": [{"name": "things"}],
}


@dataclass
class Extension:
    """An aggregated API server: discovery, echo, an endless watch, a websocket and a raw protocol."""

    seen: list[web.Request] = field(default_factory=list)
    peers: list[Any] = field(default_factory=list)
    watch_goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    watch_ended: asyncio.Event = field(default_factory=asyncio.Event)
    discovery_status: int = 200

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/apis/ext.example.com/v1":
            return web.json_response(RESOURCES, status=self.discovery_status)
        self.seen.append(request)
        assert request.transport is not None
        self.peers.append(request.transport.get_extra_info("peercert"))
        match request.path.rpartition("/")[2]:
            case "echo":
                body = await request.read()
                return web.Response(status=202, body=body, headers={"X-Answer": "yes"})
            case "watch":
                return await self.watch(request)
            case "broken":
                response = web.StreamResponse()
                await response.prepare(request)
                await response.write(b"half")
                request.transport.abort()
                return response
            case "console":
                return await self.console(request)
            case "forbidden":
                return web.Response(status=403, text="no console for you")
            case "chunked":
                refused = web.StreamResponse(status=409)
                refused.enable_chunked_encoding()
                await refused.prepare(request)
                await refused.write(b"first ")
                await refused.write(b"second")
                return refused
        return web.Response(status=404)

    async def watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            await response.write(b"one\n")
            await self.watch_goes_on.wait()
            await response.write(b"two\n")
            await asyncio.get_running_loop().create_future()
        finally:
            self.watch_ended.set()
        return response

    async def console(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("plain.kubevirt.io",))
        await socket.prepare(request)
        await socket.send_str("hello")
        async for message in socket:
            await socket.send_bytes(message.data[::-1])
        return socket


@dataclass
class World:
    reader: FakeReader
    pki: Any
    aggregator: Aggregator
    front: str
    session: aiohttp.ClientSession
    reports: asyncio.Queue[Json]

    def announce(self, port: int, name: str = "ext", **spec: Any) -> None:
        metadata = {"namespace": "ns", "name": name}
        self.reader.put("", "services", {"metadata": metadata, "spec": {"ports": [{"port": 443}]}})
        subset = {"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": port}]}
        self.reader.put("", "endpoints", {"metadata": metadata, "subsets": [subset]})
        self.register(name, **spec)

    def register(self, name: str = "ext", **spec: Any) -> None:
        spec = {
            "group": "ext.example.com",
            "version": "v1",
            "caBundle": self.pki.bundle,
            "service": {"namespace": "ns", "name": name, "port": 443},
            **spec,
        }
        self.reader.put(GROUP, "apiservices", {"metadata": {"name": "v1.ext.example.com"}, "spec": spec})

    async def condition(self) -> Json:
        """The next condition that is written."""
        async with asyncio.timeout(10):
            return await self.reports.get()

    def url(self, path: str) -> str:
        return f"{self.front}/apis/ext.example.com/v1/{path}"


@pytest.fixture
async def world(pki: Any, serve: Callable[..., Any]) -> AsyncIterator[World]:
    reader = FakeReader()
    reports: asyncio.Queue[Json] = asyncio.Queue()

    async def write_status(name: str, status: Json) -> None:
        document = reader.get(GROUP, "apiservices", "", name)
        assert document is not None
        reports.put_nowait(status["conditions"][0])
        reader.put(GROUP, "apiservices", {**document, "status": status})

    directory = ServiceDirectory()
    directory.observe(reader)
    certificate, key = pki.client_files("front-proxy-client", pki.front_proxy)
    aggregator = aggregation.build(reader, directory, certificate, key, write_status)

    async def front(request: web.Request) -> web.StreamResponse:
        handler = aggregator.route("ext.example.com", "v1")
        assert handler is not None
        try:
            return await handler(request, ALICE)
        except StatusError as error:
            return web.json_response(error.to_status(), status=error.code)

    trust = ssl.create_default_context(cadata=pki.serving.cert_pem.decode())
    running = asyncio.create_task(aggregator.run())
    async with serve(front, pki.server_context("localhost")) as port:
        connector = aiohttp.TCPConnector(ssl=trust)
        async with aiohttp.ClientSession(connector=connector) as session:
            yield World(reader, pki, aggregator, f"https://localhost:{port}", session, reports)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@asynccontextmanager
async def extension(world: World, serve: Callable[..., Any], *names: str) -> AsyncIterator[Extension]:
    made = Extension()
    context = world.pki.server_context(*(names or ("ext.ns.svc",)), client_ca=world.pki.front_proxy)
    async with serve(made, context) as port:
        world.announce(port)
        yield made


async def test_a_request_arrives_with_the_callers_identity_and_nothing_else_of_it(
    world: World, serve: Callable[..., Any]
) -> None:
    async with extension(world, serve) as remote:
        headers = {
            "Authorization": "Bearer secret",
            "X-Remote-User": "root",
            "X-Remote-Group": "system:masters",
        }
        async with world.session.post(
            URL(world.url("echo?a=%2F&b"), encoded=True), data=b"body" * 100_000, headers=headers
        ) as answer:
            assert (answer.status, answer.headers["X-Answer"]) == (202, "yes")
            assert await answer.read() == b"body" * 100_000
        (request,) = remote.seen
    assert request.raw_path == "/apis/ext.example.com/v1/echo?a=%2F&b"
    assert "Authorization" not in request.headers
    assert request.headers.getall("X-Remote-User") == ["alice"]
    assert request.headers.getall("X-Remote-Group") == ["dev"]
    assert request.headers["X-Remote-Uid"] == "u-1"
    assert request.headers["X-Remote-Extra-scopes"] == "a"
    assert (("commonName", "front-proxy-client"),) in remote.peers[0]["subject"]


async def test_a_watch_is_streamed_and_ends_with_its_client(world: World, serve: Callable[..., Any]) -> None:
    async with extension(world, serve) as remote, asyncio.timeout(10):
        async with world.session.get(world.url("watch")) as answer:
            assert await answer.content.readline() == b"one\n"
            remote.watch_goes_on.set()
            assert await answer.content.readline() == b"two\n"
            answer.close()
        await remote.watch_ended.wait()


async def test_a_body_that_breaks_off_does_not_look_complete(world: World, serve: Callable[..., Any]) -> None:
    async with extension(world, serve), world.session.get(world.url("broken")) as answer:
        with pytest.raises(aiohttp.ClientError):
            await answer.read()


async def test_a_websocket_goes_through_in_both_directions(world: World, serve: Callable[..., Any]) -> None:
    async with extension(world, serve) as remote, asyncio.timeout(10):
        async with world.session.ws_connect(
            world.url("console"),
            protocols=("plain.kubevirt.io", "base64url.bearer.authorization.k8s.io.c2Vj"),
        ) as socket:
            assert socket.protocol == "plain.kubevirt.io"
            assert await socket.receive_str() == "hello"
            for size in (1, 1000, 2_000_000):
                await socket.send_bytes(b"ab" * size)
                assert await socket.receive_bytes() == b"ba" * size
        assert remote.seen[0].headers["X-Remote-User"] == "alice"
        assert "bearer" not in remote.seen[0].headers["Sec-WebSocket-Protocol"]
        async with world.session.get(world.url("echo")) as answer:  # the front server is unharmed
            assert answer.status == 202


@pytest.mark.parametrize(
    ("path", "status", "body"), [("forbidden", 403, "no console for you"), ("chunked", 409, "first second")]
)
async def test_a_refused_upgrade_is_an_ordinary_answer_and_ends_the_connection(
    world: World, serve: Callable[..., Any], path: str, status: int, body: str
) -> None:
    async with extension(world, serve) as remote:
        headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
        async with world.session.post(world.url(path), headers=headers) as answer:
            assert (answer.status, await answer.text()) == (status, body)
            assert answer.headers["Connection"] == "close"
        assert len(remote.seen) == 1


async def test_any_protocol_can_be_switched_to(world: World, pki: Any) -> None:
    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/console " in head:
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nhi "
            )
            writer.write((await reader.readexactly(5)).upper())
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    context = pki.server_context("ext.ns.svc", client_ca=pki.front_proxy)
    server = await asyncio.start_server(backend, "127.0.0.1", 0, ssl=context)
    async with server, asyncio.timeout(10):
        world.announce(server.sockets[0].getsockname()[1])
        trust = ssl.create_default_context(cadata=pki.serving.cert_pem.decode())
        port = int(world.front.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("localhost", port, ssl=trust)
        writer.write(
            b"POST /apis/ext.example.com/v1/console HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            b"Upgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\n"
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.write(b"lower")
        assert await reader.read() == b"hi LOWER"
        writer.close()
        await writer.wait_closed()


async def test_a_path_with_dot_segments_is_not_forwarded(world: World, serve: Callable[..., Any]) -> None:
    async with extension(world, serve) as remote:
        reader, writer = await asyncio.open_connection(
            "localhost",
            int(world.front.rpartition(":")[2]),
            ssl=ssl.create_default_context(cadata=world.pki.serving.cert_pem.decode()),
        )
        writer.write(
            b"GET /apis/ext.example.com/v1/%2e%2e/v2/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()
        await writer.wait_closed()
        assert not remote.seen


async def test_conditions_follow_the_service_and_its_endpoints(
    world: World, serve: Callable[..., Any]
) -> None:
    world.register()
    missing = await world.condition()
    assert (missing["status"], missing["reason"]) == ("False", "ServiceNotFound")
    assert missing["message"] == 'service/ext in "ns" is not present'
    async with world.session.get(world.url("echo")) as answer:
        assert (answer.status, await answer.text()) == (503, "service unavailable\n")
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert world.aggregator.resources("ext.example.com", "v1") is None
    async with extension(world, serve):
        while (found := await world.condition())["status"] != "True":
            pass
        assert (found["reason"], found["message"]) == ("Passed", "all checks passed")
        assert world.aggregator.resources("ext.example.com", "v1") == ({"name": "things"},)
        world.reader.drop("", "endpoints", "ns", "ext")
        assert (await world.condition())["reason"] == "EndpointsNotFound"


async def test_a_failed_request_leads_to_a_check_at_once(world: World, serve: Callable[..., Any]) -> None:
    async with extension(world, serve):
        assert (await world.condition())["status"] == "True"
    async with world.session.get(world.url("echo")) as answer:
        assert answer.status == 503
        assert "error trying to reach service: dial tcp 127.0.0.1:" in await answer.text()
    failed = await world.condition()
    assert (failed["status"], failed["reason"]) == ("False", "FailedDiscoveryCheck")


async def test_a_discovery_document_that_fails_makes_the_api_unavailable(
    world: World, serve: Callable[..., Any]
) -> None:
    remote = Extension(discovery_status=500)
    async with serve(remote, world.pki.server_context("ext.ns.svc")) as port:
        world.announce(port)
        failed = await world.condition()
        assert failed["reason"] == "FailedDiscoveryCheck"
        assert failed["message"].endswith(": 500")


@pytest.mark.parametrize("case", ["wrong name", "wrong authority", "no trust at all"])
async def test_a_backend_that_cannot_prove_its_name_gets_no_request(
    world: World, serve: Callable[..., Any], case: str
) -> None:
    remote = Extension()
    name = "other.ns.svc" if case == "wrong name" else "ext.ns.svc"
    async with serve(remote, world.pki.server_context(name)) as port:
        bundle = {"wrong authority": world.pki.front_proxy.cert_pem, "no trust at all": b""}.get(case)
        if bundle is None:
            world.announce(port)
        else:
            world.announce(port, caBundle=base64.b64encode(bundle).decode())
        failed = await world.condition()
        assert (failed["status"], failed["reason"]) == ("False", "FailedDiscoveryCheck")
        assert "tls: failed to verify certificate" in failed["message"]
        async with world.session.get(world.url("echo")) as answer:
            assert answer.status == 503
    assert not remote.seen


async def test_verification_can_be_switched_off_explicitly(world: World, serve: Callable[..., Any]) -> None:
    remote = Extension()
    async with serve(remote, world.pki.server_context("other.ns.svc")) as port:
        world.announce(port, caBundle="", insecureSkipTLSVerify=True)
        assert (await world.condition())["status"] == "True"
        async with world.session.get(world.url("echo")) as answer:
            assert answer.status == 202


async def test_a_backend_refuses_a_front_proxy_of_another_authority(
    world: World, pki: Any, serve: Callable[..., Any]
) -> None:
    remote = Extension()
    async with serve(remote, pki.server_context("ext.ns.svc", client_ca=pki.serving)) as port:
        world.announce(port)
        assert (await world.condition())["status"] == "False"
    assert not remote.seen


async def test_a_deleted_api_service_is_not_routed_any_more(world: World, serve: Callable[..., Any]) -> None:
    async with extension(world, serve):
        assert (await world.condition())["status"] == "True"
        assert world.aggregator.group_versions() == [("ext.example.com", "v1")]
        world.reader.drop(GROUP, "apiservices", "", "v1.ext.example.com")
        assert world.aggregator.route("ext.example.com", "v1") is None
        assert world.aggregator.group_versions() == []


async def test_a_local_api_service_is_available_at_once(world: World) -> None:
    world.reader.put(GROUP, "apiservices", aggregation.api_service("apps", "v1"))
    condition = await world.condition()
    assert (condition["status"], condition["reason"]) == ("True", "Local")
    assert world.aggregator.route("apps", "v1") is None
