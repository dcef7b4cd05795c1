"""What the probes of a running container mean for it: started, ready, or to be restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

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

    def failing(kind: str) -> Callable[[str], None]:
        return lambda message: resident.warning(
            "Unhealthy", f"{kind} probe failed: {message}", container.name
        )

    def readiness(good: bool, message: str) -> None:
        live.ready = good
        resident.noticed()

    def fatal(kind: str) -> Callable[[bool, str], None]:
        def verdict(good: bool, message: str) -> None:
            if not good:
                live.unhealthy = kind
                resident.noticed()

        return verdict

    if startup := container.startup_probe:
        check = probes.checker(startup, container, address, execute)
        await probes.watch(startup, check, fatal("startup"), clock, failed=failing("Startup"), once=True)
        live.started = True
        live.ready = container.readiness_probe is None
        resident.noticed()
    async with asyncio.TaskGroup() as tasks:
        if ready := container.readiness_probe:
            check = probes.checker(ready, container, address, execute)
            tasks.create_task(probes.watch(ready, check, readiness, clock, failed=failing("Readiness")))
        if alive := container.liveness_probe:
            check = probes.checker(alive, container, address, execute)
            watching = probes.watch(alive, check, fatal("liveness"), clock, failed=failing("Liveness"))
            tasks.create_task(watching)
