"""What the kernel accounts to the node, its pods and their containers: processor time and memory.

Counters are read when somebody asks and nothing is kept, so an unobserved node spends nothing on it; whoever
wants rates asks twice. Memory is the working set: what is used, less file pages the kernel would drop first.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgevirt.engine.kubelet.cgroups import Hierarchies

_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_BUSY = (0, 1, 2, 5, 6)
"""user (guests included), nice, system, irq and softirq in the first line of /proc/stat."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time in nanoseconds since the start of what is measured, working set in bytes."""

    cpu: int
    memory: int


def of_group(hierarchies: Hierarchies, path: str) -> Usage | None:
    """Of the control group `path` with all below it; None when there is none (any more)."""
    below = path.lstrip("/")
    try:
        if hierarchies.v2 and hierarchies.unified is not None:
            directory = hierarchies.unified / below
            cpu = _field(directory / "cpu.stat", "usage_usec") * 1000
            used = _number(directory / "memory.current")
            idle = _field(directory / "memory.stat", "inactive_file")
        else:
            cpu = _number(hierarchies.controllers["cpuacct"] / below / "cpuacct.usage")
            directory = hierarchies.controllers["memory"] / below
            used = _number(directory / "memory.usage_in_bytes")
            idle = _field(directory / "memory.stat", "total_inactive_file")
    except (OSError, ValueError, KeyError):
        return None
    return Usage(cpu, max(used - idle, 0))


def of_node(proc: Path = Path("/proc")) -> Usage:
    """Of the whole machine."""
    ticks = (proc / "stat").read_text().split("\n", 1)[0].split()[1:]
    memory = {
        line.split(":")[0]: int(line.split()[1]) << 10 for line in (proc / "meminfo").read_text().splitlines()
    }
    used = memory["MemTotal"] - memory["MemFree"] - memory.get("Inactive(file)", 0)
    return Usage(sum(int(ticks[index]) for index in _BUSY) * _TICK, max(used, 0))


def _number(path: Path) -> int:
    return int(path.read_text())


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    raise ValueError(f"{path} does not tell {name}")
