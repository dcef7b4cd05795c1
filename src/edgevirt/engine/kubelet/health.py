"""What the probes of a running container mean for it: started, ready, or to be restarted."""

from __future__ import annotations

import asyncio

from edgevirt.api.core import Container
from edgevirt.engine.kubelet import probes
from edgevirt.engine.kubelet.resident import Live, Resident
from edgevirt.engine.kubelet.runtime import Attempt


async def probe(resident: Resident, container: Container, attempt: Attempt, live: Live) -> None:
    """Probe until cancelled; readiness and liveness begin when the startup probe has passed."""
    clock = resident.services.clock
    address = resident.record.addresses[0] if resident.record.addresses else "127.0.0.1"

    async def execute(argv: tuple[str, ...], timeout: float) -> tuple[int | None, bytes]:
        return await resident.services.runtime.execute(attempt, argv, timeout=timeout)

    def unhealthy(kind: str, message: str) -> None:
        resident.warning("Unhealthy", f"{kind} probe failed: {message}")

    def readiness(good: bool, message: str) -> None:
        live.ready = good
        if not good:
            unhealthy("Readiness", message)
        resident.noticed()

    def fatal(kind: str, good: bool, message: str) -> None:
        if good:
            return
        unhealthy(kind, message)
        resident.normal(
            "Killing", f"Container {container.name} failed {kind.lower()} probe, will be restarted"
        )
        live.unhealthy = True
        resident.noticed()

    if startup := container.startup_probe:
        check = probes.checker(startup, container, address, execute)
        await probes.watch(startup, check, lambda g, m: fatal("Startup", g, m), clock, once=True)
        live.started = True
        live.ready = container.readiness_probe is None
        resident.noticed()
    async with asyncio.TaskGroup() as tasks:
        if ready := container.readiness_probe:
            check = probes.checker(ready, container, address, execute)
            tasks.create_task(probes.watch(ready, check, readiness, clock))
        if alive := container.liveness_probe:
            check = probes.checker(alive, container, address, execute)
            tasks.create_task(probes.watch(alive, check, lambda g, m: fatal("Liveness", g, m), clock))
