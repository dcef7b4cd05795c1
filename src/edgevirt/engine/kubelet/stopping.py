"""Stopping a container: its hook, then asking, then killing its init, then its group, at last the shim.

The time the pod's containers get is one for all of them: it runs from the first that is asked to end, and
starts anew only when somebody shortens or lengthens it. The preStop hook spends of it, and so does a sidecar
that waits for the containers it serves; whoever has spent it all still gets two seconds before the kill.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

from edgevirt.api.core import Container
from edgevirt.engine.kubelet import hooks
from edgevirt.engine.kubelet.attention import YOUNG_SECONDS, attentive
from edgevirt.engine.kubelet.processes import Process
from edgevirt.engine.kubelet.resident import Live, Resident
from edgevirt.engine.kubelet.runtime import Attempt

_KILL_SECONDS = 10.0
_LEAST_SECONDS = 2.0


async def end(resident: Resident, container: Container, after: Sequence[str] = ()) -> None:
    """Stop a container of a pod that ends, when those in `after` have ended or the time is up."""
    clock = resident.services.clock
    resident.stop_by = resident.stop_by or clock.monotonic() + resident.grace()
    message = f"Stopping container {container.name}"
    await _stop(resident, container, max(resident.stop_by - clock.monotonic(), 0.0), message, after)


async def restart(resident: Resident, container: Container) -> None:
    """Stop a container that a probe found unhealthy; the pod goes on."""
    kind = resident.live(container.name).unhealthy
    probe = container.startup_probe if kind == "startup" else container.liveness_probe
    grace = probe.termination_grace_period_seconds if probe else None
    message = f"Container {container.name} failed {kind} probe, will be restarted"
    await _stop(resident, container, float(resident.grace() if grace is None else grace), message)


async def give_up(resident: Resident, container: Container) -> None:
    """Stop a container whose postStart hook failed."""
    await _stop(resident, container, float(resident.grace()), "FailedPostStartHook")


async def _stop(
    resident: Resident, container: Container, grace: float, message: str, after: Sequence[str] = ()
) -> None:
    name, clock = container.name, resident.services.clock
    record, live = resident.record.container(name), resident.live(name)
    attempt = resident.attempt(name)
    stop_by = clock.monotonic() + grace
    resident.normal("Killing", message, name)
    if not live.ended.is_set():  # a run taken over while the runtime was still making the container
        await resident.services.runtime.begun(attempt, timeout=_KILL_SECONDS)
    init = attempt.init()
    if init is not None and grace > 0:
        await _warn(resident, container, attempt, live, stop_by)
        await _ended_before(resident, after, stop_by)
        number = _signal(record.stop_signal)
        young = record.started_at + YOUNG_SECONDS - resident.now()
        await _attentive(init, number, live, min(young, stop_by - clock.monotonic()))
        init.send(number)
        if await _ends_within(live, max(stop_by - clock.monotonic(), _LEAST_SECONDS)):
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


async def _warn(
    resident: Resident, container: Container, attempt: Attempt, live: Live, stop_by: float
) -> None:
    """Run the preStop hook, not longer than the container has."""
    hook = container.lifecycle.pre_stop if container.lifecycle else None
    if hook is None or live.warned or live.ended.is_set():
        return
    left = stop_by - resident.services.clock.monotonic()
    try:
        async with asyncio.timeout(max(left, 0.0)):
            await hooks.run(resident, container, attempt, hook)
    except hooks.HookFailed as error:
        resident.hook_failed("PreStop", container, str(error))
    except TimeoutError:
        resident.hook_failed("PreStop", container, f"it took longer than {left:.0f} s", told=False)
    live.warned = True


async def _ended_before(resident: Resident, names: Sequence[str], stop_by: float) -> None:
    """Wait until the containers have ended, or the time is up."""
    for name in names:
        if resident.record.container(name).running:
            await _ends_within(resident.live(name), stop_by - resident.services.clock.monotonic())


async def _attentive(init: Process, number: int, live: Live, seconds: float) -> None:
    """Wait until the container can hear that it is to end, not longer than `seconds`."""
    if seconds <= 0 or live.ended.is_set():
        return
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(attentive(init, number, seconds))
        ending = tasks.create_task(live.ended.wait())
        await asyncio.wait({listening, ending}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        ending.cancel()


async def _ends_within(live: Live, seconds: float) -> bool:
    if live.ended.is_set():
        return True
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await live.ended.wait()
    except TimeoutError:
        return False
    return True


def _signal(name: str) -> int:
    """A stop signal, by name ("SIGRTMIN+3" too) or number; SIGTERM for none and for nonsense."""
    base, _, more = name.upper().partition("+")
    try:
        number = int(base) if base.isdigit() else signal.Signals[base].value if base else signal.SIGTERM
        return number + int(more or 0)
    except (ValueError, KeyError):
        return signal.SIGTERM
