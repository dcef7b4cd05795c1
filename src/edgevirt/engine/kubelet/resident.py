"""A pod that lives on this node, as this process knows it.

Three kinds of knowledge meet here: the object as the API last told it, the record on disk that survives the
process, and what is known only while the process runs. The modules that prepare, start, attend, stop and
release a pod all work on one `Resident`; `PodWorker` decides which of them, and when. Everything is used from
one event loop, so nothing is locked.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging

import msgspec

from edgevirt.api.core import Container, ObjectReference, Pod
from edgevirt.engine.kubelet import plan, state, wording
from edgevirt.engine.kubelet.cgroups import PodCgroup
from edgevirt.engine.kubelet.container import attempt_of, ephemeral, names_in_order
from edgevirt.engine.kubelet.oom import OomWatch
from edgevirt.engine.kubelet.plan import Seen, State
from edgevirt.engine.kubelet.processes import Process, boot_id
from edgevirt.engine.kubelet.references import References, Token
from edgevirt.engine.kubelet.runtime import Attempt
from edgevirt.engine.kubelet.services import Services
from edgevirt.engine.kubelet.state import PodRecord
from edgevirt.engine.kubelet.volumes.prepare import PodContext, Prepared
from edgevirt.kube.backoff import BackoffPolicy
from edgevirt.kube.events import reference_to

log = logging.getLogger("edgevirt.kubelet")

_RESTARTS = BackoffPolicy(base=10.0, cap=300.0, jitter=0.0)


@dataclasses.dataclass(slots=True)
class Live:
    """What is known of a container only while this process runs.

    `unhealthy`: which probe ("liveness", "startup") found that it has to be restarted; `hook`: its postStart
    hook is under way; `warned`: its preStop hook is done.
    """

    process: Process | None = None
    ended: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    watchers: list[asyncio.Task[None]] = dataclasses.field(default_factory=list)
    oom: OomWatch | None = None
    ready: bool = False
    started: bool = False
    unhealthy: str = ""
    hook: bool = False
    warned: bool = False
    retry_at: float = 0.0
    failures: int = 0
    waiting: tuple[str, str] = ("ContainerCreating", "")


class Resident:
    """`changed`: look at the plan again; `report`: the status may differ; `urgent`: and should be told now.

    `adopted`: an earlier kubelet, or an earlier try, may have left something that has to be released before
    the sandbox is made anew. `stop_by`, `prepare_at`, `release_at` are moments of the monotonic clock.
    """

    def __init__(self, services: Services, pod: Pod, record: PodRecord | None) -> None:
        self.services = services
        self.pod = pod
        self.uid = pod.metadata.uid
        self.directory = services.pod_dir(self.uid)
        self.adopted = record is not None
        self.record = record or PodRecord(pod=pod, boot_id=boot_id())
        self.containers: dict[str, Live] = {}
        self.volumes: dict[str, Prepared] = {}
        self.prepared = False
        self.prepare_failures = 0
        self.prepare_at = 0.0
        self.release_failures = 0
        self.release_at = 0.0
        self.stop_by: float | None = None
        self.vanished = False
        self.forgotten = False
        self.changed = asyncio.Event()
        self.report = asyncio.Event()
        self.urgent = asyncio.Event()
        self.tasks: asyncio.TaskGroup | None = None
        self.spent: dict[str, float] = {}
        self._tokens: dict[tuple[str, int], Token] = {}

    @property
    def key(self) -> str:
        """For logs: namespace/name."""
        return f"{self.pod.metadata.namespace}/{self.pod.metadata.name}"

    @property
    def deleting(self) -> bool:
        return self.vanished or bool(self.pod.metadata.deletion_timestamp)

    @property
    def cgroup(self) -> PodCgroup:
        return self.services.cgroup(self.uid)

    def now(self) -> float:
        """Unix time."""
        return self.services.clock.now().timestamp()

    def grace(self) -> int:
        """Seconds between asking a container to end and killing it."""
        return grace_of(self.pod)

    def live(self, name: str) -> Live:
        """What is known of container `name`, made if there is nothing yet."""
        return self.containers.setdefault(name, Live())

    def container(self, name: str) -> Container:
        """The container of that name; an empty one if the pod no longer has it."""
        found = next((c for c in (*names_in_order(self.pod), *ephemeral(self.pod)) if c.name == name), None)
        return found or Container(name=name)

    def attempt(self, name: str, number: int | None = None) -> Attempt:
        """The place of run `number` of a container, or of its current one."""
        if number is None:
            number = self.record.container(name).attempt
        return attempt_of(self.services, self.pod, name, number)

    def context(self) -> PodContext:
        """What volumes and environment are made from."""
        references = References(self.services.api, self.pod, self._tokens)
        return PodContext(self.pod, self.directory, references, self.services.node, self.record.addresses)

    def observe(self) -> plan.Observed:
        """The pod as it is, for the plan."""
        seen = {}
        for name, record in self.record.containers.items():
            live = self.live(name)
            if record.running:
                where = State.RUNNING
            elif record.exit is not None:
                where = State.EXITED
            else:
                where = State.NEW
            code = record.exit.code if record.exit else 0
            seen[name] = Seen(where, code, live.started, bool(live.unhealthy), live.retry_at)
        return plan.Observed(
            prepared=self.prepared,
            held=self.record.sandbox,
            deleting=self.deleting,
            failed=bool(self.record.failure),
            retry_at=self.prepare_at,
            release_at=self.release_at,
            containers=seen,
        )

    def save(self) -> None:
        """Write the record to disk."""
        self.record.pod = self.pod
        self.directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        state.save(self.directory, self.record)

    def noticed(self) -> None:
        """Something happened that the plan and the API should know of at once."""
        self.urgent.set()
        self.changed.set()

    def fail(self, reason: str, message: str, *, told: str = "", normal: bool = False) -> None:
        """The pod has to end for a reason that is not its containers'. The first reason counts.

        `told`: the status' message, if it is not the event's; `normal`: as the pod's owner wanted.
        """
        if self.record.failure:
            return
        self.record.failure, self.record.failure_message = reason, told or message
        tell = self.normal if normal else self.warning
        tell(reason, message)
        self.save()
        self.noticed()

    def normal(self, reason: str, message: str, container: str = "") -> None:
        """An event of the pod, or of one of its containers."""
        self.services.events.normal(self._about(container), reason, message)

    def warning(self, reason: str, message: str, container: str = "") -> None:
        self.services.events.warning(self._about(container), reason, message)

    def _about(self, container: str) -> ObjectReference:
        where = wording.field_path(self.pod, container) if container else ""
        return msgspec.structs.replace(reference_to(self.pod), field_path=where)

    def sandbox_changed(self) -> None:
        """What the pod's containers share is damaged: it has to be made anew."""
        self.prepared, self.adopted = False, True
        self.normal("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        self.noticed()

    def hook_failed(self, kind: str, container: Container, error: str, *, told: bool = True) -> None:
        """A lifecycle hook failed. Why goes to the log only: what a hook says is not for everybody."""
        log.warning(
            "lifecycle hook failed",
            extra={"pod": self.key, "container": container.name, "hook": kind, "error": error},
        )
        if told:
            self.warning(f"Failed{kind}Hook", f"{kind}Hook failed", container.name)

    def stop_watching(self) -> None:
        """Cancel what watches the containers and let go of their logs; the containers go on."""
        for live in self.containers.values():
            for task in live.watchers:
                task.cancel()
            live.watchers = []
        for name, record in self.record.containers.items():
            if record.attempt:
                self.services.logs.drop(self.attempt(name).log)


def grace_of(pod: Pod) -> int:
    """Seconds the pod's containers get to end by themselves."""
    if pod.metadata.deletion_grace_period_seconds is not None:
        return pod.metadata.deletion_grace_period_seconds
    given = pod.spec.termination_grace_period_seconds if pod.spec else None
    return 30 if given is None else given


def restart_delay(failures: int) -> float:
    """Seconds to wait after so many failures in a row to pull or run a container."""
    return _RESTARTS.delay(max(failures - 1, 0))
