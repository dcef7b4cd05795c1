"""Stopping a container: asking first, then killing its init, then its group, at last the shim.

The time the pod's containers get is one for all of them: it runs from the first that is asked to end, and
starts anew only when somebody shortens or lengthens it.
"""

from __future__ import annotations

import asyncio
import signal

from edgevirt.api.core import Container
from edgevirt.engine.kubelet.resident import Live, Resident

_KILL_SECONDS = 10.0


async def stop(resident: Resident, container: Container, *, unhealthy: bool) -> None:
    """Ask the container to end, and make it end when its time is up. `unhealthy`: the pod goes on."""
    name, clock = container.name, resident.services.clock
    record, live = resident.record.container(name), resident.live(name)
    attempt = resident.attempt(name)
    grace = float(resident.grace())
    if not unhealthy:
        resident.stop_by = resident.stop_by or clock.monotonic() + grace
        grace = max(resident.stop_by - clock.monotonic(), 0.0)
    resident.normal("Killing", f"Stopping container {name}")
    if not live.ended.is_set():  # a run taken over while the runtime was still making the container
        await resident.services.runtime.begun(attempt, timeout=_KILL_SECONDS)
    init = attempt.init()
    if init is not None and grace > 0:
        init.send(_signal(record.stop_signal))
        if await _ends_within(live, grace):
            return
    if init is not None:
        init.send(signal.SIGKILL)
    if await _ends_within(live, _KILL_SECONDS):
        return
    resident.cgroup.kill(attempt.child)
    if await _ends_within(live, _KILL_SECONDS):
        return
    if record.shim:
        record.shim.send(signal.SIGKILL)
    await _ends_within(live, _KILL_SECONDS)


async def _ends_within(live: Live, seconds: float) -> bool:
    if live.ended.is_set():
        return True
    try:
        async with asyncio.timeout(seconds):
            await live.ended.wait()
    except TimeoutError:
        return False
    return True


def _signal(name: str) -> signal.Signals:
    """The image's stop signal, by name or number; SIGTERM for none and for nonsense."""
    if not name:
        return signal.SIGTERM
    try:
        return signal.Signals(int(name)) if name.isdigit() else signal.Signals[name.upper()]
    except (ValueError, KeyError):
        return signal.SIGTERM
