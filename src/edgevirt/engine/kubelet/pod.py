"""One pod on this node: asks the plan what to do and does it, until nothing of the pod is left.

Three tasks belong to a pod: the loop that plans and acts, one that reports, one per running container
(and probe) that watches. Everything that happens sets one event, and the loop looks again. An action that
is under way when the pod's deletion is asked for is cancelled; whatever it has made is found by the release.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgevirt.api.core import Pod
from edgevirt.engine.kubelet import accounting, plan, recovery, stdio, stopping
from edgevirt.engine.kubelet.cgroups import PodCgroup
from edgevirt.engine.kubelet.preparation import prepare
from edgevirt.engine.kubelet.release import forget, release
from edgevirt.engine.kubelet.reporting import Reporter
from edgevirt.engine.kubelet.resident import Resident, grace_of
from edgevirt.engine.kubelet.resource_metrics import Measured
from edgevirt.engine.kubelet.runtime import Attempt, Runtime
from edgevirt.engine.kubelet.sandbox import kinds
from edgevirt.engine.kubelet.services import Services
from edgevirt.engine.kubelet.starting import start
from edgevirt.engine.kubelet.state import PodRecord
from edgevirt.engine.kubelet.upkeep import look_after


class PodWorker:
    """Runs one pod from first sight to its end. `run()` returns when nothing of the pod is left."""

    def __init__(self, services: Services, pod: Pod, record: PodRecord | None) -> None:
        self._services = services
        self._resident = Resident(services, pod, record)
        self._reporter = Reporter(self._resident)

    @property
    def uid(self) -> str:
        return self._resident.uid

    @property
    def pod(self) -> Pod:
        """The object as the API last told it."""
        return self._resident.pod

    @property
    def record(self) -> PodRecord:
        """What is on disk about the pod."""
        return self._resident.record

    @property
    def deleting(self) -> bool:
        return self._resident.deleting

    def now(self) -> float:
        """Unix time by the pod's clock."""
        return self._resident.now()

    def update(self, pod: Pod | None) -> None:
        """The API has a newer object, or (None) has it no longer."""
        resident = self._resident
        if pod is None:
            resident.vanished = True
        else:
            if pod.metadata.deletion_timestamp and grace_of(pod) != resident.grace():
                resident.stop_by = None
            resident.pod = pod
        resident.changed.set()
        resident.report.set()

    def log_of(self, name: str, *, previous: bool = False) -> tuple[Path, asyncio.Event] | None:
        """The log of the container's current (or previous) run and the event of its end."""
        record = self.record.containers.get(name)
        number = (record.attempt if record else 0) - (1 if previous else 0)
        if number < 1:
            return None
        ended = asyncio.Event()
        if previous or not (record and record.running):
            ended.set()
        else:
            ended = self._resident.live(name).ended
        return self._resident.attempt(name, number).log, ended

    def place_of(self, name: str) -> tuple[Runtime, Attempt, PodCgroup] | None:
        """Where the container's current run can be entered; None while it does not run."""
        record = self.record.containers.get(name)
        if record is None or not record.running:
            return None
        attempt = self._resident.attempt(name)
        return (self._services.runtime, attempt, self._resident.cgroup) if attempt.started() else None

    def console_of(self, name: str) -> stdio.Console:
        """How to talk to the container's current run. A terminal is never closed to it."""
        container, attempt = self._resident.container(name), self._resident.attempt(name)
        init = attempt.init()

        def end() -> None:
            stdio.end_input(attempt.directory, self._resident.cgroup.shims())

        return stdio.Console(
            attempt.directory,
            stdin=bool(container.stdin),
            once=bool(container.stdin_once) and not container.tty,
            tty=bool(container.tty),
            leader=init.pid if init else None,
            end=end,
        )

    def measured(self) -> list[Measured]:
        """What the pod and its running containers use, the pod first; [] when nothing of it runs."""
        services, group, meta = self._services, self._resident.cgroup, self.pod.metadata

        def one(container: str, path: str, started: float) -> Iterator[Measured]:
            usage = accounting.of_group(services.hierarchies, path)
            if usage is not None:
                yield Measured(meta.namespace, meta.name, meta.uid, container, usage, self.now(), started)

        found: list[Measured] = []
        for name, record in self.record.containers.items():
            if record.running:
                child = self._resident.attempt(name).child
                found += one(name, f"{group.path}/{child}", record.started_at)
        return [*one("", group.path, self.record.started_at), *found] if found else []

    @property
    def services(self) -> Services:
        """What the pod's kubelet shares among its pods."""
        return self._services

    def network_namespace(self) -> Path | None:
        """The file of the pod's network namespace; None for a pod in the machine's."""
        shared = "net" not in kinds(self.pod)
        return None if shared else self._services.sandbox_dir(self.uid) / "net"

    async def run(self) -> None:
        """Until the pod is gone. Cancelling leaves its containers running for the next kubelet."""
        resident = self._resident
        try:
            async with asyncio.TaskGroup() as tasks:
                resident.tasks = tasks
                recovery.begin(resident)
                reporter = tasks.create_task(self._reporter.run(), name=f"report {self.uid}")
                upkeep = tasks.create_task(look_after(resident), name=f"upkeep {self.uid}")
                await self._loop()
                reporter.cancel()
                upkeep.cancel()
        finally:
            resident.stop_watching()

    async def _loop(self) -> None:
        resident, clock = self._resident, self._services.clock
        while not resident.forgotten:
            resident.changed.clear()
            actions = plan.plan(resident.pod, resident.observe(), clock.monotonic())
            steps = [a for a in actions if not isinstance(a, plan.WaitUntil)]
            moments = [a.moment for a in actions if isinstance(a, plan.WaitUntil)]
            resident.report.set()
            if steps:
                await self._do(steps)
                continue
            timer = None
            if moments:
                timer = clock.call_later(max(min(moments) - clock.monotonic(), 0.0), resident.changed.set)
            try:
                await resident.changed.wait()
            finally:
                if timer:
                    timer.cancel()

    async def _do(self, steps: Sequence[plan.Action]) -> None:
        """Run the steps together; stop waiting for them when the deletion is asked for meanwhile."""
        resident = self._resident
        was_ending, stop_by = self._ending(), resident.stop_by
        work = asyncio.ensure_future(self._all(steps))
        try:
            while not work.done():
                changed = asyncio.ensure_future(resident.changed.wait())
                await asyncio.wait({work, changed}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                resident.changed.clear()
                if self._ending() != was_ending or (stop_by is not None and resident.stop_by is None):
                    break
        finally:
            if not work.done():
                work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work

    def _ending(self) -> bool:
        return self._resident.deleting or bool(self._resident.record.failure)

    async def _all(self, steps: Sequence[plan.Action]) -> None:
        await asyncio.gather(*(self._one(step) for step in steps))

    async def _one(self, step: plan.Action) -> None:
        resident = self._resident
        match step:
            case plan.Prepare():
                await prepare(resident)
            case plan.Start(container=name):
                await start(resident, resident.container(name))
            case plan.Stop(container=name, unhealthy=True):
                await stopping.restart(resident, resident.container(name))
            case plan.Stop(container=name, after=after):
                await stopping.end(resident, resident.container(name), after)
            case plan.Release():
                await release(resident)
            case plan.Forget():
                await self._reporter.last_words()
                await forget(resident)
