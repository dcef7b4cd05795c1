"""From posting a VM to a running guest: one after the other, many at once, and until the guest answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator

from bench import instance, machine
from bench.metric import Metric, percentile, spread
from bench.trace import STEPS, Story, Trace
from edgevirt.api.kubevirt import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from edgevirt.kube.client import Client

STARTS = int(os.environ.get("BENCH_STARTS", "30"))
AT_ONCE = int(os.environ.get("BENCH_AT_ONCE", "20"))
HTTP_STARTS = int(os.environ.get("BENCH_HTTP_STARTS", "5"))
_RUNNING_SECONDS = 180.0
_CONNECT_SECONDS = 0.2


async def measure_in_a_row() -> Iterator[Metric]:
    """One VM at a time, each gone before the next is posted."""
    stories: list[Story] = []
    async with _tracing() as (client, trace):
        for number in range(STARTS + 1):
            story = await _start(client, trace, f"bench-start-{number}")
            await _wait_running(story)
            await asyncio.sleep(0.2)  # the log's last line may be written after the status is seen
            trace.read_log()
            if number:  # the first one finds cold caches
                stories.append(story)
            await machine.remove(client, [story.name])
    return iter(list(_summary("start", stories)))


async def measure_at_once() -> Iterator[Metric]:
    """Many VMs posted together: when the last of them runs."""
    async with _tracing() as (client, trace):
        names = [f"bench-burst-{number}" for number in range(AT_ONCE)]
        try:
            stories = await asyncio.gather(*(_start(client, trace, name) for name in names))
            await asyncio.gather(*(_wait_running(story) for story in stories))
            await asyncio.sleep(0.5)
            trace.read_log()
        finally:
            await machine.remove(client, names)
    last = max(story.moments["running"] for story in stories)
    first = min(story.moments["posted"] for story in stories)
    return iter([*_summary(f"burst-{AT_ONCE}", stories), Metric(f"burst-{AT_ONCE}.all", last - first, "s")])


async def measure_http() -> Iterator[Metric]:
    """Until the web server in the guest answers 200."""
    samples: list[float] = []
    async with _tracing() as (client, trace):
        for number in range(HTTP_STARTS):
            story = await _start(client, trace, f"bench-http-{number}")
            try:
                await _wait_running(story)
                vmi = await client.get(VIRTUAL_MACHINE_INSTANCES, story.name, namespace=machine.NAMESPACE)
                assert vmi.status is not None
                async with asyncio.timeout(_RUNNING_SECONDS):
                    await _answers(vmi.status.interfaces[0].ip_address)
                samples.append(time.time() - story.moments["posted"])
            finally:
                await machine.remove(client, [story.name])
    return spread("http.create-to-200", samples, "s")


@contextlib.asynccontextmanager
async def _tracing() -> AsyncIterator[tuple[Client, Trace]]:
    async with instance.client() as client:
        trace = Trace(client, instance.layout().log_file("node"))
        ready = asyncio.Event()
        following = asyncio.create_task(trace.run(ready))
        await ready.wait()
        try:
            yield client, trace
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _start(client: Client, trace: Trace, name: str) -> Story:
    body = machine.manifest(name)
    story = trace.begin(name)
    story.mark("posted")
    await client.create(VIRTUAL_MACHINES, body, namespace=machine.NAMESPACE)
    story.mark("admitted")
    return story


async def _wait_running(story: Story) -> None:
    try:
        async with asyncio.timeout(_RUNNING_SECONDS):
            await story.running.wait()
    except TimeoutError as error:
        words = f"{story.name} did not run after {_RUNNING_SECONDS:.0f} s; kubectl describe vmi {story.name}"
        raise instance.BenchError(words) from error


async def _answers(address: str) -> None:
    while True:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(address, 80)
            try:
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                async with asyncio.timeout(5):
                    line = await reader.readline()
                if b" 200 " in line:
                    return
            finally:
                writer.close()
        await asyncio.sleep(0.02)


def _summary(prefix: str, stories: list[Story]) -> Iterator[Metric]:
    totals = [s for story in stories if (s := story.step("posted", "running")) is not None]
    yield from spread(f"{prefix}.total", totals, "s")
    for name, begin, end in STEPS:
        samples = [s for story in stories if (s := story.step(begin, end)) is not None]
        yield from spread(f"{prefix}.{name}", [1000 * sample for sample in samples], "ms")
    kinds = sorted({kind for story in stories for kind in story.writes})
    for kind in kinds:
        counts = [story.writes[kind] for story in stories]
        yield Metric(f"{prefix}.writes.{kind}", percentile(counts, 0.5), "writes")
        yield Metric(f"{prefix}.writes.{kind}.max", max(counts), "writes")
