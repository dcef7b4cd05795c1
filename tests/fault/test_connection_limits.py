"""Slow, silent, greedy and too many clients cost themselves, not the server and not others.

Raw TLS connections to a real server process with short deadlines; while they misbehave, an ordinary client's
requests must be answered promptly.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nightly import length
from server_process import Options, ServerProcess, call, started

pytestmark = pytest.mark.fault

MAPS = "/api/v1/namespaces/default/configmaps"
LIMITS = {"head_seconds": 1.0, "idle_seconds": 3.0, "stall_seconds": 2.0, "most": 150}
OPTIONS = Options(connections=LIMITS, body_seconds=1.5)
HEAD = "Host: x\r\nAuthorization: Bearer admin\r\nContent-Type: application/json\r\n"
_PIDFD_GETFD = 438
PROMPT = 3.0
"""Seconds; the machine may be busy with other tests."""

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    async with started(tmp_path, OPTIONS) as running:
        yield running


@contextlib.asynccontextmanager
async def connection(server: ServerProcess, small_buffer: bool = False) -> AsyncIterator[Stream]:
    plain = socket.create_connection(("127.0.0.1", server.port)) if not small_buffer else socket.socket()
    if small_buffer:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", server.port))
    plain.setblocking(False)
    reader, writer = await asyncio.open_connection(
        sock=plain, ssl=server.context, server_hostname="127.0.0.1", limit=2**16
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def answer(reader: asyncio.StreamReader, seconds: float = 10.0) -> str:
    """All until the server closes."""
    async with asyncio.timeout(seconds):
        with contextlib.suppress(ConnectionError):
            return (await reader.read()).decode()
    return ""


def status_line(text: str) -> str:
    """Without the version: what could not be read as a request has none."""
    return text.partition("\r\n")[0].partition(" ")[2]


@contextlib.asynccontextmanager
async def others_are_served(server: ServerProcess) -> AsyncIterator[None]:
    """An ordinary client keeps asking meanwhile, and is never kept waiting."""
    slowest = 0.0

    async def ask() -> None:
        nonlocal slowest
        async with server.session() as session:
            while True:
                begun = time.monotonic()
                status, _ = await call(session, "GET", f"{MAPS}?limit=5")
                assert status == 200
                slowest = max(slowest, time.monotonic() - begun)

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
    assert slowest < PROMPT, f"another client waited {slowest:.1f} s"


async def test_head_that_trickles_in_is_given_up(server: ServerProcess) -> None:
    async with others_are_served(server), connection(server) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nX: ")
        trickling = asyncio.create_task(_trickle(writer, b"y"))
        text = await answer(reader)
        trickling.cancel()
    assert text.startswith("HTTP/1.1 408 Request Timeout\r\n")
    assert "the head of the request did not arrive within 1 s" in text


async def _trickle(writer: asyncio.StreamWriter, byte: bytes) -> None:
    """A byte now and then. The pace is the client's misbehaviour, not a way to wait for something."""
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(byte)
            await writer.drain()
            await asyncio.sleep(0.05)


async def test_second_request_of_a_connection_has_the_same_deadline(server: ServerProcess) -> None:
    async with connection(server) as (reader, writer):
        writer.write(f"GET /healthz HTTP/1.1\r\n{HEAD}\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200")
        writer.write(b"GET /healthz HTTP/1.1\r\nHost")
        assert "408 Request Timeout" in await answer(reader)


async def test_silent_connection_is_closed(server: ServerProcess) -> None:
    begun = time.monotonic()
    async with connection(server) as (reader, _):
        assert await answer(reader) == ""
    assert time.monotonic() - begun >= LIMITS["idle_seconds"] - 0.5


async def test_body_that_trickles_in_is_given_up(server: ServerProcess) -> None:
    async with others_are_served(server), connection(server) as (reader, writer):
        writer.write(f"POST {MAPS} HTTP/1.1\r\n{HEAD}Content-Length: 1000\r\n\r\n".encode())
        trickling = asyncio.create_task(_trickle(writer, b" "))
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        trickling.cancel()
    assert head.startswith("HTTP/1.1 408")


