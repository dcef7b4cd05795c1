"""A pod that is deleted, or a kubelet that is restarted, while the runtime is still making a container."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from pathlib import Path

import pytest

from edgevirt.linux import inotify

from .conftest import Node, manifest

pytestmark = pytest.mark.component

SOON = 8.0
"""Seconds; less than the kubelet takes to see that a signal has not helped."""


class Hesitant:
    """A runtime that waits for `go_on` before it makes a container."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        os.mkfifo(directory / "go")
        self.program = directory / "crun"
        wait = f"touch {directory}/waiting; read -r _ < {directory}/go"
        self.program.write_text(f'#!/bin/sh\ncase "$*" in *" run "*) {wait};; esac\nexec crun "$@"\n')
        self.program.chmod(0o755)

    async def waits(self) -> None:
        """Return when the runtime has been asked for a container."""
        waiting = asyncio.Event()
        with inotify.Watcher() as watcher:
            watcher.add(self._directory, inotify.IN_CREATE, lambda _: waiting.set())
            if not (self._directory / "waiting").exists():
                async with asyncio.timeout(20):
                    await waiting.wait()

    async def go_on(self) -> None:
        await asyncio.to_thread((self._directory / "go").write_text, "go\n")


@pytest.fixture
async def hesitant(node: Node, tmp_path: Path) -> Hesitant:
    directory = tmp_path / "hesitant"
    directory.mkdir()
    runtime = Hesitant(directory)
    node.settings = dataclasses.replace(node.settings, runtime=str(runtime.program))
    await node.restart()
    return runtime


async def test_a_pod_deleted_while_its_container_is_made_is_gone_soon(node: Node, hesitant: Hesitant) -> None:
    pod = node.api.add(manifest("pod", "sleep", "1000"))
    await hesitant.waits()
    node.api.ask_deletion(pod, 0)
    await hesitant.go_on()
    await node.api.gone(pod, SOON)


async def test_a_run_taken_over_while_it_is_made_is_stopped_in_time(node: Node, hesitant: Hesitant) -> None:
    pod = node.api.add(manifest("pod", "sleep", "1000"))
    await hesitant.waits()
    await node.restart()
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    node.api.ask_deletion(pod, 0)
    await hesitant.go_on()
    await node.api.gone(pod, SOON)
