"""Attending a running container: noticing its end, keeping its log, probing it; and what its end means.

Every run ends in a record with exit code, reason and last words, even when the machine was restarted or the
shim that knew the code was killed. A container that fails quickly again and again waits longer each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from edgevirt.api.core import Container
from edgevirt.engine.kubelet import container as containers
from edgevirt.engine.kubelet import health, plan, wording
from edgevirt.engine.kubelet.oom import OomWatch
from edgevirt.engine.kubelet.processes import Process
from edgevirt.engine.kubelet.resident import Live, Resident, restart_delay
from edgevirt.engine.kubelet.runtime import Attempt
from edgevirt.engine.kubelet.state import ContainerRecord, ExitRecord

log = logging.getLogger("edgevirt.kubelet")

UNKNOWN_EXIT = "ContainerStatusUnknown"
_LONG_RUN = 600.0
"""Seconds after which a run counts as a success of its kind: the next failure is the first one again."""
_MAX_WORDS = 4096
_MAX_LOG, _MAX_LINES = 2048, 80
"""How much of a log stands in for last words."""


def attend(
    resident: Resident,
    container: Container,
    attempt: Attempt,
    process: Process,
    oom: OomWatch | None = None,
    *,
    hook: bool = False,
) -> None:
    """Watch a running container from now on: its end, its log, its probes.

    `hook`: its postStart hook is still to be run; until `hook_done` it is neither running for the API nor
    probed.
    """
    assert resident.tasks
    name = container.name
    before = resident.live(name)
    for task in before.watchers:
        task.cancel()
    live = Live(process=process, retry_at=before.retry_at, failures=before.failures, hook=hook)
    resident.containers[name] = live
    live.oom = oom or OomWatch(resident.cgroup, attempt.child)
    with contextlib.suppress(FileNotFoundError):
        resident.services.logs.keep(attempt.log)
    live.watchers.append(resident.tasks.create_task(_watch_end(resident, container, attempt, process)))
    if hook:
        live.waiting = before.waiting if before.waiting[0] else live.waiting
        return
    _begin(resident, container, attempt, live)


def hook_done(resident: Resident, container: Container, attempt: Attempt) -> None:
    """The postStart hook of an attended container is done."""
    live = resident.live(container.name)
    live.hook = False
    _begin(resident, container, attempt, live)


def _begin(resident: Resident, container: Container, attempt: Attempt, live: Live) -> None:
    """From now on the container counts as running."""
    assert resident.tasks
    live.ready = container.readiness_probe is None and container.startup_probe is None
    live.started = container.startup_probe is None
    if any((container.readiness_probe, container.liveness_probe, container.startup_probe)):
        probing = health.probe(resident, container, attempt, live)
        live.watchers.append(resident.tasks.create_task(probing))
    if all(resident.record.container(c.name).attempt for c in containers.names_in_order(resident.pod)):
        resident.urgent.set()  # before, the next container's start will be told with this one's
    resident.changed.set()


async def _watch_end(resident: Resident, container: Container, attempt: Attempt, process: Process) -> None:
    await process.ended()
    if attempt.exit_code() is None and (init := attempt.init()):
        log.error(
            "shim of a container was killed; its exit code will be unknown",
            extra={"pod": resident.key, "container": container.name},
        )
        await init.ended()
    if attempt.started():
        ended(resident, container, attempt)
    elif attempt.exit_code() is None:
        never_ran(resident.record.container(container.name))
        live = resident.live(container.name)
        live.ended.set()
        if live.oom:
            live.oom.close()
        resident.save()
        resident.changed.set()
    else:
        ended(resident, container, attempt, failure=resident.services.runtime.complaint(attempt.runtime_log))


def never_ran(record: ContainerRecord) -> None:
    """The shim was recorded and told nothing: the run that was to be did not take place."""
    record.attempt -= 1
    record.exit, record.shim_pid = record.last_exit if record.attempt else None, 0


def ended(
    resident: Resident, container: Container, attempt: Attempt, *, lost: bool = False, failure: str = ""
) -> None:
    """Write down how the run ended and clean up after it.

    `lost`: with the machine's last boot; `failure`: why it never began.
    """
    services, name = resident.services, container.name
    record, live = resident.record.container(name), resident.live(name)
    finished, code, reason, message = _verdict(resident, container, attempt, lost, failure)
    record.exit = ExitRecord(code, reason, message, record.started_at, finished, record.container_id)
    record.shim_pid = 0
    quick = resident.now() - record.started_at < _LONG_RUN
    record.quick_failures = record.quick_failures + 1 if quick else 0
    delay = restart_delay(record.quick_failures - 1) if record.quick_failures > 1 else 0.0
    live.ready = live.started = live.hook = False
    live.unhealthy = ""
    live.retry_at = services.clock.monotonic() + delay
    live.waiting = ("", "")
    if delay and not resident.deleting and _restarts(resident, container, code):
        pod, time = wording.pod_name(resident.pod), wording.duration(delay)
        text = f"back-off {time} restarting failed container={name} pod={pod}"
        live.waiting = ("CrashLoopBackOff", text)
        resident.warning("BackOff", f"Back-off restarting failed container {name} in pod {pod}", name)
    live.ended.set()
    current = asyncio.current_task() if resident.tasks else None
    for task in live.watchers:
        if task is not current:
            task.cancel()
    live.watchers = []
    resident.save()
    if resident.tasks:
        resident.tasks.create_task(services.blocking(containers.finish, services, resident.cgroup, attempt))
    resident.noticed()
    log.info(
        "container ended",
        extra={"pod": resident.key, "container": name, "code": code, "reason": reason},
    )


def _verdict(
    resident: Resident, container: Container, attempt: Attempt, lost: bool, failure: str
) -> tuple[float, int, str, str]:
    """When the run ended, its exit code, reason and message."""
    live = resident.live(container.name)
    known = attempt.exit_code()
    oom = live.oom.killed() if live.oom else False
    code, finished = known if known else (137, resident.now())
    if failure:
        return finished, 128, "StartError", failure
    if lost:
        return finished, 255, "Unknown", "The machine was restarted while the container ran"
    if known is None:
        return finished, code, UNKNOWN_EXIT, "The process that waits for the container was killed"
    reason = "Completed" if code == 0 else "OOMKilled" if oom else "Error"
    return finished, code, reason, _last_words(container, attempt, code)


def _restarts(resident: Resident, container: Container, code: int) -> bool:
    spec = resident.pod.spec
    if spec and container in spec.init_containers and not plan.is_sidecar(container):
        return code != 0 and spec.restart_policy != "Never"
    return plan.is_sidecar(container) or plan.restarts(resident.pod, code)


def _last_words(container: Container, attempt: Attempt, code: int) -> str:
    """The termination message: the file, or the log's end when the pod asks for that after a failure."""
    words = _tail(attempt.directory / containers.TERMINATION_LOG, _MAX_WORDS)
    if not words and code != 0 and container.termination_message_policy == "FallbackToLogsOnError":
        words = "".join(_tail(attempt.log, _MAX_LOG).splitlines(keepends=True)[-_MAX_LINES:])
    return words


def _tail(path: Path, most: int) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - most, 0))
            return file.read(most).decode(errors="replace")
    except OSError:
        return ""
