"""Lifecycle hooks of real containers: when they run, what their failure means, whose time they spend."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from .conftest import Node, manifest
from .container_output import output, said

pytestmark = pytest.mark.component

SHARE = [{"name": "share", "mountPath": "/share"}]
EMPTY = [{"name": "share", "emptyDir": {}}]
LOYAL = "trap 'echo term >> /share/log; exit 0' TERM; echo up; while true; do sleep 0.02; done"


def shell(command: str) -> dict[str, Any]:
    return {"exec": {"command": ["sh", "-c", command]}}


def hooked(name: str, command: str, **lifecycle: Any) -> dict[str, Any]:
    container = {"volumeMounts": SHARE, "lifecycle": lifecycle}
    return manifest(name, "sh", "-c", command, container=container, volumes=EMPTY)


def shared(node: Node, pod: Any, name: str = "log") -> str:
    directory = node.settings.pods_dir / pod.metadata.uid / "volumes/kubernetes.io~empty-dir/share"
    return (directory / name).read_text()


def first(node: Node, pod: Any) -> Any:
    status = node.api.status(pod)
    return status.container_statuses[0] if status else None


async def test_container_counts_as_running_when_its_post_start_hook_is_done(node: Node) -> None:
    wait = shell("while [ ! -e /share/go ]; do sleep 0.02; done; echo hook >> /share/log")
    spec = hooked("hook", LOYAL, postStart=wait)
    later = {"name": "later", "image": "localhost/busybox", "command": ["sleep", "1000"]}
    spec["spec"]["containers"].append(later)
    pod = node.api.add(spec)
    await node.events.until("Started", "Container started")
    await said(node, pod, "up")
    worker = node.pods.get("default", "hook")
    assert worker
    assert "later" not in worker.record.containers, "later containers wait for the hook of the first"
    assert node.api.phase(pod) in ("", "Pending")
    directory = node.settings.pods_dir / pod.metadata.uid / "volumes/kubernetes.io~empty-dir/share"
    (directory / "go").touch()
    await node.api.until(lambda: node.api.phase(pod) == "Running" and first(node, pod).ready)
    assert shared(node, pod) == "hook\n"
    assert "later" in worker.record.containers


async def test_failed_post_start_hook_ends_the_run(node: Node) -> None:
    pod = node.api.add(hooked("bad", LOYAL, postStart=shell("while [ ! -e /share/no ]; do exit 3; done")))
    await node.api.until(lambda: node.api.phase(pod) in ("Failed", "Succeeded"))
    assert ("FailedPostStartHook", "PostStartHook failed") in node.events.seen
    assert ("Killing", "FailedPostStartHook") in node.events.seen
    assert first(node, pod).state.terminated
    assert not any(p["phase"] == "Running" for p in node.api.patches), "it never counted as running"


async def test_container_with_a_failing_hook_is_started_again_and_says_why(node: Node) -> None:
    spec = hooked("again", LOYAL, postStart=shell("exit 3"))
    spec["spec"]["restartPolicy"] = "Always"
    pod = node.api.add(spec)
    await node.api.until(
        lambda: (
            first(node, pod)
            and first(node, pod).state.waiting
            and first(node, pod).state.waiting.reason == "CrashLoopBackOff"
        )
    )
    assert first(node, pod).restart_count == 1
    assert first(node, pod).last_state.terminated.exit_code == 0
    assert any(
        p["containerStatuses"][0]["state"].get("waiting", {}).get("reason") == "PostStartHookError"
        for p in node.api.patches
    )


async def test_pre_stop_hook_runs_before_the_container_is_asked_to_end(node: Node) -> None:
    pod = node.api.add(hooked("warned", LOYAL, preStop=shell("sleep 0.2; echo hook >> /share/log")))
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    await said(node, pod, "up")
    directory = node.settings.pods_dir / pod.metadata.uid / "volumes/kubernetes.io~empty-dir/share"
    with open(directory / "log", "w+") as file:  # the descriptor outlives the volume
        node.api.ask_deletion(pod, 20)
        await node.api.gone(pod)
        assert file.read() == "hook\nterm\n"


async def test_pre_stop_hook_spends_the_grace_but_two_seconds_are_left(node: Node) -> None:
    command = "trap 'sleep 0.5; exit 4' TERM; echo up; while true; do sleep 0.02; done"
    pod = node.api.add(hooked("slow", command, preStop={"sleep": {"seconds": 600}}))
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    await said(node, pod, "up")
    begun = time.monotonic()
    node.api.ask_deletion(pod, 1)
    await node.api.gone(pod)
    assert 1.4 < time.monotonic() - begun < 6
    assert node.api.patches[-1]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 4


async def test_failed_pre_stop_hook_is_told_and_the_container_ends(node: Node) -> None:
    pod = node.api.add(hooked("sour", LOYAL, preStop=shell("exit 1")))
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    await said(node, pod, "up")
    node.api.ask_deletion(pod, 20)
    await node.api.gone(pod)
    assert ("FailedPreStopHook", "PreStopHook failed") in node.events.seen
    assert node.api.patches[-1]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0


async def test_http_hook_reaches_the_pod_whatever_it_answers(node: Node) -> None:
    asked: list[tuple[str, str]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        agent = next(line for line in head.splitlines() if line.lower().startswith("user-agent:"))
        asked.append((head.splitlines()[0], agent))
        writer.write(b"HTTP/1.1 503 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        get = {"httpGet": {"path": "/bye", "port": port, "host": "127.0.0.1"}}
        pod = node.api.add(hooked("web", LOYAL, postStart=get))
        await node.api.until(lambda: node.api.phase(pod) == "Running" and first(node, pod).ready)
    assert asked == [("GET /bye HTTP/1.1", "User-Agent: kube-lifecycle/1.36")]


async def test_stop_signal_of_the_pod_wins(node: Node) -> None:
    command = "trap 'exit 5' USR1; trap 'exit 6' TERM; echo up; while true; do sleep 0.02; done"
    pod = node.api.add(hooked("signal", command, stopSignal="SIGUSR1"))
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    assert first(node, pod).stop_signal == "SIGUSR1"
    await said(node, pod, "up")
    node.api.ask_deletion(pod, 20)
    await node.api.gone(pod)
    assert node.api.patches[-1]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 5


async def test_sidecar_hears_the_warning_at_once_but_ends_after_the_container(node: Node) -> None:
    command = "trap 'sleep 0.4; echo main >> /share/log; exit 0' TERM; while true; do sleep 0.02; done"
    spec = hooked("mesh", command)
    side = "trap 'echo side >> /share/log; exit 0' TERM; while true; do sleep 0.02; done"
    spec["spec"]["initContainers"] = [
        {
            "name": "side",
            "image": "localhost/busybox",
            "command": ["sh", "-c", side],
            "restartPolicy": "Always",
            "volumeMounts": SHARE,
            "lifecycle": {"preStop": shell("echo warned >> /share/log")},
        }
    ]
    pod = node.api.add(spec)
    await node.api.until(lambda: node.api.phase(pod) == "Running" and first(node, pod).ready)
    directory = node.settings.pods_dir / pod.metadata.uid / "volumes/kubernetes.io~empty-dir/share"
    with open(directory / "log", "w+") as file:
        node.api.ask_deletion(pod, 20)
        await node.api.gone(pod)
        assert file.read() == "warned\nmain\nside\n"


async def test_hook_of_a_running_container_is_not_repeated_by_the_next_kubelet(node: Node) -> None:
    pod = node.api.add(hooked("once", LOYAL, postStart=shell("echo hook >> /share/log")))
    await node.api.until(lambda: node.api.phase(pod) == "Running" and first(node, pod).ready)
    await node.restart()
    await node.api.until(lambda: first(node, pod).ready)
    assert shared(node, pod) == "hook\n"
    assert await output(node, pod) == "up\n"
