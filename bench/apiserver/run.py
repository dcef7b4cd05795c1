"""One run: the namespace that everything lives in, the pieces of load in their order, and the tidying up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.apiserver import fanout, lists, verbs
from bench.apiserver.connection import Target
from bench.apiserver.cost import memory
from bench.metric import Metric
from edgevirt.api.resources import CONFIG_MAPS, NAMESPACES
from edgevirt.kube.client import Client
from edgevirt.kube.errors import KubeError, NotFound

PARTS = ("verbs", "lists", "watch")

Report = Callable[[Metric], object]


@dataclass(frozen=True)
class Plan:
    """What to measure. `pids` are the server's processes; `settle` seconds pass before the last PSS."""

    pids: tuple[int, ...] = ()
    seconds: float = 4.0
    connections: tuple[int, ...] = (1, 16, 64)
    sizes: tuple[str, ...] = tuple(verbs.SIZES)
    verbs: tuple[str, ...] = verbs.VERBS
    parts: tuple[str, ...] = PARTS
    lists: tuple[int, ...] = (2_000, 10_000)
    watchers: tuple[tuple[int, float], ...] = ((20, 420.0), (200, 100.0))
    settle: float = 0.0


def run(kubeconfig: Path, plan: Plan, report: Report) -> None:
    """Hands each figure to `report` as soon as it is there. Raises `BenchError`, KubeError and OSError."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_interruptible(_run(kubeconfig, plan, report)))


async def _interruptible(work: asyncio._CoroutineLike[None]) -> None:
    """SIGTERM ends the work as Ctrl-C does, tidying up included."""
    task = asyncio.ensure_future(work)
    with contextlib.suppress(ValueError, RuntimeError):  # only the main thread may
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


async def _run(kubeconfig: Path, plan: Plan, report: Report) -> None:
    target = Target.of(kubeconfig)
    for metric in memory("api.pss.before", plan.pids):
        report(metric)
    async with Client.from_kubeconfig(kubeconfig, user_agent="bench") as client, _namespace(client) as name:
        path = f"/api/v1/namespaces/{name}/configmaps"
        async for metric in _parts(target, path, client, name, plan):
            report(metric)
    for metric in memory("api.pss.after", plan.pids):
        report(metric)
    if plan.settle:
        await asyncio.sleep(plan.settle)
        for metric in memory(f"api.pss.after-{plan.settle:.0f}s", plan.pids):
            report(metric)


async def _parts(
    target: Target, path: str, client: Client, namespace: str, plan: Plan
) -> AsyncIterator[Metric]:
    if "verbs" in plan.parts:
        for label in plan.sizes:
            for count in plan.connections:
                async for metric in verbs.measure(
                    target, path, label, count, plan.seconds, plan.pids, plan.verbs
                ):
                    yield metric
    if "lists" in plan.parts:
        async for metric in lists.measure(target, path, plan.lists, plan.pids):
            yield metric
        await client.delete_collection(CONFIG_MAPS, namespace=namespace)
    if "watch" in plan.parts:
        for watchers, rate in plan.watchers:
            async for metric in fanout.measure(target, path, watchers, rate, plan.seconds, plan.pids):
                yield metric
            await client.delete_collection(CONFIG_MAPS, namespace=namespace)


@contextlib.asynccontextmanager
async def _namespace(client: Client) -> AsyncIterator[str]:
    """A namespace of this run's own; in the end it is deleted with all it holds, whatever happened."""
    name = f"bench-api-{os.getpid()}"  # its own, because the one of the run before may still be ending
    await client.create(NAMESPACES, {"metadata": {"name": name}})
    try:
        yield name
    finally:
        await asyncio.shield(asyncio.ensure_future(_remove(client, name)))


async def _remove(client: Client, name: str) -> None:
    # An ending namespace takes no more creates; its content is removed here, because a server that runs
    # without its controllers would keep it for ever.
    with contextlib.suppress(KubeError):
        await client.delete(NAMESPACES, name)
    with contextlib.suppress(NotFound):
        await client.delete_collection(CONFIG_MAPS, namespace=name)
