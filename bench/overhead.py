"""Memory each VM costs besides QEMU and its guest: launcher, monitor, libvirtd, the container's shim."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from bench import instance, machine, process
from bench.metric import Metric, percentile
from edgevirt.api.kubevirt import VIRTUAL_MACHINES
from edgevirt.api.resources import PODS
from edgevirt.engine.kubelet import cgroups
from edgevirt.install.standalone import config
from edgevirt.kube.client import Client

MACHINES = int(os.environ.get("BENCH_OVERHEAD_MACHINES", "3"))
SETTLE_SECONDS = float(os.environ.get("BENCH_OVERHEAD_SETTLE", "30"))


async def measure() -> Iterator[Metric]:
    """Proportional set sizes after the guests have booted: one VM alone, then several side by side."""
    metrics: list[Metric] = []
    async with instance.client() as client:
        names = [f"bench-overhead-{number}" for number in range(MACHINES)]
        try:
            for count in (1, MACHINES):
                for name in names[:count]:
                    body = machine.manifest(name)
                    if name != names[0] or count == 1:
                        await client.create(VIRTUAL_MACHINES, body, namespace=machine.NAMESPACE)
                await _running(client, names[:count])
                await asyncio.sleep(SETTLE_SECONDS)
                metrics += _of(await _pods(client, names[:count]), f"overhead-{count}")
        finally:
            await machine.remove(client, names)
    return iter(metrics)


async def _pods(client: Client, names: list[str]) -> list[str]:
    prefixes = tuple(f"virt-launcher-{name}-" for name in names)
    pods = await client.list(PODS, namespace=machine.NAMESPACE)
    return [pod.metadata.uid for pod in pods.items if pod.metadata.name.startswith(prefixes)]


async def _running(client: Client, names: list[str]) -> None:
    async with asyncio.timeout(120):
        while True:
            machines = await client.list(VIRTUAL_MACHINES, namespace=machine.NAMESPACE)
            states = {
                m.metadata.name: m.status.printable_status for m in machines.items if m.status is not None
            }
            if all(states.get(name) == "Running" for name in names):
                return
            await asyncio.sleep(0.2)


def _of(pod_uids: list[str], prefix: str) -> Iterator[Metric]:
    settings = config.load(instance.layout().config_file)
    totals: list[float] = []
    parts: dict[str, list[float]] = defaultdict(list)
    guests: list[float] = []
    for uid in pod_uids:
        group = cgroups.PodCgroup(cgroups.detect(), settings.cgroup, uid)
        total = 0.0
        for pid in sorted(group.processes() | _shims(settings.cgroup, uid)):
            kind, size = _kind(process.command(pid)), process.pss_mib(pid)
            if kind == "qemu":
                guests.append(size)
                continue
            parts[kind].append(size)
            total += size
        totals.append(total)
    yield Metric(f"{prefix}.pss", percentile(totals, 0.5), "MiB")
    for kind, sizes in sorted(parts.items()):
        yield Metric(f"{prefix}.pss.{kind}", sum(sizes) / len(pod_uids), "MiB")
    yield Metric(f"{prefix}.qemu-and-guest.pss", percentile(guests, 0.5), "MiB")


def _shims(prefix: str, uid: str) -> frozenset[int]:
    found: set[int] = set()
    for root in cgroups.detect().roots():
        path = Path(f"{root}/{prefix}/pod{uid}/{cgroups.SHIM}/cgroup.procs")
        if path.exists():
            found.update(int(line) for line in path.read_text().split())
    return frozenset(found)


def _kind(command: list[str]) -> str:
    text = " ".join(command[:5])
    program = os.path.basename(command[0]) if command else "?"
    if program.startswith("qemu-system"):
        return "qemu"
    if "monitor.py" in text:
        return "monitor"
    if "virt_launcher" in text:
        return "launcher"
    return program