@pytest.mark.parametrize(
    "head",
    [
        f"GET /{'x' * 70_000} HTTP/1.1\r\n",
        f"GET / HTTP/1.1\r\nX: {'x' * 70_000}\r\n",
        f"GET / HTTP/1.1\r\n{''.join(f'X-{n}: y' + chr(13) + chr(10) for n in range(300))}",
    ],
    ids=["long path", "long header", "many headers"],
)
async def test_head_that_is_too_large_is_refused(server: ServerProcess, head: str) -> None:
    async with connection(server) as (reader, writer):
        writer.write(f"{head}{HEAD}\r\n".encode())
        text = await answer(reader)
    assert status_line(text) == "431 Request Header Fields Too Large"


async def test_long_selectors_and_tokens_are_still_heads(server: ServerProcess) -> None:
    names = "%2C".join(f"name-{n}" for n in range(4000))
    async with connection(server) as (reader, writer):
        path = f"{MAPS}?labelSelector=a+in+%28{names}%29"
        assert len(path) > 40_000
        writer.write(f"GET {path} HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n".encode())
        assert (await answer(reader)).startswith("HTTP/1.1 200")


@pytest.mark.parametrize("framing", ["Content-Length: 4000000", "Transfer-Encoding: chunked"])
async def test_body_that_is_too_large_is_refused(server: ServerProcess, framing: str) -> None:
    async with connection(server) as (reader, writer):
        writer.write(f"POST {MAPS} HTTP/1.1\r\n{HEAD}{framing}\r\n\r\n".encode())
        sending = asyncio.create_task(_send(writer, framing.startswith("Transfer")))
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        body = (await reader.readuntil(b"413}")).decode()
        sending.cancel()
    assert head.startswith("HTTP/1.1 413")
    assert "Request entity too large" in body


async def _send(writer: asyncio.StreamWriter, chunked: bool) -> None:
    block = b"x" * 65536
    with contextlib.suppress(ConnectionError):
        for _ in range(61):
            writer.write(b"10000\r\n" + block + b"\r\n" if chunked else block)
            await writer.drain()


@pytest.mark.parametrize("media", ["application/json", "application/yaml", "application/apply-patch+yaml"])
async def test_nesting_without_end_is_refused(server: ServerProcess, media: str) -> None:
    """In YAML it was a segmentation fault."""
    body = b"[" * 1_000_000
    method, path = ("PATCH", f"{MAPS}/x?fieldManager=m") if "patch" in media else ("POST", MAPS)
    async with (
        server.session() as session,
        session.request(method, path, data=body, headers={"Content-Type": media}) as response,
    ):
        assert response.status == 400
        assert (await response.json())["reason"] == "BadRequest"


async def test_what_is_no_http_is_answered_and_not_logged(server: ServerProcess) -> None:
    async with connection(server) as (reader, writer):
        writer.write(b"\x16\x03\x01 what is this\r\n\r\n")
        assert status_line(await answer(reader)) == "400 Bad Request"
    assert server.log() == ""


async def fill(server: ServerProcess, count: int, size: int) -> None:
    async with server.session() as session:
        for number in range(count):
            document = {"metadata": {"name": f"big{number}"}, "data": {"k": "x" * size}}
            status, _ = await call(session, "POST", MAPS, document)
            assert status == 201


async def test_client_that_does_not_take_its_answer_is_cut(server: ServerProcess) -> None:
    await fill(server, 20, 900_000)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(others_are_served(server))
        for _ in range(5):
            _, writer = await stack.enter_async_context(connection(server, small_buffer=True))
            writer.write(f"GET {MAPS} HTTP/1.1\r\n{HEAD}\r\n".encode())
            await writer.drain()
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(30):
            await _until_connections(server, 2)


