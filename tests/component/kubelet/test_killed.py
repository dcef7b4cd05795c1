"""The kubelet is killed with SIGKILL, at rest and in the middle of starting pods."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from edgevirt.engine.kubelet import state
from edgevirt.engine.kubelet.stdio import Input

from .conftest import Node, manifest, settings_to

pytestmark = pytest.mark.component


class Victim:
    def __init__(self, node: Node, tmp_path: Path, manifests: list[dict[str, object]]) -> None:
        self._settings = tmp_path / "settings.json"
        self._manifests = tmp_path / "manifests.json"
        self._settings.write_text(json.dumps(settings_to(node.settings)))
        self._manifests.write_text(json.dumps(manifests))
        self._process: asyncio.subprocess.Process

    async def start(self, *more: str) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("victim.py")),
            str(self._settings),
            str(self._manifests),
            *more,
            stdout=asyncio.subprocess.PIPE,
        )
        await self.says("ready")

    async def says(self, word: str) -> None:
        assert self._process.stdout
        async with asyncio.timeout(30):
            line = await self._process.stdout.readline()
        assert line.decode().strip() == word

    async def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        assert self._process._transport  # type: ignore[attr-defined]  # closed here, not by the collector
        self._process._transport.close()  # type: ignore[attr-defined]


@pytest.fixture
async def stopped(tmp_path: Path, node: Node) -> Node:
    await node.stop()
    return node


async def test_namespace_file_without_namespace_does_not_hold_up_the_release(node: Node) -> None:
    from edgevirt.engine.kubelet import namespaces

    pod = node.api.add(manifest("hollow", "sleep", "1000"))
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    directory = node.services.sandbox_dir(pod.metadata.uid)
    namespaces.delete(directory)
    directory.mkdir()
    (directory / "net").touch()
    node.api.ask_deletion(pod, 0)
    await node.api.gone(pod)


async def test_containers_survive_and_are_taken_over(stopped: Node, tmp_path: Path) -> None:
    node = stopped
    wanted = [manifest(f"pod{i}", "sleep", "1000") for i in range(2)]
    victim = Victim(node, tmp_path, wanted)
    await victim.start()
    await victim.says("running")
    await victim.kill()
    directory = node.settings.pods_dir / wanted[0]["metadata"]["uid"]
    before = state.load(directory)
    assert before
    pods = [node.api.add(m) for m in wanted]
    await node.start()
    await node.api.until(lambda: all(node.api.phase(pod) == "Running" for pod in pods))
    worker = node.pods.get("default", "pod0")
    assert worker
    after = worker.record.containers["main"]
    assert (after.attempt, after.shim_pid) == (1, before.containers["main"].shim_pid)
    assert node.api.status(pods[0]).pod_ip == before.addresses[0]
    os.kill(after.shim_pid, 0)


@pytest.mark.parametrize("delay", [0.0, 0.008, 0.016, 0.024, 0.04])
async def test_kill_in_the_middle_of_a_start_leaves_nothing(
    stopped: Node, tmp_path: Path, delay: float
) -> None:
    node = stopped
    victim = Victim(
        node,
        tmp_path,
        [manifest(f"pod{i}", "sleep", "1000", terminationGracePeriodSeconds=0) for i in range(3)],
    )
    await victim.start()
    await asyncio.sleep(delay)  # the moment is the subject of the test
    await victim.kill()
    await node.start()
    async with asyncio.timeout(30):
        while tasks := [t for t in asyncio.all_tasks() if t.get_name().startswith("pod ")]:
            await asyncio.wait(tasks, timeout=1.0)
    assert {kind: found for kind, found in node.leftovers().items() if found} == {}


@pytest.mark.parametrize("delay", [0.004, 0.012, 0.02, 0.03])
async def test_start_that_was_cut_off_is_finished_by_the_next_kubelet(
    stopped: Node, tmp_path: Path, delay: float
) -> None:
    node = stopped
    wanted = [manifest("pod", "sleep", "1000")]
    victim = Victim(node, tmp_path, wanted)
    await victim.start()
    await asyncio.sleep(delay)  # the moment is the subject of the test
    await victim.kill()
    pod = node.api.add(wanted[0])
    await node.start()
    await node.api.until(lambda: node.api.phase(pod) in ("Running", "Failed"))
    assert node.api.phase(pod) == "Running"
    assert len(node.leftovers()["containers"]) == 1
    assert len(node.leftovers()["addresses"]) == 1


async def test_post_start_hook_that_was_cut_off_is_not_run_again(stopped: Node, tmp_path: Path) -> None:
    node, place = stopped, tmp_path / "place"
    place.mkdir()
    os.mkfifo(place / "begun")
    hook = ["sh", "-c", "echo hook >> /place/log; echo now > /place/begun; sleep 1000"]
    container = {
        "volumeMounts": [{"name": "place", "mountPath": "/place"}],
        "lifecycle": {"postStart": {"exec": {"command": hook}}},
    }
    volumes = [{"name": "place", "hostPath": {"path": str(place)}}]
    wanted = manifest("pod", "sleep", "1000", container=container, volumes=volumes)
    victim = Victim(node, tmp_path, [wanted])
    await victim.start()
    assert await asyncio.to_thread((place / "begun").read_text) == "now\n"
    await victim.kill()
    pod = node.api.add(wanted)
    await node.start()
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    assert node.api.status(pod).container_statuses[0].restart_count == 0
    assert (place / "log").read_text() == "hook\n"


async def test_pre_stop_hook_that_was_cut_off_is_begun_again_and_the_container_ends(
    stopped: Node, tmp_path: Path
) -> None:
    node, place = stopped, tmp_path / "place"
    place.mkdir()
    os.mkfifo(place / "begun")
    script = "if [ -e /place/log ]; then echo again >> /place/log; exit; fi;"
    script += " echo once >> /place/log; echo now > /place/begun; sleep 1000"
    container = {
        "volumeMounts": [{"name": "place", "mountPath": "/place"}],
        "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", script]}}},
    }
    volumes = [{"name": "place", "hostPath": {"path": str(place)}}]
    command = "trap 'echo bye >> /place/log; exit 0' TERM; while true; do sleep 0.05; done"
    wanted = manifest("pod", "sh", "-c", command, container=container, volumes=volumes)
    victim = Victim(node, tmp_path, [wanted])
    await victim.start("delete")
    await victim.says("running")
    assert await asyncio.to_thread((place / "begun").read_text) == "now\n"
    await victim.kill()
    pod = node.api.add(wanted)
    await node.start()
    node.api.ask_deletion(pod, 30)
    await node.api.gone(pod)
    assert (place / "log").read_text() == "once\nagain\nbye\n"


async def test_shared_processes_and_a_terminal_are_taken_over(stopped: Node, tmp_path: Path) -> None:
    node = stopped
    wanted = manifest("pod", "sh", container={"stdin": True, "tty": True}, shareProcessNamespace=True)
    victim = Victim(node, tmp_path, [wanted])
    await victim.start()
    await victim.says("running")
    await victim.kill()
    pod = node.api.add(wanted)
    await node.start()
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    worker = node.pods.get("default", "pod")
    assert worker
    assert worker.record.containers["main"].attempt == 1
    keyboard = Input(worker.console_of("main").directory)
    await keyboard.write(b"exit 4\n")
    keyboard.close()
    await node.api.until(lambda: node.api.phase(pod) == "Failed")
    assert node.api.status(pod).container_statuses[0].state.terminated.exit_code == 4
