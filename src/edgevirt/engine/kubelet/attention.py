"""Whether a container's first process would notice a signal yet.

To the first process of a pid namespace the kernel gives no default action: a signal that it neither handles
nor blocks is dropped, as if it had never been sent. So a container that is asked to end right after its
start, while the runtime has not executed its program or the program has not set up its handlers, would hear
nothing and be killed when its whole grace period is over. The question is therefore put when it can be heard.

Nothing in the kernel tells when a handler is set up. So we look, less and less often, and only at containers
that are young; an older one that has no handler will not have one.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from edgevirt.engine.kubelet.processes import Process

YOUNG_SECONDS = 10.0
_FIRST_LOOK, _LONGEST = 0.005, 0.1
_FORKED_NOT_EXECUTED = 0x40


async def attentive(process: Process, number: int, seconds: float) -> None:
    """Return when `process` would notice the signal, has ended, or after `seconds`."""
    loop = asyncio.get_running_loop()
    until, pause = loop.time() + seconds, _FIRST_LOOK
    while process.alive() and not _heeds_now(process.pid, number) and loop.time() < until:
        await asyncio.sleep(min(pause, max(until - loop.time(), 0.0)))
        pause = min(pause * 2, _LONGEST)


def _heeds_now(pid: int, number: int) -> bool:
    directory = Path("/proc", str(pid))
    try:
        return heeds((directory / "status").read_text(), (directory / "stat").read_text(), number)
    except (OSError, ValueError):
        return True  # it is gone, or was replaced: there is nothing to wait for


def heeds(status: str, stat: str, number: int) -> bool:
    """From /proc/<pid>/status and stat: whether signal `number` would have an effect. Pure."""
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    if fields.get("NSpid", "").split()[-1:] != ["1"]:
        return True  # not the first of its namespace: the default action applies
    if int(stat.rpartition(")")[2].split()[6]) & _FORKED_NOT_EXECUTED:
        return False
    bit = 1 << (number - 1)
    return any(int(fields.get(mask, "0"), 16) & bit for mask in ("SigCgt", "SigBlk"))
