"""exec, attach and port-forward through the API server, by kubectl over websockets and over SPDY."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import random
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from edgevirt.engine.kubelet.processes import Process

from . import terminal
from .cluster_under_test import Cluster, document, running_cluster

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl"),
    pytest.mark.asyncio(loop_scope="module"),
]
SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
protocols = pytest.mark.parametrize("env", [{}, SPDY], ids=["websocket", "spdy"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        command = ("sh", "-c", "echo started; trap exit TERM; while true; do sleep 0.1; done")
        await cluster.kubectl("create", "-f", "-", stdin=document("p", *command))
        await cluster.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=20s")
        yield cluster


@protocols
async def test_exec_gives_output_error_output_and_exit_code(cluster: Cluster, env: dict[str, str]) -> None:
    command = "echo out; echo err >&2; exit 7"
    code, out, err = await cluster.run("exec", "p", "--", "sh", "-c", command, env=env)
    assert (code, out) == (7, b"out\n")
    assert err == b"err\ncommand terminated with exit code 7\n"


@protocols
async def test_exec_ends_standard_input_when_the_client_does(cluster: Cluster, env: dict[str, str]) -> None:
    data = os.urandom(1 << 20)
    code, out, err = await cluster.run("exec", "-i", "p", "--", "cat", stdin=data, env=env)
    assert (code, err) == (0, b"")
    assert out == data


@protocols
async def test_command_that_does_not_exist_is_an_error_of_its_own(
    cluster: Cluster, env: dict[str, str]
) -> None:
    code, _, err = await cluster.run("exec", "p", "--", "no-such-program", env=env)
    assert code == 1
    assert b"Internal error occurred: error executing command in container" in err
    assert b"no-such-program" in err


@protocols
async def test_exec_with_a_terminal_has_its_size_and_follows_it(
    cluster: Cluster, env: dict[str, str]
) -> None:
    master, slave = pty.openpty()
    terminal.resize(master, 40, 132)
    script = (
        'size() { until test "$(stty size 2>/dev/null)" = "$*"; do sleep 0.05; done; };'
        "size 40 132; test -t 0 && test -t 1 && tty && echo ready; size 50 100; echo resized; read x"
    )
    process = await cluster.spawn(
        "exec", "-it", "p", "--", "sh", "-c", script, env=env, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    try:
        assert b"/dev/pts/" in await terminal.until(master, b"ready")
        terminal.resize(master, 50, 100)
        process.send_signal(signal.SIGWINCH)
        await terminal.until(master, b"resized")
        os.write(master, b"end\n")
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        os.close(master)


@protocols
@pytest.mark.parametrize("terminal", [False, True], ids=["pipes", "terminal"])
async def test_command_ends_when_its_client_is_killed(
    cluster: Cluster, env: dict[str, str], terminal: bool
) -> None:
    tag = str(random.randrange(10**6, 10**8))
    runs = f"sleep {tag} & until grep -q ^sleep /proc/$!/cmdline; do :; done"
    script = f"trap '' HUP; {runs}; {runs}; echo started; wait"
    process = await cluster.spawn(
        "exec", *(["-it"] if terminal else []), "p", "--", "sh", "-c", script, env=env
    )
    assert process.stdout
    assert (await asyncio.wait_for(process.stdout.readline(), 10)).strip() == b"started"
    pids = [pid for pid in map(Process.of, pids_of(f"sleep {tag}")) if pid]
    assert len(pids) == 2
    process.kill()
    await process.wait()
    async with asyncio.timeout(10):
        for pid in pids:
            await pid.ended()
    assert (await cluster.run("exec", "p", "--", "true"))[0] == 0, "the container goes on"


def pids_of(line: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip() == line:
                found.append(int(path.parent.name))
    return found


async def test_container_that_does_not_run_is_refused(cluster: Cluster) -> None:
    body = document("over", "true")
    await cluster.kubectl("create", "-f", "-", stdin=body)
    await cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/over", "--timeout=20s")
    path = "/api/v1/namespaces/default/pods/over/exec?command=true&stdout=true"
    for env in ({}, SPDY):
        code, _, err = await cluster.run("exec", "over", "--", "true", env=env)
        assert code == 1
        assert b"completed pod" in err
        code, _, err = await cluster.run("exec", "p", "-c", "zz", "--", "true", env=env)
        assert code == 1
        assert b"container zz is not valid for pod p" in err or b"container not found" in err
    status, text = await cluster.get(path, upgrade="SPDY/3.1")
    assert (status, text) == (500, 'container not found ("main")\n')


@protocols
async def test_files_are_copied_both_ways(cluster: Cluster, env: dict[str, str]) -> None:
    source, back = cluster.base / "source", cluster.base / f"back{len(env)}"
    source.write_bytes(os.urandom(300_000))
    assert (await cluster.run("cp", str(source), "p:/tmp/copied", env=env))[0] == 0
    code, _, err = await cluster.run("cp", "p:/tmp/copied", str(back), env=env)
    assert code == 0, err
    assert back.read_bytes() == source.read_bytes()


@protocols
async def test_port_is_forwarded(cluster: Cluster, env: dict[str, str]) -> None:
    listening = f"until grep -q :{7777:04X} /proc/net/tcp /proc/net/tcp6; do :; done; echo listening"
    serve = f"nc -ll -p 7777 -e cat & {listening}; wait"
    server = await cluster.spawn("exec", "p", "--", "sh", "-c", serve, env=env)
    assert server.stdout
    assert await asyncio.wait_for(server.stdout.readline(), 10) == b"listening\n"
    forward = await cluster.spawn("port-forward", "pod/p", ":7777", ":7778", env=env)
    assert forward.stdout
    assert forward.stderr
    ports = []
    async with asyncio.timeout(10):
        while len(ports) < 2:
            line = await forward.stdout.readline()
            if b"127.0.0.1" in line:
                ports.append(int(line.split(b"->")[0].rpartition(b":")[2]))
    data = os.urandom(2 << 20)
    try:
        async with asyncio.timeout(20):
            for _ in range(2):
                assert await _echoed(ports[0], data) == data
            assert await _echoed(ports[1], b"x") == b""
            text = b""
            while b"connection refused" not in text:
                text += await forward.stderr.readline()
    finally:
        for process in (forward, server):
            process.kill()
            await process.wait()


async def _echoed(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        try:
            writer.write(data)
            await writer.drain()
        except ConnectionError:
            pass

    received = b""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        try:
            while len(received) < len(data) and (piece := await reader.read(65536)):
                received += piece
        except ConnectionError:
            pass
    writer.close()
    return received


@protocols
async def test_attach_shows_what_is_written_from_now_on(cluster: Cluster, env: dict[str, str]) -> None:
    name = f"chatty{len(env)}"
    command = ("sh", "-c", "echo before; while ! test -e /tmp/go; do sleep 0.05; done; echo after; exit 0")
    await cluster.kubectl("create", "-f", "-", stdin=document(name, *command))
    await cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=20s")
    process = await cluster.spawn("attach", name, env=env)
    assert process.stderr
    # kubectl says so only after the connection is there, and the log's end was taken then
    line = await asyncio.wait_for(process.stderr.readline(), 10)
    assert b"attach" in line or b"If you don't see" in line
    await cluster.kubectl("exec", name, "--", "touch", "/tmp/go")
    async with asyncio.timeout(10):
        out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"after\n"), err


@protocols
async def test_a_command_may_be_a_long_script(cluster: Cluster, env: dict[str, str]) -> None:
    script = f"# {'x' * 40_000}\necho done"
    code, out, err = await cluster.run("exec", "p", "--", "sh", "-c", script, env=env)
    assert (code, out) == (0, b"done\n"), err
