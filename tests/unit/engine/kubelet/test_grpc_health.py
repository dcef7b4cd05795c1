"""Asking for health by gRPC: against what a server of grpcio 1.85 answered, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable

import pytest

from edgevirt.api.core import Container, GRPCAction, Probe
from edgevirt.engine.kubelet import grpc_health, probes
from edgevirt.engine.kubelet.grpc_health import Unhealthy

pytestmark = pytest.mark.unit

_HELLO = (
    "000018040000000000000400400000000500400000000600004000fe0300000001000004080000000000003f0001"
    "000000040100000000"
)
_HEADERS = (
    "00004e01040000000188400c636f6e74656e742d74797065106170706c69636174696f6e2f677270634014677270632d"
    "6163636570742d656e636f64696e67176964656e746974792c206465666c6174652c20677a6970"
)
_PING = "0000080600000000000e9ac2059a5657af"
_TRAILERS = "00001e010500000001400b677270632d7374617475730130000c677270632d6d65737361676500"
_NO_METHOD = (
    "00005001050000000188400c636f6e74656e742d74797065106170706c69636174696f6e2f67727063400b677270632d"
    "737461747573023132000c677270632d6d657373616765114d6574686f64206e6f7420666f756e6421"
)


def answer(message: str) -> str:
    data = f"{len(message) // 2:06x}000000000001{message}"
    return _HELLO + _PING + _HEADERS + data + _TRAILERS


SERVING = answer("00000000020801")


@contextlib.asynccontextmanager
async def server(reply: str) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Says `reply` once the client has asked; gives the port and what it heard."""
    heard: list[bytes] = []
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(4096))
        writer.write(bytes.fromhex(reply))
        with contextlib.suppress(ConnectionError):
            if reply:
                await writer.drain()
                heard.append(await reader.read())
            writer.close()
            await writer.wait_closed()
        over.set()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], heard
        await over.wait()


async def test_server_that_serves_is_healthy_and_hears_its_acknowledgements() -> None:
    async with server(SERVING) as (port, heard):
        await grpc_health.check("127.0.0.1", port, "up")
    assert heard[0] == grpc_health.request(f"127.0.0.1:{port}", "up")
    settings, ping = "000000040100000000", "0000080601000000000e9ac2059a5657af"
    assert heard[1].hex() == settings + ping


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (answer("00000000020802"), 'service unhealthy (responded with "NOT_SERVING")'),
        (answer("0000000000"), 'service unhealthy (responded with "UNKNOWN")'),
        (_HELLO + _NO_METHOD, "does not implement the gRPC health protocol"),
        (answer("00000000020809"), "the answer is no health status"),
        ("", "health rpc probe failed"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".hex(), "does not speak HTTP/2"),
        (_HELLO + "000004030000000001" + "00000001", "ended the call"),
        (_HELLO * 64, "says too much"),
        (_HELLO + "000400000000000001" + "00" * 1024 + "000400000000000001" + "00" * 1024, "too long"),
    ],
)
async def test_everything_else_is_not_healthy(reply: str, why: str) -> None:
    async with server(reply) as (port, _):
        with pytest.raises(Unhealthy) as caught:
            await grpc_health.check("127.0.0.1", port, "")
    assert why in str(caught.value)


def test_names_of_any_length_are_asked_for() -> None:
    assert grpc_health.request("a:1", "x" * 300).endswith(b"\x0a\xac\x02" + b"x" * 300)
    assert grpc_health.request("a:1", "").endswith(b"\0\0\0\0\0")


async def test_probe_asks_the_port_it_names_and_says_what_it_heard() -> None:
    async def execute(argv: tuple[str, ...], timeout: float) -> tuple[int | None, bytes]:
        raise AssertionError("nothing is executed")

    def check(port: int) -> Awaitable[None]:
        probe = Probe(grpc=GRPCAction(port=port, service="up"), timeout_seconds=5)
        return probes.checker(probe, Container(), "127.0.0.1", execute)()

    async with server(SERVING) as (port, _):
        await check(port)
    with pytest.raises(probes.ProbeFailed, match=f"dial tcp 127.0.0.1:{port}: connect: connection refused"):
        await check(port)
