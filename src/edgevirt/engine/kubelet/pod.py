"""One pod on this node: asks the plan what to do, does it, tells the API server how it is.

Three tasks belong to a pod: the loop that plans and acts, one that reports, one per running container
(and probe) that watches. Everything that happens sets one event, and the loop looks again. An action that
is under way when the pod's deletion is asked for is cancelled; whatever it has made is found by the release.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgevirt.api import resources as api
from edgevirt.api.core import Container, Pod
from edgevirt.engine.kubelet import container as containers
from edgevirt.engine.kubelet import plan, probes, refusal, sandbox, state, status
from edgevirt.engine.kubelet.cni import CniError
from edgevirt.engine.kubelet.container import ConfigError, Launch, attempt_of
from edgevirt.engine.kubelet.fields import UnknownField
from edgevirt.engine.kubelet.oom import OomWatch
from edgevirt.engine.kubelet.plan import Seen, State
from edgevirt.engine.kubelet.processes import Process, boot_id
from edgevirt.engine.kubelet.references import MissingReference, References, Token
from edgevirt.engine.kubelet.resources import of_container
from edgevirt.engine.kubelet.runtime import Attempt, StartFailed
from edgevirt.engine.kubelet.services import Services
from edgevirt.engine.kubelet.state import ContainerRecord, ExitRecord, PodRecord
from edgevirt.engine.kubelet.volumes import prepare
from edgevirt.engine.kubelet.volumes.content import BadVolume
from edgevirt.kube.client import PatchType
from edgevirt.kube.errors import Conflict, KubeError, NotFound
from edgevirt.storage.images.errors import ImageError
from edgevirt.storage.images.store import Image, PullPolicy

log = logging.getLogger("edgevirt.kubelet")

_BACKOFF_FIRST = 10.0
_BACKOFF_MOST = 300.0
_LONG_RUN = 600.0
_SETTLE = 1.0
_RETRY_REPORT = 2.0
_REFRESH = 60.0
_MAX_WORDS = 4096
_UNKNOWN_EXIT = "ContainerStatusUnknown"


@dataclasses.dataclass(slots=True)
class Live:
    """What is known of a container only while this process runs."""

    process: Process | None = None
    ended: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    watchers: list[asyncio.Task[None]] = dataclasses.field(default_factory=list)
    oom: OomWatch | None = None
    ready: bool = False
    started: bool = False
    unhealthy: bool = False
    retry_at: float = 0.0
    failures: int = 0
    waiting: tuple[str, str] = ("ContainerCreating", "")


class PodWorker:
    """Runs one pod from first sight to its end. `run()` returns when nothing of the pod is left."""

    def __init__(self, services: Services, pod: Pod, record: PodRecord | None) -> None:
        self._services = services
        self.pod = pod
        self.uid = pod.metadata.uid
        self._directory = services.pod_dir(self.uid)
        self._adopted = record is not None
        self.record = record or PodRecord(pod=pod, boot_id=boot_id())
        self._live: dict[str, Live] = {}
        self._volumes: dict[str, prepare.Prepared] = {}
        self._prepared = False
        self._vanished = False
        self._prepare_failures = 0
        self._prepare_retry = 0.0
        self._stop_by: float | None = None
        self._forgotten = False
        self._changed = asyncio.Event()
        self._report = asyncio.Event()
        self._urgent = asyncio.Event()
        self._published: dict[str, Any] | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._spent: dict[str, float] = {}
        self._tokens: dict[tuple[str, int], Token] = {}

    # -- from outside

    def update(self, pod: Pod | None) -> None:
        """The API has a newer object, or (None) has it no longer."""
        if pod is None:
            self._vanished = True
        else:
            if pod.metadata.deletion_timestamp and _grace(pod) != _grace(self.pod):
                self._stop_by = None
            self.pod = pod
        self._changed.set()
        self._report.set()

    @property
    def deleting(self) -> bool:
        return self._vanished or bool(self.pod.metadata.deletion_timestamp)

    def now(self) -> float:
        """Unix time by the pod's clock."""
        return self._now()

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
            ended = self._of(name).ended
        return attempt_of(self._services, self.pod, name, number).log, ended

    async def run(self) -> None:
        """Until the pod is gone. Cancelling leaves its containers running for the next kubelet."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._take_over()
                reporter = tasks.create_task(self._reporting(), name=f"report {self.uid}")
                refresher = tasks.create_task(self._refreshing(), name=f"refresh {self.uid}")
                await self._loop(tasks)
                reporter.cancel()
                refresher.cancel()
        finally:
            for live in self._live.values():
                for task in live.watchers:
                    task.cancel()
            for name, record in self.record.containers.items():
                if record.attempt:
                    self._services.logs.drop(attempt_of(self._services, self.pod, name, record.attempt).log)

    # -- the loop

    async def _loop(self, tasks: asyncio.TaskGroup) -> None:
        clock = self._services.clock
        while not self._forgotten:
            self._changed.clear()
            actions = plan.plan(self.pod, self._observe(), clock.monotonic())
            steps = [a for a in actions if not isinstance(a, plan.WaitUntil)]
            moments = [a.moment for a in actions if isinstance(a, plan.WaitUntil)]
            self._report.set()
            if steps:
                await self._do(steps)
                continue
            timer = None
            if moments:
                timer = clock.call_later(max(min(moments) - clock.monotonic(), 0.0), self._changed.set)
            try:
                await self._changed.wait()
            finally:
                if timer:
                    timer.cancel()

    async def _do(self, steps: Sequence[plan.Action]) -> None:
        """Run the steps together; stop waiting for them when the deletion is asked for meanwhile."""
        was_ending, stop_by = self.deleting or bool(self.record.failure), self._stop_by
        work = asyncio.ensure_future(self._all(steps))
        try:
            while not work.done():
                changed = asyncio.ensure_future(self._changed.wait())
                await asyncio.wait({work, changed}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                self._changed.clear()
                ending = self.deleting or bool(self.record.failure)
                if ending != was_ending or (stop_by is not None and self._stop_by is None):
                    break
        finally:
            if not work.done():
                work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work

    async def _all(self, steps: Sequence[plan.Action]) -> None:
        await asyncio.gather(*(self._one(step) for step in steps))

    async def _one(self, step: plan.Action) -> None:
        match step:
            case plan.Prepare():
                await self._prepare()
            case plan.Start(container=name):
                await self._start(self._container(name))
            case plan.Stop(container=name, unhealthy=unhealthy):
                await self._stop(self._container(name), unhealthy=unhealthy)
            case plan.Release():
                await self._release()
            case plan.Forget():
                await self._forget()

    def _observe(self) -> plan.Observed:
        seen = {}
        for name, record in self.record.containers.items():
            live = self._of(name)
            if record.running:
                where = State.RUNNING
            elif record.exit is not None:
                where = State.EXITED
            else:
                where = State.NEW
            code = record.exit.code if record.exit else 0
            seen[name] = Seen(where, code, live.started, live.unhealthy, live.retry_at)
        return plan.Observed(
            prepared=self._prepared,
            held=self.record.sandbox,
            deleting=self.deleting,
            failed=bool(self.record.failure),
            retry_at=self._prepare_retry,
            containers=seen,
        )

    # -- taking over

    def _take_over(self) -> None:
        """Make memory agree with what is on disk and in the kernel."""
        if not self._adopted:
            self._admit()
            return
        self.record.pod = self.pod
        same_boot = self.record.boot_id == boot_id()
        alive = same_boot and sandbox.complete(self._services, self.pod) and bool(self.record.addresses)
        for name, record in self.record.containers.items():
            attempt = attempt_of(self._services, self.pod, name, record.attempt)
            if not record.running:
                self._of(name).waiting = ("", "")
                containers.finish(self._services, self._services.cgroup(self.uid), attempt)
                continue
            process = (record.shim or attempt.init()) if same_boot else None
            if process and not process.alive():
                process = attempt.init()
            if process:
                self._attend(self._container(name), attempt, process)
            elif same_boot and not attempt.started() and attempt.exit_code() is None:
                self._never_ran(record)
            else:
                self._ended(self._container(name), attempt, lost=not same_boot)
        if alive:
            self._prepared = True
        elif self.record.sandbox:
            self._sandbox_lost(same_boot)
        self.record.boot_id = boot_id()
        self._save()

    def _admit(self) -> None:
        """First sight: refuse what cannot be run; a pod that ran before without a record has lost it."""
        self.record.started_at = self._now()
        if self.deleting:
            return
        reasons = refusal.refusals(self.pod)
        if missing := refusal.missing_devices(self.pod, frozenset(self._services.devices.capacity())):
            reasons = (*reasons, f"this node does not provide {', '.join(missing)}")
            self._fail("UnexpectedAdmissionError", "; ".join(reasons))
        elif reasons:
            self._fail(refusal.REASON, "; ".join(reasons))
        before = {s.name: s for s in (self.pod.status.container_statuses if self.pod.status else ())}
        for name, told in before.items():
            if told.container_id:
                record = self.record.container(name)
                record.attempt = (told.restart_count or 0) + 1
                record.container_id = told.container_id.rpartition("/")[2]
                record.exit = ExitRecord(
                    137,
                    _UNKNOWN_EXIT,
                    "The container could not be located when the node agent looked for it",
                    finished_at=self._now(),
                )
                self._of(name).waiting = ("", "")

    def _sandbox_lost(self, same_boot: bool) -> None:
        """The namespaces are gone (reboot) or were never complete: what ran is over, init starts anew."""
        for name, record in self.record.containers.items():
            if record.running:
                attempt = attempt_of(self._services, self.pod, name, record.attempt)
                self._ended(self._container(name), attempt, lost=not same_boot)
        observed = self._observe()
        if plan.outcome(self.pod, observed) is None:
            for c in self.pod.spec.init_containers if self.pod.spec else ():
                if done := self.record.containers.get(c.name):
                    self.record.containers[c.name] = ContainerRecord(last_exit=done.exit or done.last_exit)

    # -- preparing

    async def _prepare(self) -> None:
        begun = self._services.clock.monotonic()
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        if self._adopted and self.record.sandbox:
            await self._release()
        self.record.sandbox = True
        self._save()
        context = self._context()
        volumes = self.pod.spec.volumes if self.pod.spec else ()
        late = any(prepare.needs_addresses(volume) for volume in volumes)
        try:
            if late:
                self.record.addresses = await sandbox.make(self._services, self.pod)
                prepared = await prepare.prepare(self._context(), self._services.images)
            else:
                made, prepared = await asyncio.gather(
                    sandbox.make(self._services, self.pod), prepare.prepare(context, self._services.images)
                )
                self.record.addresses = made
        except (CniError, OSError) as error:
            self._prepare_failed("FailedCreatePodSandBox", str(error))
            return
        except ImageError as error:
            self._pull_failed_volume(error)
            return
        except (BadVolume, MissingReference, UnknownField, KubeError, ValueError) as error:
            self._prepare_failed("FailedMount", str(error))
            return
        self._volumes = dict(prepared)
        self._prepared = True
        self._prepare_failures = 0
        self._save()
        self._spent["prepare"] = self._services.clock.monotonic() - begun

    def _prepare_failed(self, reason: str, message: str, waiting: str = "ContainerCreating") -> None:
        self._adopted = True  # what was made halfway is released before the next try
        self._prepare_failures += 1
        delay = min(2.0 ** min(self._prepare_failures - 1, 8), _BACKOFF_MOST)
        self._prepare_retry = self._services.clock.monotonic() + delay
        self._services.events.warning(self.pod, reason, message)
        for name in (c.name for c in containers.names_in_order(self.pod)):
            self._of(name).waiting = (waiting, message)
        log.warning("pod not prepared", extra={"pod": self._key, "reason": reason, "error": message})

    def _pull_failed_volume(self, error: ImageError) -> None:
        self._prepare_failed("Failed", str(error), "ErrImagePull")
        again = self._services.clock.monotonic() + _backoff(self._prepare_failures)
        self._prepare_retry = again
        if self._prepare_failures > 1:
            for live in self._live.values():
                live.waiting = ("ImagePullBackOff", live.waiting[1])

    def _context(self) -> prepare.PodContext:
        references = References(self._services.api, self.pod, self._tokens)
        return prepare.PodContext(
            self.pod, self._directory, references, self._services.node, self.record.addresses
        )

    # -- containers

    async def _start(self, container: Container) -> None:
        services, name = self._services, container.name
        begun = services.clock.monotonic()
        record, live = self.record.container(name), self._of(name)
        context = self._context()
        try:
            if not self._volumes and self.pod.spec and self.pod.spec.volumes:
                self._volumes = dict(await prepare.prepare(context, services.images))
            image = await self._image(container, context.references)
            services.images.hold(image, self.uid)
        except (ImageError, ConfigError) as error:
            self._pull_failed(container, error)
            return
        except (BadVolume, MissingReference, UnknownField, KubeError, OSError) as error:
            self._start_failed(container, "CreateContainerConfigError", str(error))
            return
        if record.exit:
            record.last_exit = record.exit
        launch = Launch(self.pod, container, context.references, self._volumes, self.record.addresses)
        number = record.attempt + 1
        attempt = attempt_of(services, self.pod, name, number)

        def on_shim(shim: Process) -> None:
            services.cgroup(self.uid).adopt_shim(shim.pid)
            record.attempt, record.container_id, record.exit = number, attempt.id, None
            record.shim_pid, record.shim_start = shim.pid, shim.start
            record.started_at = self._now()
            record.image, record.image_id = image.name, image.id
            record.stop_signal = image.config.stop_signal
            self._save()

        group = services.cgroup(self.uid)
        limit = of_container(container.resources).memory
        await services.blocking(group.create_container, attempt.child, limit)
        oom = OomWatch(group, attempt.child)
        try:
            await containers.start(services, launch, image, number, on_shim)
        except BaseException as error:
            oom.close()
            if not self._refused(container, attempt, error):
                raise
            return
        live.failures = 0
        shim = record.shim
        assert shim
        services.events.normal(self.pod, "Created", f"Created container: {name}")
        services.events.normal(self.pod, "Started", f"Started container {name}")
        self._attend(container, attempt, shim, oom)
        self._spent[f"start {name}"] = services.clock.monotonic() - begun
        log.info(
            "container started",
            extra={"pod": self._key, "container": name, "seconds": dict(self._spent)},
        )

    def _refused(self, container: Container, attempt: Attempt, error: BaseException) -> bool:
        """Write down why a container could not be started; False for an error that is not about it."""
        services = self._services
        if isinstance(error, StartFailed):
            record = self.record.container(container.name)
            record.attempt, record.started_at = int(attempt.directory.name), self._now()
            services.events.warning(
                self.pod, "Failed", f"Error: failed to start container {container.name}: {error}"
            )
            self._ended(container, attempt, failure=str(error))
            return True
        if isinstance(error, (ConfigError, MissingReference, UnknownField, KubeError, ValueError)):
            reason = "CreateContainerConfigError"
        elif isinstance(error, (BadVolume, OSError)):
            reason = "CreateContainerError"
        else:
            return False
        containers.finish(services, services.cgroup(self.uid), attempt)
        self._start_failed(container, reason, str(error))
        return True

    async def _image(self, container: Container, references: References) -> Image:
        services = self._services
        policy = containers.pull_policy(container)
        present = services.images.resolve(container.image)
        if present is not None and (present.local or policy is not PullPolicy.ALWAYS):
            if not present.local:
                services.events.normal(
                    self.pod, "Pulled", f'Container image "{container.image}" already present on machine'
                )
            return present
        if policy is PullPolicy.NEVER:
            raise ConfigError(f'Container image "{container.image}" is not present with pull policy of Never')
        services.events.normal(self.pod, "Pulling", f'Pulling image "{container.image}"')
        image = await services.images.pull(container.image, await references.pull_secrets())
        services.events.normal(self.pod, "Pulled", f'Successfully pulled image "{container.image}"')
        return image

    def _pull_failed(self, container: Container, error: Exception) -> None:
        live = self._of(container.name)
        live.failures += 1
        live.retry_at = self._services.clock.monotonic() + _backoff(live.failures)
        if isinstance(error, ConfigError):
            reason = "ErrImageNeverPull"
        elif live.failures > 1:
            reason = "ImagePullBackOff"
        else:
            reason = "ErrImagePull"
        if error.__class__.__name__ == "InvalidImageName":
            reason = "InvalidImageName"
        live.waiting = (reason, str(error))
        self._services.events.warning(
            self.pod, "Failed", f'Failed to pull image "{container.image}": {error}'
        )
        self._services.events.warning(self.pod, "Failed", f"Error: {reason}")
        self._urgent.set()
        self._report.set()

    def _start_failed(self, container: Container, reason: str, message: str) -> None:
        live = self._of(container.name)
        live.failures += 1
        live.retry_at = self._services.clock.monotonic() + min(_backoff(live.failures), 60.0)
        live.waiting = (reason, message)
        self._services.events.warning(self.pod, "Failed", f"Error: {message}")
        log.warning(
            "container not started", extra={"pod": self._key, "container": container.name, "error": message}
        )
        self._urgent.set()

    def _attend(
        self, container: Container, attempt: Attempt, process: Process, oom: OomWatch | None = None
    ) -> None:
        """Watch a running container: its end, its log, its probes."""
        assert self._tasks
        services, name = self._services, container.name
        live = self._of(name)
        for task in live.watchers:
            task.cancel()
        self._live[name] = live = Live(process=process, retry_at=live.retry_at, failures=live.failures)
        live.ready = container.readiness_probe is None
        live.started = container.startup_probe is None
        if container.startup_probe:
            live.ready = False
        live.oom = oom or OomWatch(services.cgroup(self.uid), attempt.child)
        with contextlib.suppress(FileNotFoundError):
            services.logs.keep(attempt.log)
        live.watchers.append(self._tasks.create_task(self._watch_end(container, attempt, process)))
        if any((container.readiness_probe, container.liveness_probe, container.startup_probe)):
            live.watchers.append(self._tasks.create_task(self._probing(container, attempt, live)))
        if all(self.record.container(c.name).attempt for c in containers.names_in_order(self.pod)):
            self._urgent.set()  # before, the next container's start will be told with this one's
        self._changed.set()

    async def _watch_end(self, container: Container, attempt: Attempt, process: Process) -> None:
        await process.ended()
        if attempt.exit_code() is None and (init := attempt.init()):
            log.error(
                "shim of a container was killed; its exit code will be unknown",
                extra={"pod": self._key, "container": container.name},
            )
            await init.ended()
        if attempt.started():
            self._ended(container, attempt)
        elif attempt.exit_code() is None:
            self._never_ran(self.record.container(container.name))
            self._save()
            self._changed.set()
        else:
            self._ended(container, attempt, failure=self._services.runtime.complaint(attempt))

    def _never_ran(self, record: ContainerRecord) -> None:
        """The shim was recorded and told nothing: the run that was to be did not take place."""
        record.attempt -= 1
        record.exit, record.shim_pid = record.last_exit if record.attempt else None, 0

    def _ended(
        self, container: Container, attempt: Attempt, *, lost: bool = False, failure: str = ""
    ) -> None:
        """Write down how the run ended and clean up after it."""
        services, name = self._services, container.name
        record, live = self.record.container(name), self._of(name)
        known = attempt.exit_code()
        oom = live.oom.killed() if live.oom else False
        code, finished = known if known else (137, self._now())
        if failure:
            code, reason, message = 128, "StartError", failure
        elif lost:
            code, reason, message = 137, "NodeRebooted", "The machine was restarted while the container ran"
        elif known is None:
            reason, message = _UNKNOWN_EXIT, "The process that waits for the container was killed"
        else:
            reason = "Completed" if code == 0 else "OOMKilled" if oom else "Error"
            message = _last_words(container, attempt, code)
        record.exit = ExitRecord(code, reason, message, record.started_at, finished, record.container_id)
        record.shim_pid = 0
        now = services.clock.monotonic()
        quick = self._now() - record.started_at < _LONG_RUN
        record.quick_failures = record.quick_failures + 1 if quick else 0
        delay = _backoff(record.quick_failures - 1) if record.quick_failures > 1 else 0.0
        live.ready = live.started = live.unhealthy = False
        live.retry_at = now + delay
        live.waiting = ("", "")
        if delay and not self.deleting and self._restarts(container, code):
            text = f"back-off {delay:.0f}s restarting failed container={name} pod={self.pod.metadata.name}"
            live.waiting = ("CrashLoopBackOff", text)
            services.events.warning(
                self.pod,
                "BackOff",
                f"Back-off restarting failed container {name} in pod {self.pod.metadata.name}",
            )
        live.ended.set()
        current = asyncio.current_task() if self._tasks else None
        for task in live.watchers:
            if task is not current:
                task.cancel()
        live.watchers = []
        self._save()
        if self._tasks:
            self._tasks.create_task(
                services.blocking(containers.finish, services, services.cgroup(self.uid), attempt)
            )
        self._urgent.set()
        self._changed.set()
        log.info(
            "container ended", extra={"pod": self._key, "container": name, "code": code, "reason": reason}
        )

    def _restarts(self, container: Container, code: int) -> bool:
        init = self.pod.spec and container in self.pod.spec.init_containers
        if init and not plan.is_sidecar(container):
            return code != 0 and bool(self.pod.spec and self.pod.spec.restart_policy != "Never")
        return plan.is_sidecar(container) or plan.restarts(self.pod, code)

    async def _stop(self, container: Container, *, unhealthy: bool) -> None:
        """Ask the container to end, and make it end when its time is up."""
        services, name = self._services, container.name
        record, live = self.record.container(name), self._of(name)
        attempt = attempt_of(services, self.pod, name, record.attempt)
        clock = services.clock
        grace = float(_grace(self.pod))
        if not unhealthy:
            self._stop_by = self._stop_by or clock.monotonic() + grace
            grace = max(self._stop_by - clock.monotonic(), 0.0)
        services.events.normal(self.pod, "Killing", f"Stopping container {name}")
        init = attempt.init()
        if init is not None and grace > 0:
            init.send(_signal(record.stop_signal))
            if await self._ended_within(live, grace):
                return
        if init is not None:
            init.send(signal.SIGKILL)
        if await self._ended_within(live, 10.0):
            return
        services.cgroup(self.uid).kill(attempt.child)
        if await self._ended_within(live, 10.0):
            return
        if record.shim:
            record.shim.send(signal.SIGKILL)
        await self._ended_within(live, 10.0)

    async def _ended_within(self, live: Live, seconds: float) -> bool:
        if live.ended.is_set():
            return True
        try:
            async with asyncio.timeout(seconds):
                await live.ended.wait()
        except TimeoutError:
            return False
        return True

    # -- probes

    async def _probing(self, container: Container, attempt: Attempt, live: Live) -> None:
        clock = self._services.clock
        address = self.record.addresses[0] if self.record.addresses else "127.0.0.1"

        async def execute(argv: tuple[str, ...], timeout: float) -> tuple[int | None, bytes]:
            return await self._services.runtime.execute(attempt, argv, timeout=timeout)

        def unhealthy(kind: str, message: str) -> None:
            self._services.events.warning(self.pod, "Unhealthy", f"{kind} probe failed: {message}")

        def readiness(good: bool, message: str) -> None:
            live.ready = good
            if not good:
                unhealthy("Readiness", message)
            self._noticed()

        def fatal(kind: str, good: bool, message: str) -> None:
            if good:
                return
            unhealthy(kind, message)
            self._services.events.normal(
                self.pod,
                "Killing",
                f"Container {container.name} failed {kind.lower()} probe, will be restarted",
            )
            live.unhealthy = True
            self._noticed()

        if probe := container.startup_probe:
            check = probes.checker(probe, container, address, execute)
            await probes.watch(probe, check, lambda g, m: fatal("Startup", g, m), clock, once=True)
            live.started = True
            live.ready = container.readiness_probe is None
            self._noticed()
        async with asyncio.TaskGroup() as tasks:
            if ready := container.readiness_probe:
                check = probes.checker(ready, container, address, execute)
                tasks.create_task(probes.watch(ready, check, readiness, clock))
            if alive := container.liveness_probe:
                check = probes.checker(alive, container, address, execute)
                tasks.create_task(probes.watch(alive, check, lambda g, m: fatal("Liveness", g, m), clock))

    def _noticed(self) -> None:
        self._urgent.set()
        self._changed.set()

    # -- volumes with API data, and limits nobody else enforces

    async def _refreshing(self) -> None:
        clock = self._services.clock
        begun = clock.monotonic()
        deadline = self.pod.spec.active_deadline_seconds if self.pod.spec else None
        while True:
            interval = _REFRESH
            if deadline is not None:
                interval = min(interval, max(begun + deadline - clock.monotonic(), 0.0))
            await clock.sleep(interval)
            if deadline is not None and self._now() - self.record.started_at >= deadline:
                self._fail(
                    "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
                )
                return
            if not self._prepared or self.deleting:
                continue
            await self._check_sizes()
            context = self._context()
            for volume in self.pod.spec.volumes if self.pod.spec else ():
                if prepare.is_api_volume(volume):
                    try:
                        await prepare.refresh(context, volume)
                    except (BadVolume, MissingReference, UnknownField, KubeError, OSError) as error:
                        log.warning(
                            "volume not refreshed",
                            extra={"pod": self._key, "volume": volume.name, "error": str(error)},
                        )

    async def _check_sizes(self) -> None:
        from edgevirt.engine.kubelet import usage

        message = await self._services.blocking(usage.excess, self.pod, self._directory)
        if message:
            self._fail("Evicted", message)

    def _fail(self, reason: str, message: str) -> None:
        if self.record.failure:
            return
        self.record.failure, self.record.failure_message = reason, message
        self._services.events.warning(self.pod, reason, message)
        self._save()
        self._noticed()

    # -- the end

    async def _release(self) -> None:
        shims = [r.shim for r in self.record.containers.values() if r.shim]
        for live in self._live.values():
            for task in live.watchers:
                task.cancel()
            live.watchers = []
        for name, record in self.record.containers.items():
            if record.attempt:
                self._services.logs.drop(attempt_of(self._services, self.pod, name, record.attempt).log)
        try:
            await sandbox.release(self._services, self.pod, shims)
        except (CniError, OSError) as error:
            log.error("pod not released, trying again", extra={"pod": self._key, "error": str(error)})
            await self._services.clock.sleep(1.0)
            return
        self.record.sandbox = self._prepared = self._adopted = False
        self.record.addresses = self.record.addresses if not self._will_run_again() else ()
        self._volumes = {}
        self._save()

    def _will_run_again(self) -> bool:
        return not self.deleting and plan.outcome(self.pod, self._observe()) is None

    async def _forget(self) -> None:
        """Remove the directory, then confirm the deletion: a crash in between only repeats this."""
        if self.record.containers:
            try:
                await self._publish()
            except (NotFound, Conflict):
                self._vanished = True
            except KubeError as error:
                log.warning("last status not written", extra={"pod": self._key, "error": str(error)})
        await self._services.blocking(shutil.rmtree, self._directory, True)
        while not self._vanished:
            try:
                await self._services.api.delete(
                    api.PODS,
                    self.pod.metadata.name,
                    namespace=self.pod.metadata.namespace,
                    grace_period_seconds=0,
                    uid=self.uid,
                )
                break
            except (NotFound, Conflict):
                break
            except KubeError as error:
                log.warning(
                    "deletion not confirmed, trying again", extra={"pod": self._key, "error": str(error)}
                )
                await self._services.clock.sleep(_RETRY_REPORT)
        self._forgotten = True

    # -- reporting

    async def _reporting(self) -> None:
        """Write the status when it has something to say: at once if it matters, else when it settles."""
        while True:
            await self._report.wait()
            self._report.clear()
            if not self._urgent.is_set() and not self._worth_telling():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SETTLE):
                        await self._urgent.wait()
            self._urgent.clear()
            try:
                await self._publish()
            except (NotFound, Conflict):
                continue  # deleted or replaced; the watch will tell
            except KubeError as error:
                log.warning("status not written, trying again", extra={"pod": self._key, "error": str(error)})
                await self._services.clock.sleep(_RETRY_REPORT)
                self._report.set()

    def _worth_telling(self) -> bool:
        return bool(self.record.failure) or self._status()["phase"] in ("Succeeded", "Failed")

    async def _publish(self) -> None:
        if self._vanished:
            return
        wanted = self._status()
        if wanted == self._published:
            return
        await self._services.api.patch(
            api.PODS,
            self.pod.metadata.name,
            {"metadata": {"uid": self.uid}, "status": wanted},
            namespace=self.pod.metadata.namespace,
            type=PatchType.STRATEGIC,
            subresource="status",
        )
        self._published = wanted

    def _status(self) -> dict[str, Any]:
        observed = self._observe()
        outcome = plan.outcome(self.pod, observed)
        running = any(r.running for r in self.record.containers.values())
        if self.record.failure and not running:
            outcome = "Failed"
        elif outcome and running:
            outcome = None  # sidecars are still ending
        elif self.deleting and not running and outcome is None and self.record.containers:
            codes = [r.exit.code for r in self.record.containers.values() if r.exit]
            outcome = "Failed" if any(codes) else "Succeeded"
        views = {}
        init_done = self._prepared
        for c in self.pod.spec.init_containers if self.pod.spec else ():
            views[c.name] = self._view(c.name, observed)
            init_done = init_done and (views[c.name].started or views[c.name].state is State.EXITED)
        for c in self.pod.spec.containers if self.pod.spec else ():
            views[c.name] = self._view(c.name, observed)
            if (
                not init_done
                and views[c.name].waiting[0] == "ContainerCreating"
                and self.pod.spec
                and self.pod.spec.init_containers
            ):
                views[c.name] = dataclasses.replace(views[c.name], waiting=("PodInitializing", ""))
        facts = status.Facts(
            self.record,
            views,
            outcome,
            self._prepared,
            self._services.node.address,
            self._services.runtime.name,
        )
        return status.compute(self.pod, facts, self._services.clock.now())

    def _view(self, name: str, observed: plan.Observed) -> status.View:
        live = self._of(name)
        record = self.record.containers.get(name, ContainerRecord())
        seen = observed.containers.get(name, Seen())
        return status.View(
            record,
            seen.state,
            ready=live.ready and record.running,
            started=live.started,
            waiting=live.waiting,
        )

    # -- small things

    @property
    def _key(self) -> str:
        return f"{self.pod.metadata.namespace}/{self.pod.metadata.name}"

    def _of(self, name: str) -> Live:
        return self._live.setdefault(name, Live())

    def _container(self, name: str) -> Container:
        found = next((c for c in containers.names_in_order(self.pod) if c.name == name), None)
        return found or Container(name=name)

    def _now(self) -> float:
        return self._services.clock.now().timestamp()

    def _save(self) -> None:
        self.record.pod = self.pod
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        state.save(self._directory, self.record)


def _grace(pod: Pod) -> int:
    """Seconds between asking and killing."""
    if pod.metadata.deletion_grace_period_seconds is not None:
        return pod.metadata.deletion_grace_period_seconds
    given = pod.spec.termination_grace_period_seconds if pod.spec else None
    return 30 if given is None else given


def _backoff(failures: int) -> float:
    return min(_BACKOFF_FIRST * 2.0 ** min(max(failures - 1, 0), 10), _BACKOFF_MOST)


def _signal(name: str) -> signal.Signals:
    if not name:
        return signal.SIGTERM
    try:
        return signal.Signals(int(name)) if name.isdigit() else signal.Signals[name.upper()]
    except (ValueError, KeyError):
        return signal.SIGTERM


def _last_words(container: Container, attempt: Attempt, code: int) -> str:
    """The termination message: the file, or the log's end when the pod asks for that after a failure."""
    path = attempt.directory / containers.TERMINATION_LOG
    words = _tail(path)
    if not words and code != 0 and container.termination_message_policy == "FallbackToLogsOnError":
        words = _tail(attempt.log)
    return words


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - _MAX_WORDS, 0))
            return file.read(_MAX_WORDS).decode(errors="replace")
    except OSError:
        return ""
