"""Carries out what `lifecycle` decides for the VMIs of this node: the effects, and what must be remembered.

One launcher session per VMI delivers domain states; every change of it, of the VMI or of its pod reconciles
the VMI. All that is remembered here can be lost: after a restart the sessions reconnect, the guests never
notice, and decisions continue from the object, the launcher's status and the network records on disk.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

import msgspec

from edgevirt.api.core import ObjectReference, Pod
from edgevirt.api.kubevirt import VIRTUAL_MACHINE_INSTANCES, VirtualMachineInstance
from edgevirt.api.kubevirt.events import HandlerEvent
from edgevirt.api.kubevirt.phases import FINAL_PHASES, Phase
from edgevirt.api.launcher import DomainStatus, Event, GuestLink, Method, StateReason, SyncRequest
from edgevirt.kube.client import Client
from edgevirt.kube.clock import Clock, timestamp
from edgevirt.kube.controller import Controller, Result
from edgevirt.kube.errors import NotFound
from edgevirt.kube.events import EventRecorder
from edgevirt.kube.informer import Informer
from edgevirt.kube.objects import key_text, split_key
from edgevirt.kube.status_patch import status_patch
from edgevirt.network import resolver
from edgevirt.network.binding import UnsupportedBinding
from edgevirt.network.links import LinkError
from edgevirt.network.namespace import NamespaceError, NetworkNamespace, peer_pid
from edgevirt.virt_handler import lifecycle, pods, vmi_status
from edgevirt.virt_handler.kvm_probe import Verdict
from edgevirt.virt_handler.launcher_client import LauncherClient, LauncherRefused, LauncherUnavailable
from edgevirt.virt_handler.launcher_session import LauncherSession, Target
from edgevirt.virt_handler.lifecycle import Decision, Failure, Observed, PodState, Step
from edgevirt.virt_handler.pod_network import NetworkLost, PodNetworks
from edgevirt.virt_handler.safe_open import UnsafePath, read_file_in_root

AGENT_SETTLE_SECONDS = 2.0
"""How long a freshly connected agent's facts may take to arrive before they are written piecemeal."""
GUEST_WRITE_INTERVAL = 10.0
"""Least seconds between two writes that only carry guest data: no guest may wear out the disk."""
OWNER_INDEX = "owner"

_FIRST_RETRY = 1.0
_LAST_RETRY = 30.0
_WORKERS = 8

