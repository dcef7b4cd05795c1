"""What an idle edgevirt costs: memory, processor time, and bytes written to flash in an hour."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from bench import instance, process
from bench.metric import Metric

SECONDS = float(os.environ.get("BENCH_IDLE_SECONDS", "120"))
_HOUR = 3600.0


async def measure() -> Iterator[Metric]:
    """With whatever runs: for the figures of an empty node, run it without VMs."""
    pids = instance.processes()
    places = [instance.layout().store, instance.layout().logs]
    files = _sizes(places)
    cpu = {name: process.cpu_seconds(pid) for name, pid in pids.items()}
    written = {name: process.written_bytes(pid) for name, pid in pids.items()}
    await asyncio.sleep(SECONDS)
    metrics = []
    for name, pid in pids.items():
        metrics.append(Metric(f"idle.pss.{name}", process.pss_mib(pid), "MiB"))
    metrics.append(Metric("idle.pss", sum(m.value for m in metrics), "MiB"))
    share = {name: 100 * (process.cpu_seconds(pid) - cpu[name]) / SECONDS for name, pid in pids.items()}
    metrics += [Metric(f"idle.cpu.{name}", value, "%") for name, value in share.items()]
    metrics.append(Metric("idle.cpu", sum(share.values()), "%"))
    total = 0
    for name, pid in pids.items():
        count = process.written_bytes(pid) - written[name]
        total += count
        metrics.append(Metric(f"idle.written-per-hour.{name}", count * _HOUR / SECONDS / 1024, "KiB"))
    metrics.append(Metric("idle.written-per-hour", total * _HOUR / SECONDS / 1024, "KiB"))
    after = _sizes(places)
    changed = sum(1 for path, seen in after.items() if files.get(path) != seen)
    metrics.append(Metric("idle.files-changed", changed, "files"))
    return iter(metrics)


def _sizes(places: list[Path]) -> dict[Path, tuple[int, int]]:
    """(size, time of change) of the files that a working edgevirt writes."""
    found = {}
    for place in places:
        for path in place.rglob("*"):
            seen = path.stat()
            found[path] = (seen.st_size, seen.st_mtime_ns)
    return found
