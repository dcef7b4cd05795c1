"""What to do about one VMI next, and which phase it is in: a pure function of what is known.

From `Scheduled` on the node agent of a VMI's node owns its status. The phases and what leads to them are
KubeVirt's; `EndReason` tells more than KubeVirt does, in `status.reason`. Two rules go beyond it, so that
every wait ends: a guest that can't be started fails after a deadline, and so does a launcher that can't be
reached.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from edgevirt.api.kubevirt import VirtualMachineInstance
from edgevirt.api.kubevirt.phases import FINAL_PHASES, Phase
from edgevirt.api.launcher import DomainState, DomainStatus, StateReason

DEFAULT_GRACE_SECONDS = 30
SIGNAL_INTERVAL = 5.0
"""Seconds between two attempts to stop a guest: one that is still booting misses the first."""
RECHECK_INTERVAL = 5.0
UNDECIDED_TIMEOUT = 300.0
"""Seconds a domain may stay neither started nor failed, and a start may be retried."""
LAUNCHER_TIMEOUT = 180.0
"""Seconds a launcher may be out of reach."""


OURS = frozenset({Phase.SCHEDULED, Phase.RUNNING})
"""Phases in which the node agent decides."""


class EndReason(StrEnum):
    """Why a VMI failed; its `status.reason`."""

    GUEST_CRASHED = "GuestCrashed"
    GUEST_PANICKED = "GuestPanicked"
    KILLED = "KilledAfterGracePeriod"
    START_FAILED = "StartFailed"
    DOMAIN_VANISHED = "DomainVanished"
    LAUNCHER_ENDED = "LauncherEnded"
    LAUNCHER_UNRESPONSIVE = "LauncherUnresponsive"
    STOPPED_BEFORE_START = "StoppedBeforeStart"


class PodState(Enum):
    UNKNOWN = auto()  # not seen since this process started
    PRESENT = auto()
    SUCCEEDED = auto()
    FAILED = auto()
    GONE = auto()  # was seen, exists no more


class Step(Enum):
    """Effects, each idempotent."""

    SYNC = auto()  # wire the pod's network, define and start the domain
    SHUTDOWN = auto()  # ask the guest to power off
    KILL = auto()  # end QEMU
    RELEASE = auto()  # undefine the domain, end the launcher, forget what we know


@dataclass(frozen=True, slots=True)
class Failure:
    """The last attempt to start the domain."""

    message: str
    permanent: bool
    since: float  # of the first failure in a row
    retry_at: float


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known about a VMI besides the object. Times are seconds of a monotonic clock."""

    now: float
    pod: PodState = PodState.PRESENT
    pod_message: str = ""
    domain: DomainStatus | None = None  # the newest we heard of, even if the connection is lost
    lost_since: float | None = None  # None: connected
    lost_message: str = ""
    incompatible: bool = False  # the launcher can be reached but not understood
    undecided_since: float | None = None
    stop_since: float | None = None  # when the grace period began; None: nobody wants it stopped
    signalled_at: float | None = None
    killed_at: float | None = None
    synced_at: float | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The phase the VMI is in, why, what to do, and after how many seconds to look again anyway."""

    phase: Phase
    reason: str = ""
    message: str = ""
    steps: tuple[Step, ...] = ()
    again: float | None = None


def grace_seconds(vmi: VirtualMachineInstance) -> int:
    """How long a guest gets to power off, in seconds."""
    asked = vmi.spec.termination_grace_period_seconds
    return DEFAULT_GRACE_SECONDS if asked is None else max(0, asked)


def acpi_in_effect(vmi: VirtualMachineInstance) -> bool:
    """Whether the guest could have been asked to power off, so that killing it is a failure."""
    features = vmi.spec.domain.features
    acpi = features.acpi if features is not None else None
    return grace_seconds(vmi) > 0 and (acpi is None or acpi.enabled is not False)


def alive(domain: DomainStatus | None) -> bool:
    """Whether there is a guest, running or paused."""
    return domain is not None and domain.state in (
        DomainState.RUNNING,
        DomainState.BLOCKED,
        DomainState.PAUSED,
        DomainState.SHUTTING_DOWN,
        DomainState.PM_SUSPENDED,
    )


def decide(vmi: VirtualMachineInstance, seen: Observed) -> Decision:
    """The next decision for a VMI in phase Scheduled, Running, or a final one."""
    phase = Phase(vmi.status.phase) if vmi.status is not None else Phase.SCHEDULED
    if phase in FINAL_PHASES:
        return Decision(phase, steps=(Step.RELEASE,), again=RECHECK_INTERVAL)
    ended = _end_of_domain(vmi, seen.domain) or _end_of_pod(seen) or _end_of_patience(vmi, phase, seen)
    if ended is not None:
        return ended
    if seen.lost_since is not None:
        # Nothing can be asked, and a guest that was running is most likely still running.
        patience = _patience(vmi, seen)
        return Decision(phase, again=seen.lost_since + patience - seen.now if patience < math.inf else None)
    if alive(seen.domain):
        return _keep_running(vmi, phase, seen)
    return _not_running(phase, seen)


def _keep_running(vmi: VirtualMachineInstance, phase: Phase, seen: Observed) -> Decision:
    domain = seen.domain
    assert domain is not None
    if domain.reason is not StateReason.PAUSED_STARTING_UP:
        phase = Phase.RUNNING
    if seen.stop_since is None:
        return Decision(phase)
    kill_in = seen.stop_since + grace_seconds(vmi) - seen.now
    signal_in = 0.0 if seen.signalled_at is None else seen.signalled_at + SIGNAL_INTERVAL - seen.now
    if kill_in > 0 and signal_in > 0:
        return Decision(phase, again=min(kill_in, signal_in))
    if kill_in > 0:
        return Decision(phase, steps=(Step.SHUTDOWN,), again=min(kill_in, SIGNAL_INTERVAL))
    kill_again_in = 0.0 if seen.killed_at is None else seen.killed_at + SIGNAL_INTERVAL - seen.now
    if kill_again_in > 0:
        return Decision(phase, again=kill_again_in)
    return Decision(phase, steps=(Step.KILL,), again=SIGNAL_INTERVAL)


def _not_running(phase: Phase, seen: Observed) -> Decision:
    if phase is Phase.RUNNING:
        return _failed(EndReason.DOMAIN_VANISHED, "the launcher no longer knows a running domain")
    if seen.stop_since is not None:
        return _failed(EndReason.STOPPED_BEFORE_START, "it was stopped before its guest started")
    retry_at = seen.failure.retry_at if seen.failure is not None else None
    if retry_at is None and seen.synced_at is not None:
        retry_at = seen.synced_at + RECHECK_INTERVAL
    if retry_at is not None and retry_at > seen.now:
        return Decision(phase, again=retry_at - seen.now)
    return Decision(phase, steps=(Step.SYNC,), again=RECHECK_INTERVAL)


def _end_of_domain(vmi: VirtualMachineInstance, domain: DomainStatus | None) -> Decision | None:
    if domain is None or domain.state not in (DomainState.SHUTOFF, DomainState.CRASHED):
        return None
    words = f": {domain.message}" if domain.message else ""
    match domain.reason:
        case StateReason.SHUTDOWN | StateReason.SAVED | StateReason.FROM_SNAPSHOT:
            return _succeeded("the guest powered off")
        case StateReason.DESTROYED if acpi_in_effect(vmi):
            return _failed(EndReason.KILLED, "it did not power off within its grace period and was killed")
        case StateReason.DESTROYED:
            return _succeeded("it was stopped at once")
        case StateReason.PANICKED:
            return _failed(EndReason.GUEST_PANICKED, f"the guest's kernel panicked{words}")
        case StateReason.FAILED:
            return _failed(EndReason.START_FAILED, f"the guest could not be started or kept running{words}")
        case _ if domain.state is DomainState.CRASHED or domain.reason is StateReason.CRASHED:
            return _failed(EndReason.GUEST_CRASHED, f"QEMU ended unexpectedly{words}")
    return None


def _end_of_pod(seen: Observed) -> Decision | None:
    if seen.pod is PodState.SUCCEEDED:
        return _succeeded("the launcher ended after its guest did")
    if seen.pod in (PodState.FAILED, PodState.GONE):
        what = "ended" if seen.pod is PodState.FAILED else "was removed"
        why = f": {seen.pod_message}" if seen.pod_message else ""
        return _failed(EndReason.LAUNCHER_ENDED, f"the launcher pod {what} under its guest{why}")
    return None


def _end_of_patience(vmi: VirtualMachineInstance, phase: Phase, seen: Observed) -> Decision | None:
    patience = _patience(vmi, seen)
    if seen.lost_since is not None and seen.now - seen.lost_since >= patience:
        why = f": {seen.lost_message}" if seen.lost_message else ""
        message = f"the launcher could not be reached for {patience:g} s{why}"
        return _failed(EndReason.LAUNCHER_UNRESPONSIVE, message)
    if phase is not Phase.SCHEDULED or alive(seen.domain):
        return None
    failure = seen.failure
    if failure is not None and (failure.permanent or seen.now - failure.since >= UNDECIDED_TIMEOUT):
        return _failed(EndReason.START_FAILED, failure.message)
    if seen.undecided_since is not None and seen.now - seen.undecided_since >= UNDECIDED_TIMEOUT:
        message = f"the domain did not start within {UNDECIDED_TIMEOUT:g} s and gave no reason"
        return _failed(EndReason.START_FAILED, message)
    return None


def _failed(reason: EndReason, message: str) -> Decision:
    steps = (Step.RELEASE,)
    return Decision(Phase.FAILED, reason=reason.value, message=message, steps=steps, again=RECHECK_INTERVAL)


def _succeeded(message: str) -> Decision:
    return Decision(Phase.SUCCEEDED, message=message, steps=(Step.RELEASE,), again=RECHECK_INTERVAL)


def _patience(vmi: VirtualMachineInstance, seen: Observed) -> float:
    """Seconds the launcher may be out of reach. Whoever wants the guest stopped doesn't wait for its launcher
    longer than for the guest itself; a launcher of another version is waited for until then."""
    if seen.stop_since is not None:
        return min(LAUNCHER_TIMEOUT, max(float(grace_seconds(vmi)), SIGNAL_INTERVAL))
    return math.inf if seen.incompatible else LAUNCHER_TIMEOUT
