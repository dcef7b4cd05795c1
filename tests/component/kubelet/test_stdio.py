"""Input and terminals of containers: kubectl run -i and -it, attach, and over a restart of the kubelet."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from edgevirt.engine.kubelet.pod import PodWorker
from edgevirt.engine.kubelet.stdio import Input

from . import terminal
from .cluster_under_test import Cluster, document, running_cluster
from .conftest import Node, manifest
from .container_output import output, said

pytestmark = pytest.mark.component
needs_kubectl = pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
HERE = json.dumps({"spec": {"nodeName": "node"}})


@needs_kubectl
async def test_kubectl_runs_pods_that_are_talked_to(tmp_path: Path) -> None:
    async with running_cluster(tmp_path) as cluster:
        await _pipe(cluster)
        await _terminal(cluster)
        await _attached_again(cluster)


def run_command(name: str, *flags: str) -> tuple[str, ...]:
    image = "--image=localhost/busybox"
    return ("run", name, "--restart=Never", image, f"--overrides={HERE}", "--quiet", *flags)


async def _pipe(cluster: Cluster) -> None:
    data = b"".join(b"line %d\n" % number for number in range(2000))
    code, out, err = await cluster.run(*run_command("piped", "-i", "--rm"), "--", "cat", stdin=data)
    assert (code, out) == (0, data), err


async def _terminal(cluster: Cluster) -> None:
    master, slave = pty.openpty()
    terminal.resize(master, 40, 132)
    command = run_command("shell", "-it", "--rm")
    process = await cluster.spawn(*command, "--", "sh", stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    try:
        await terminal.until(master, b"# ")
        os.write(master, b"echo $((6*7)) $TERM\n")
        await terminal.until(master, b"42 xterm")
        terminal.resize(master, 50, 100)
        process.send_signal(signal.SIGWINCH)
        os.write(master, b'until test "$(stty size)" = "50 100"; do sleep 0.05; done; echo re""sized\n')
        await terminal.until(master, b"resized")
        os.write(master, b"exit 5\n")
        async with asyncio.timeout(20):
            assert await process.wait() == 5
    finally:
        os.close(master)


async def _attached_again(cluster: Cluster) -> None:
    """A container that leaves its input open hears one client after the other."""
    spec = document("ears", "sh", "-c", "while read x; do echo heard $x; done", container={"stdin": True})
    await cluster.kubectl("create", "-f", "-", stdin=spec)
    await cluster.kubectl("wait", "--for=condition=Ready", "pod/ears", "--timeout=20s")
    for word in (b"one", b"two"):
        process = await cluster.spawn("attach", "-i", "ears")
        assert process.stdin
        assert process.stdout
        process.stdin.write(word + b"\n")
        async with asyncio.timeout(20):
            assert await process.stdout.readline() == b"heard " + word + b"\n"
        process.terminate()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # closed here, not by the collector
    assert await cluster.kubectl("logs", "ears") == "heard one\nheard two\n"


async def test_terminal_outlives_the_kubelet(node: Node) -> None:
    container = {"stdin": True, "tty": True}
    pod = node.api.add(manifest("shell", "sh", container=container))
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    await said(node, pod, "# ")
    await node.restart()
    await _say(node, pod, b"tty; echo $((6*7))\n")
    await said(node, pod, "42")
    assert "/dev/pts/0" in await output(node, pod)
    worker = _worker(node, pod)
    extra = [p for p in worker.services.cgroup(worker.uid).shims() if _command(p) in ("script", "sleep")]
    assert len(extra) == 2
    assert sum(_proportional(pid) for pid in extra) < 2 << 20
    await _say(node, pod, b"exit 3\n")
    await node.api.until(lambda: node.api.phase(pod) == "Failed")
    assert node.api.status(pod).container_statuses[0].state.terminated.exit_code == 3


async def test_input_that_is_given_once_ends_and_what_was_said_is_read(node: Node) -> None:
    container = {"stdin": True, "stdinOnce": True}
    pod = node.api.add(manifest("once", "sh", "-c", "cat; echo over", container=container))
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    await node.restart()
    await _say(node, pod, b"all of it\n")
    _worker(node, pod).console_of("main").end()
    await node.api.until(lambda: node.api.phase(pod) == "Succeeded")
    assert await output(node, pod) == "all of it\nover\n"


async def test_container_without_input_reads_nothing(node: Node) -> None:
    pod = node.api.add(manifest("deaf", "sh", "-c", "cat; echo over"))
    await node.api.until(lambda: node.api.phase(pod) == "Succeeded")
    assert await output(node, pod) == "over\n"


def _worker(node: Node, pod: Any) -> PodWorker:
    worker = node.pods.get("default", pod.metadata.name)
    assert isinstance(worker, PodWorker)
    return worker


async def _say(node: Node, pod: Any, data: bytes) -> None:
    target = Input(_worker(node, pod).console_of("main").directory)
    try:
        await target.write(data)
    finally:
        target.close()


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _proportional(pid: int) -> int:
    """Bytes of memory that are the process's share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    return 0
