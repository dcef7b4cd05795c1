"""The websocket protocols of exec and port-forward that kubectl does not speak: of libraries and browsers."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import struct
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from .cluster_under_test import Cluster, document, running_cluster

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl"),
    pytest.mark.asyncio(loop_scope="module"),
]
POD = "/api/v1/namespaces/default/pods/p"
SHOUT = "command=sh&command=-c&command=echo+out;+echo+err+%3E%262;+exit+3&stdout=true&stderr=true"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        serve = "nc -ll -p 7777 -e cat & exec nc -ll -p 7778 -e echo hello"
        container = {"readinessProbe": {"tcpSocket": {"port": 7778}, "periodSeconds": 1}}
        body = document("p", "sh", "-c", serve, terminationGracePeriodSeconds=0, container=container)
        await cluster.kubectl("create", "-f", "-", stdin=body)
        await cluster.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=20s")
        yield cluster


@contextlib.asynccontextmanager
async def connected(
    cluster: Cluster, path: str, *protocols: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    url = f"https://127.0.0.1:{cluster.port}{POD}/{path}"
    async with (
        asyncio.timeout(60),
        aiohttp.ClientSession() as session,
        session.ws_connect(url, ssl=cluster.tls("admin"), protocols=protocols) as socket,
    ):
        yield socket


async def channels(socket: aiohttp.ClientWebSocketResponse) -> dict[int, bytes]:
    """All that comes, by channel, until the socket is closed."""
    found: dict[int, bytes] = {}
    async for message in socket:
        if message.type is aiohttp.WSMsgType.BINARY:
            number, data = message.data[0], message.data[1:]
        else:
            number, data = int(message.data[0]), base64.b64decode(message.data[1:])
        found[number] = found.get(number, b"") + data
    return found


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"])
async def test_streams_are_channels_and_the_verdict_is_a_status(cluster: Cluster, protocol: str) -> None:
    async with connected(cluster, f"exec?{SHOUT}", protocol) as socket:
        assert socket.protocol == protocol
        found = await channels(socket)
    assert (found[1], found[2]) == (b"out\n", b"err\n")
    status = json.loads(found[3])
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


@pytest.mark.parametrize("protocols", [(), ("channel.k8s.io",), ("base64.channel.k8s.io",)])
async def test_the_oldest_protocol_tells_the_verdict_as_text(
    cluster: Cluster, protocols: tuple[str, ...]
) -> None:
    async with connected(cluster, f"exec?{SHOUT}", *protocols) as socket:
        found = await channels(socket)
    assert found[1] == b"out\n"
    assert found[3].endswith(b"exit code 3")


async def test_standard_input_is_typed_and_closed(cluster: Cluster) -> None:
    path = "exec?command=sort&stdin=true&stdout=true"
    async with connected(cluster, path, "v5.channel.k8s.io") as socket:
        await socket.send_bytes(b"\x00b\n")
        await socket.send_bytes(b"\x00a\n")
        await socket.send_bytes(b"\xff\x00")
        assert (await channels(socket))[1] == b"a\nb\n"
    async with connected(cluster, path.replace("sort", "cat"), "v4.base64.channel.k8s.io") as socket:
        await socket.send_str("0" + base64.b64encode(b"typed\n").decode())
        seen = ""
        while base64.b64encode(b"typed\n").decode() not in seen:
            seen += await socket.receive_str()


async def test_a_protocol_nobody_knows_is_refused(cluster: Cluster) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with connected(cluster, f"exec?{SHOUT}", "v9.channel.k8s.io"):
            pass
    assert caught.value.status == 403


async def test_nonsense_on_a_base64_channel_ends_the_command(cluster: Cluster) -> None:
    path = "exec?command=cat&stdin=true&stdout=true"
    async with connected(cluster, path, "v4.base64.channel.k8s.io") as socket:
        await socket.send_str("0%%%")
        await channels(socket)  # it is closed


@pytest.mark.parametrize("text", [False, True], ids=["binary", "base64"])
async def test_ports_are_pairs_of_channels_that_begin_with_their_number(cluster: Cluster, text: bool) -> None:
    protocol = "v4.base64.channel.k8s.io" if text else "v4.channel.k8s.io"
    data = os.urandom(200_000)
    async with connected(cluster, "portforward?ports=7777&ports=7779", protocol) as socket:
        found: dict[int, bytes] = {}

        async def send() -> None:
            for start in range(0, len(data), 10_000):
                part = data[start : start + 10_000]
                if text:
                    await socket.send_str("0" + base64.b64encode(part).decode())
                else:
                    await socket.send_bytes(b"\x00" + part)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send())
            while len(found.get(0, b"")) < 2 + len(data) or b"refused" not in found.get(3, b""):
                message = await socket.receive()
                assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT)
                if text:
                    number, part = int(message.data[0]), base64.b64decode(message.data[1:])
                else:
                    number, part = message.data[0], message.data[1:]
                found[number] = found.get(number, b"") + part
    assert found[0] == struct.pack("<H", 7777) + data
    assert found[1] == struct.pack("<H", 7777)
    assert found[3].startswith(struct.pack("<H", 7779) + b"error forwarding port 7779 to pod p")


async def test_the_socket_is_closed_when_the_pod_has_said_its_last(cluster: Cluster) -> None:
    async with connected(cluster, "portforward?ports=7778", "v4.channel.k8s.io") as socket:
        assert (await channels(socket))[0] == struct.pack("<H", 7778) + b"hello\n"


@pytest.mark.parametrize(
    ("query", "message"),
    [("", 'query parameter "port" is required'), ("?ports=0", 'port "0" must be > 0')],
)
async def test_bad_ports_are_refused_before_the_upgrade(cluster: Cluster, query: str, message: str) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    async with cluster.request("GET", f"{POD}/portforward{query}", headers=headers) as answer:
        assert (answer.status, (await answer.text()).strip()) == (400, message)


async def test_many_clients_at_once_leave_nothing_behind(cluster: Cluster) -> None:
    async def one(path: str, *, leaves: bool) -> None:
        async with connected(cluster, path, "v4.channel.k8s.io") as socket:
            if not leaves:
                await channels(socket)

    async def round_of(count: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(count):
                tasks.create_task(one(f"exec?{SHOUT}", leaves=False))
                tasks.create_task(one("exec?command=sleep&command=1000&stdout=true", leaves=True))
                tasks.create_task(one("portforward?ports=7778", leaves=number % 2 == 0))

    await round_of(1)  # what is kept for later is there then
    before = len(os.listdir("/proc/self/fd"))
    await round_of(5)
    runs = list(cluster.settings.pods_dir.glob("*/containers/main/1"))
    assert len(runs) == 1
    async with asyncio.timeout(30):
        while list(runs[0].glob("exec-*")) or len(os.listdir("/proc/self/fd")) > before:
            await one(f"exec?{SHOUT}", leaves=False)  # meanwhile the others come to their end
