"""The load tool against an API server of its own: it tells every line, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.apiserver import alone
from bench.apiserver.verbs import VERBS

from edgevirt.api.resources import CONFIG_MAPS, NAMESPACES
from edgevirt.kube.client import Client

pytestmark = pytest.mark.component

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Path, int]]:
    with alone.started() as found:
        yield found


def load(server: tuple[Path, int], *arguments: str) -> subprocess.Popen[str]:
    kubeconfig, pid = server
    return subprocess.Popen(
        [sys.executable, "-m", "bench.apiserver", "--kubeconfig", kubeconfig, "--pids", str(pid), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


async def left_behind(kubeconfig: Path) -> tuple[list[str], list[str]]:
    """Namespaces of the tool that do not end, and config maps in any of its namespaces."""
    async with Client.from_kubeconfig(kubeconfig, user_agent="test") as client:
        spaces = [
            found.metadata
            for found in (await client.list(NAMESPACES)).items
            if "bench" in found.metadata.name
        ]
        assert spaces
        maps = [
            found.metadata.name
            for space in spaces
            for found in (await client.list(CONFIG_MAPS, namespace=space.name)).items
        ]
    return [space.name for space in spaces if not space.deletion_timestamp], maps


def test_each_verb_is_told_with_rate_latency_and_cost(server: tuple[Path, int]) -> None:
    running = load(server, "--parts", "verbs", "--seconds", "0.1", "--connections", "2", "--sizes", "512B")
    output, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (0, "")
    told = {line.split()[0]: float(line.split()[1]) for line in output.splitlines()}
    for verb in VERBS:
        for figure in ("rate", "p50", "p99", "server-cpu", "client-cpu"):
            assert f"api.{verb}.512B.2-connections.{figure}" in told
        assert told[f"api.{verb}.512B.2-connections.rate"] > 0
    assert told["api.pss.after"] > 0
    assert asyncio.run(left_behind(server[0])) == ([], [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_load_removes_what_it_made(server: tuple[Path, int], number: signal.Signals) -> None:
    running = load(server, "--parts", "verbs", "--seconds", "0.1", "--connections", "8", "--sizes", "512B")
    assert running.stdout is not None
    for line in running.stdout:
        if line.startswith("api.create."):
            break  # there are objects now, and none was deleted yet
    running.send_signal(number)
    _, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (130, "bench.apiserver: interrupted\n")
    assert asyncio.run(left_behind(server[0])) == ([], [])
