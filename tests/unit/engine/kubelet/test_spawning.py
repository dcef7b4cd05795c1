"""Processes started in another thread for somebody who may not wait for them."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from edgevirt.engine.kubelet.spawning import spawned

pytestmark = pytest.mark.unit


@pytest.fixture
def spawner() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "600"], stdout=subprocess.PIPE, bufsize=0, start_new_session=True)


async def test_process_started_for_somebody_who_was_cancelled_is_ended(spawner: ThreadPoolExecutor) -> None:
    begun, go = threading.Event(), threading.Event()
    made: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        begun.set()
        go.wait(20)
        made.append(sleeper())
        return made[0]

    task = asyncio.create_task(spawned(spawner, start))
    await asyncio.to_thread(begun.wait, 20)
    task.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    (process,) = made
    assert process.returncode == -9
    assert process.stdout is not None
    assert process.stdout.closed


async def test_cancelled_start_that_fails_is_over_quietly(spawner: ThreadPoolExecutor) -> None:
    begun, go = threading.Event(), threading.Event()

    def start() -> subprocess.Popen[bytes]:
        begun.set()
        go.wait(20)
        raise FileNotFoundError("no such program")

    task = asyncio.create_task(spawned(spawner, start))
    await asyncio.to_thread(begun.wait, 20)
    task.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_process_is_handed_over_and_failures_are_told(spawner: ThreadPoolExecutor) -> None:
    process = await spawned(spawner, sleeper)
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    with pytest.raises(FileNotFoundError):
        await spawned(spawner, lambda: subprocess.Popen(["/no/such/program"]))