_log = logging.getLogger("edgevirt.virt_handler")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What is the same for every VMI of this node."""

    name: str
    pods_dir: str
    verdict: Verdict
    sync_timeout: float = 60.0
    request_timeout: float = 10.0


@dataclass(slots=True)
class _Tracked:
    """What is remembered about one VMI while it is ours."""

    session: LauncherSession
    task: asyncio.Task[None]
    failure: Failure | None = None
    retries: int = 0
    synced_at: float | None = None
    undecided_since: float | None = None
    stop_since: float | None = None
    signalled_at: float | None = None
    killed_at: float | None = None
    agent_since: float | None = None
    guest_write_after: float = 0.0
    pod: Pod | None = None


class VMIController:
    """Owns the status of this node's VMIs from phase Scheduled on."""

    def __init__(
        self,
        client: Client,
        vmis: Informer[VirtualMachineInstance],
        launchers: Informer[Pod],
        networks: PodNetworks,
        recorder: EventRecorder,
        node: NodeFacts,
        clock: Clock,
    ) -> None:
        """`launchers` must be indexed by `OWNER_INDEX` with the uid of the controlling VMI."""
        self._client = client
        self._vmis = vmis
        self._launchers = launchers
        self._networks = networks
        self._recorder = recorder
        self._node = node
        self._clock = clock
        self._tracked: dict[str, _Tracked] = {}
        self._released: dict[str, str] = {}  # key -> uid
        self._sessions: asyncio.TaskGroup | None = None
        self._controller = Controller("vmi", self.reconcile, workers=_WORKERS, clock=clock)
        vmis.add_handler(self._vmi_changed)
        launchers.add_handler(self._pod_changed)

    async def run(self) -> None:
        """Work until cancelled. Call once both informers are synced."""
        self._networks.forget_all_but({pod.metadata.uid for pod in self._launchers.items()})
        async with asyncio.TaskGroup() as group:
            self._sessions = group
            await self._controller.run()

    def pod_uid_of(self, namespace: str, name: str) -> tuple[str, str] | None:
        """(pod uid, VMI uid) of a VMI that runs here, None if none of that name does."""
        vmi = self._vmis.get(name, namespace)
        if vmi is None or vmi.status is None or vmi.status.phase != Phase.RUNNING:
            return None
        pod = self._launcher_of(vmi)
        return (pod.metadata.uid, vmi.metadata.uid) if pod is not None else None

    def _vmi_changed(self, old: VirtualMachineInstance | None, new: VirtualMachineInstance | None) -> None:
        changed = new or old
        if changed is not None:
            self._controller.enqueue(key_text(changed))

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        changed = new or old
        if changed is None or not pods.owner_uid(changed):
            return
        for owner in changed.metadata.owner_references:
            if owner.controller:
                self._controller.enqueue(f"{changed.metadata.namespace}/{owner.name}")

    async def reconcile(self, key: str) -> Result | None:
        """Bring one VMI ("namespace/name") one step further."""
        namespace, name = split_key(key)
        vmi = self._vmis.get(name, namespace)
        if vmi is None or not self._is_ours(vmi):
            self._forget(key)
            return None
        if self._released.get(key) == vmi.metadata.uid:
            return None
        tracked = self._track(key, vmi)
        if tracked is None:
            return None  # the pod's own event brings us back
        seen = self._observe(vmi, tracked)
        decision = lifecycle.decide(vmi, seen)
        wait = await self._write_status(vmi, tracked, decision)
        for step in decision.steps:
            await self._carry_out(step, key, vmi, tracked)
        delays = [delay for delay in (decision.again, wait) if delay is not None]
        return Result(requeue_after=min(delays)) if delays and key in self._tracked else None

    def _is_ours(self, vmi: VirtualMachineInstance) -> bool:
        status = vmi.status
        if status is None or status.node_name != self._node.name:
            return False
        return status.phase in lifecycle.OURS or status.phase in FINAL_PHASES

    # What is known

    def _launcher_of(self, vmi: VirtualMachineInstance) -> Pod | None:
        owned = self._launchers.by_index(OWNER_INDEX, vmi.metadata.uid)
        return pods.launcher_of(vmi, self._node.name, owned)

    def _track(self, key: str, vmi: VirtualMachineInstance) -> _Tracked | None:
        """What we remember about `vmi`, from now on if its launcher was found just now."""
        tracked = self._tracked.get(key)
        if tracked is not None and tracked.session.target.vmi_uid != vmi.metadata.uid:
            self._forget(key)
            tracked = None
        pod = self._launcher_of(vmi)
        if tracked is None:
            if pod is None:
                return None
            tracked = self._open(key, vmi, pod)
        tracked.pod = pod
        return tracked

    def _open(self, key: str, vmi: VirtualMachineInstance, pod: Pod) -> _Tracked:
        target = Target(self._node.pods_dir, pod.metadata.uid, vmi.metadata.uid, key)
        reference = _reference(vmi)

        def changed() -> None:
            self._controller.enqueue(key)

        def record(event: Event) -> None:
            emit = self._recorder.warning if event.type == "Warning" else self._recorder.normal
            emit(reference, event.reason, event.message)

        session = LauncherSession(target, self._clock, changed, record, self._node.request_timeout)
        assert self._sessions is not None, "run first"
        task = self._sessions.create_task(session.run(), name=f"session-{key}")
        tracked = _Tracked(session, task)
        self._tracked[key] = tracked
        return tracked

    def _forget(self, key: str) -> None:
        self._released.pop(key, None)
        tracked = self._tracked.pop(key, None)
        if tracked is not None:
            tracked.task.cancel()
            self._networks.forget(tracked.session.target.pod_uid)

    def _observe(self, vmi: VirtualMachineInstance, tracked: _Tracked) -> Observed:
        now = self._clock.monotonic()
        session, pod = tracked.session, tracked.pod
        domain = session.status
        self._note_stop_request(vmi, tracked, now)
        if lifecycle.alive(domain):
            tracked.failure, tracked.retries, tracked.undecided_since = None, 0, None
        if domain is None or not domain.agent_connected:
            tracked.agent_since = None
        elif tracked.agent_since is None:
            tracked.agent_since = now
        return Observed(
            now=now,
            pod=pods.state_of(pod) if pod is not None else PodState.GONE,
            pod_message=pods.message_of(pod) if pod is not None else "",
            domain=domain,
            lost_since=session.lost_since,
            lost_message=session.fault,
            incompatible=session.incompatible,
            undecided_since=tracked.undecided_since,
            stop_since=tracked.stop_since,
            signalled_at=tracked.signalled_at,
            killed_at=tracked.killed_at,
            synced_at=tracked.synced_at,
            failure=tracked.failure,
        )

    def _note_stop_request(self, vmi: VirtualMachineInstance, tracked: _Tracked, now: float) -> None:
        """Start the grace clock. It is monotonic; of the wall clock only what passed before counts, and that
        at most once the grace period, so that a jump of the clock can't make it longer."""
        if tracked.stop_since is not None:
            return
        requested = pods.stop_requested_at(vmi, tracked.pod)
        if requested is None:
            return
        passed = self._clock.now().timestamp() - requested
        tracked.stop_since = now - min(max(passed, 0.0), float(lifecycle.grace_seconds(vmi)))

    # Status

    async def _write_status(
        self, vmi: VirtualMachineInstance, tracked: _Tracked, decision: Decision
    ) -> float | None:
        """Write what changed, if anything; seconds after which to try again if it must wait."""
        wanted = vmi_status.compose(vmi, self._facts(tracked, decision))
        patch = status_patch(vmi.metadata, vmi.status, wanted)
        if patch is None:
            return None
        now = self._clock.monotonic()
        if vmi_status.only_guest_data(vmi, wanted):
            wait = self._guest_data_waits(tracked, now)
            if wait > 0:
                return wait
            tracked.guest_write_after = now + GUEST_WRITE_INTERVAL
        try:
            stored = await self._client.patch(
                VIRTUAL_MACHINE_INSTANCES, vmi.metadata.name, patch, namespace=vmi.metadata.namespace
            )
        except NotFound:
            return None  # deleted meanwhile: its event follows
        self._vmis.put(stored)
        if vmi.status is not None and vmi.status.phase != decision.phase:
            self._tell_of_phase(vmi, decision, tracked.session.status)
        return None

    def _facts(self, tracked: _Tracked, decision: Decision) -> vmi_status.Facts:
        domain = tracked.session.status
        return vmi_status.Facts(
            phase=decision.phase,
            now=timestamp(self._clock.now()),
            reason=decision.reason,
            domain=domain,
            links=self._networks.known(tracked.session.target.pod_uid) if domain is not None else (),
            emulation=self._emulation(domain, tracked.pod),
            failure=tracked.failure.message if tracked.failure is not None else "",
        )

    def _emulation(self, domain: DomainStatus | None, pod: Pod | None) -> vmi_status.Emulation | None:
        if domain is None or domain.virtualization != "qemu":
            return None
        verdict = self._node.verdict
        if not verdict.proven:
            return vmi_status.Emulation(f"KVM{verdict.state.value}", verdict.message)
        if pod is not None and not pods.requests_kvm(pod):
            return vmi_status.Emulation("KVMNotRequested", "the launcher pod did not ask for /dev/kvm")
        return vmi_status.Emulation("KVMNotUsed", "KVM works on this node, but the launcher did not use it")

    def _guest_data_waits(self, tracked: _Tracked, now: float) -> float:
        domain = tracked.session.status
        settles_at = 0.0
        if domain is not None and domain.guest_os_info is None and tracked.agent_since is not None:
            settles_at = tracked.agent_since + AGENT_SETTLE_SECONDS
        return max(tracked.guest_write_after, settles_at) - now

    def _tell_of_phase(
        self, vmi: VirtualMachineInstance, decision: Decision, domain: DomainStatus | None
    ) -> None:
        about = _reference(vmi)
        extra = {"vmi": key_text(vmi), "uid": vmi.metadata.uid, "phase": decision.phase.value}
        _log.info("VMI changed phase", extra={**extra, "reason": decision.reason, "detail": decision.message})
        if decision.phase is Phase.RUNNING:
            self._recorder.normal(about, HandlerEvent.STARTED, "VirtualMachineInstance started.")
        elif decision.phase is Phase.SUCCEEDED:
            message = f"The VirtualMachineInstance was shut down: {decision.message}"
            self._recorder.normal(about, HandlerEvent.STOPPED, message)
        elif decision.phase is Phase.FAILED:
            if domain is not None and domain.reason is StateReason.PANICKED:
                self._recorder.warning(about, HandlerEvent.GUEST_PANICKED, decision.message)
            message = f"The VirtualMachineInstance failed ({decision.reason}): {decision.message}"
            self._recorder.warning(about, HandlerEvent.STOPPED, message)

    # Effects

    async def _carry_out(self, step: Step, key: str, vmi: VirtualMachineInstance, tracked: _Tracked) -> None:
        match step:
            case Step.SYNC:
                await self._sync(vmi, tracked)
            case Step.SHUTDOWN:
                if tracked.signalled_at is None:
                    grace = lifecycle.grace_seconds(vmi)
                    message = f"Asked the guest to power off; it has {grace} s to do so."
                    self._recorder.normal(_reference(vmi), HandlerEvent.SHUTTING_DOWN, message)
                tracked.signalled_at = self._clock.monotonic()
                await self._order(Method.SHUTDOWN, tracked)
            case Step.KILL:
                tracked.killed_at = self._clock.monotonic()
                await self._order(Method.KILL, tracked)
            case Step.RELEASE:
                await self._release(key, vmi, tracked)

    async def _order(self, method: Method, tracked: _Tracked) -> bool:
        """Whether the launcher did as told. If not, the same decision is made again later."""
        session = tracked.session
        try:
            await session.client.order(method, self._node.request_timeout)
        except (LauncherUnavailable, LauncherRefused) as error:
            about = {"vmi": session.target.vmi, "method": method.value, "error": str(error)}
            _log.warning("The launcher did not carry out a request", extra=about)
            return False
        return True

    async def _release(self, key: str, vmi: VirtualMachineInstance, tracked: _Tracked) -> None:
        """Let the launcher of an ended guest go. One out of reach is let go when it connects again."""
        pod_ended = tracked.pod is None or pods.state_of(tracked.pod) is not PodState.PRESENT
        if tracked.session.connected:
            if not await self._order(Method.DELETE, tracked) and not pod_ended:
                return
            self._recorder.normal(_reference(vmi), HandlerEvent.DELETED, "The ended guest was removed.")
        elif not pod_ended:
            return
        self._forget(key)
        self._released[key] = vmi.metadata.uid

    async def _sync(self, vmi: VirtualMachineInstance, tracked: _Tracked) -> None:
        tracked.synced_at = self._clock.monotonic()
        try:
            await self._start_domain(vmi, tracked, tracked.session.client)
        except (UnsupportedBinding, NetworkLost, UnsafePath) as error:
            await self._failed(vmi, tracked, str(error), permanent=True)
        except LauncherRefused as error:
            await self._failed(vmi, tracked, f"{error.reason}: {error}", permanent=error.permanent)
        except (LauncherUnavailable, LinkError, NamespaceError, OSError) as error:
            await self._failed(vmi, tracked, str(error) or repr(error), permanent=False)
        else:
            first = tracked.undecided_since is None
            tracked.failure, tracked.retries = None, 0
            if first:
                tracked.undecided_since = tracked.synced_at
                self._recorder.normal(
                    _reference(vmi), HandlerEvent.CREATED, "VirtualMachineInstance defined."
                )

    async def _start_domain(
        self, vmi: VirtualMachineInstance, tracked: _Tracked, client: LauncherClient
    ) -> None:
        pod = tracked.pod
        links: tuple[GuestLink, ...] = ()
        if vmi.spec.domain.devices.interfaces:
            links = await self._wire(vmi, tracked.session.target.pod_uid, client)
        use_kvm = self._node.verdict.proven and pod is not None and pods.requests_kvm(pod)
        request = SyncRequest(vmi=msgspec.Raw(msgspec.json.encode(vmi)), links=links, use_kvm=use_kvm)
        await client.sync(request, self._node.sync_timeout)
        _log.info("Launcher started the guest", extra={"vmi": key_text(vmi), "uid": vmi.metadata.uid})

    async def _wire(
        self, vmi: VirtualMachineInstance, pod_uid: str, client: LauncherClient
    ) -> tuple[GuestLink, ...]:
        with NetworkNamespace.of_peer(client.connection) as namespace:
            root = f"/proc/{peer_pid(client.connection)}/root"
            # In a thread: whoever owns the pod may make reading its files hang.
            names = await namespace.run(lambda: _read_resolv_conf(root), self._node.request_timeout)
            return await self._networks.wire(vmi, pod_uid, namespace, resolver.parse(names))

    async def _failed(
        self, vmi: VirtualMachineInstance, tracked: _Tracked, message: str, *, permanent: bool
    ) -> None:
        now = self._clock.monotonic()
        delay = min(_FIRST_RETRY * 2**tracked.retries, _LAST_RETRY)
        tracked.retries += 1
        since = tracked.failure.since if tracked.failure is not None else now
        tracked.failure = Failure(message, permanent, since, now + delay)
        _log.warning(
            "Could not start a guest",
            extra={"vmi": key_text(vmi), "uid": vmi.metadata.uid, "error": message, "permanent": permanent},
        )
        self._recorder.warning(_reference(vmi), HandlerEvent.SYNC_FAILED, message)
        self._controller.enqueue(key_text(vmi))  # to show the failure and to time the retry


def _read_resolv_conf(root: str) -> bytes:
    try:
        return read_file_in_root(root, "etc/resolv.conf", resolver.MAX_SIZE)
    except FileNotFoundError:
        return b""


def _reference(vmi: VirtualMachineInstance) -> ObjectReference:
    return ObjectReference(
        api_version=VIRTUAL_MACHINE_INSTANCES.api_version,
        kind=VIRTUAL_MACHINE_INSTANCES.kind,
        name=vmi.metadata.name,
        namespace=vmi.metadata.namespace,
        uid=vmi.metadata.uid,
    )