async def test_reader_of_a_log_may_pause(server: ServerProcess) -> None:
    """`kubectl logs -f | less` stops reading for as long as a person looks at a page."""
    async with connection(server) as (reader, writer):
        for path, expected in ((f"{MAPS}/x/log", 0), ("/healthz", 2000), ("/healthz", 2000)):
            writer.write(f"GET {path} HTTP/1.1\r\n{HEAD}\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            assert _user_timeout(server) == expected


def _user_timeout(server: ServerProcess) -> int:
    """TCP_USER_TIMEOUT of the server's one connection, from a copy of its descriptor."""
    pidfd = os.pidfd_open(server.pid)
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        for link in Path(f"/proc/{server.pid}/fd").iterdir():
            if not os.readlink(link).startswith("socket:"):
                continue
            copy = libc.syscall(_PIDFD_GETFD, pidfd, int(link.name), 0)
            with socket.socket(fileno=copy) as peer:
                if peer.family == socket.AF_INET and peer.type == socket.SOCK_STREAM and _has_peer(peer):
                    return peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    finally:
        os.close(pidfd)
    raise AssertionError("no connection")


def _has_peer(peer: socket.socket) -> bool:
    try:
        peer.getpeername()
    except OSError:
        return False
    return True


async def _until_connections(server: ServerProcess, most: int) -> None:
    """Waits until the server has no more connections than that: a look per request, as nothing tells."""
    async with server.session() as session:
        while _established(server.port) > most:
            await call(session, "GET", f"{MAPS}?limit=1")


def _established(port: int) -> int:
    """Connections on the server's side, by the kernel's table; state 01."""
    wanted = f":{port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(wanted) and line[3] == "01" for line in lines)


async def test_watcher_that_does_not_read_is_cut_and_others_see_everything(server: ServerProcess) -> None:
    async with server.session() as session, contextlib.AsyncExitStack() as stack:
        _, listed = await call(session, "GET", MAPS)
        query = f"watch=1&resourceVersion={listed['metadata']['resourceVersion']}"
        for _ in range(3):
            _, writer = await stack.enter_async_context(connection(server, small_buffer=True))
            writer.write(f"GET {MAPS}?{query} HTTP/1.1\r\n{HEAD}\r\n".encode())
            await writer.drain()
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        seen: list[str] = []
        async with session.get(f"{MAPS}?{query}") as watch:
            writing = asyncio.create_task(fill(server, 60, 500_000))
            buffer = b""
            async for chunk in watch.content.iter_any():
                *lines, buffer = (buffer + chunk).split(b"\n")
                seen += [json.loads(line)["object"]["metadata"]["name"] for line in lines]
                if len(seen) == 60:
                    break
            await writing
        assert seen == [f"big{number}" for number in range(60)]
        async with asyncio.timeout(30):
            await _until_connections(server, 3)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many_descriptors")
async def test_connection_that_was_idle_longest_makes_room(server: ServerProcess) -> None:
    async with contextlib.AsyncExitStack() as stack:
        first, _ = await stack.enter_async_context(connection(server))
        for _ in range(int(LIMITS["most"])):
            await stack.enter_async_context(connection(server))
        begun = time.monotonic()
        assert await answer(first) == ""
        assert time.monotonic() - begun < LIMITS["idle_seconds"]
        async with server.session() as session:
            status, _ = await call(session, "GET", MAPS)
            assert status == 200


@pytest.mark.usefixtures("many_descriptors")
async def test_thousands_of_idle_connections_hurt_nobody(tmp_path: Path) -> None:
    count = length(1_000, 5_000)
    async with started(tmp_path, Options()) as server, contextlib.AsyncExitStack() as stack:
        async with server.session() as session:
            await call(session, "GET", MAPS)
        before = server.resident_bytes()
        async with others_are_served(server):
            for _ in range(count // 50):
                opened = await asyncio.gather(*(_open(server) for _ in range(50)))
                for writer in opened:
                    stack.callback(writer.transport.abort)
        each = (server.resident_bytes() - before) / count
        assert each < 100_000, f"{each:.0f} bytes per idle connection"


async def _open(server: ServerProcess) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=server.context)
    return writer
