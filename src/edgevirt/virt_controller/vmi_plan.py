"""What to do about one VirtualMachineInstance: a pure function of the instance, its pods and the time.

virt-controller owns the status up to Scheduled (two writes per start: Scheduling, Scheduled). From then on
the only things it still says are that the pod is gone or going, because then no virt-handler may be left to
say so. A pod belongs to an instance by its controller reference's uid, never by labels, which anybody could
set.
"""

from __future__ import annotations

import dataclasses
import datetime
from enum import Enum

import msgspec

from edgevirt.api.core import ContainerStateWaiting, Pod
from edgevirt.api.kubevirt import VirtualMachineInstance, labels
from edgevirt.api.kubevirt.conditions import (
    ConditionReason,
    ConditionStatus,
    ConditionType,
    with_condition,
    without_condition,
)
from edgevirt.api.kubevirt.instance import (
    MemoryStatus,
    VirtualMachineInstanceCondition,
    VirtualMachineInstancePhaseTransitionTimestamp,
    VirtualMachineInstanceStatus,
)
from edgevirt.api.kubevirt.phases import Phase, is_final
from edgevirt.virt_controller.run_strategy import phase_of
from edgevirt.virt_controller.start_backoff import format_time

_PULL_FAILURES = frozenset({ConditionReason.ERR_IMAGE_PULL.value, ConditionReason.IMAGE_PULL_BACK_OFF.value})
_HANDED_OVER = frozenset({Phase.SCHEDULED, Phase.RUNNING})


class PodAction(Enum):
    NOTHING = "nothing"
    CREATE = "create"
    DELETE = "delete"


@dataclasses.dataclass(frozen=True, slots=True)
class SyncError:
    """Why the pod could not be created or deleted; shown as condition Synchronized=False."""

    reason: ConditionReason
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    vmi: VirtualMachineInstance
    pods: tuple[Pod, ...]
    now: datetime.datetime
    error: SyncError | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class VMIPlan:
    """`node_label` is set together with the status that says Scheduled."""

    pod: PodAction = PodAction.NOTHING
    status: VirtualMachineInstanceStatus | None = None
    node_label: str = ""
    remove_finalizer: bool = False


def plan(seen: Observed) -> VMIPlan:
    """What to do now. Doing it twice is harmless."""
    vmi = seen.vmi
    phase = phase_of(vmi)
    deleting = bool(vmi.metadata.deletion_timestamp)
    pod = _current_pod(seen.pods)
    if is_final(phase) or (deleting and phase not in _HANDED_OVER):
        return _plan_end(seen, phase, pod, deleting)
    if phase in _HANDED_OVER:
        return _plan_handed_over(seen, pod)
    if pod is None:
        if phase is Phase.SCHEDULING:
            return VMIPlan(
                status=_failed(seen, ConditionReason.POD_NOT_EXISTS, "the launcher pod was deleted")
            )
        return VMIPlan(pod=PodAction.CREATE, status=_with_error(seen) if seen.error else None)
    if _ended(pod):
        return VMIPlan(status=_failed(seen, ConditionReason.POD_TERMINATING, _why_ended(pod)))
    if _is_ready(pod) and pod.spec is not None and pod.spec.node_name:
        return VMIPlan(status=_scheduled(seen, pod, pod.spec.node_name), node_label=pod.spec.node_name)
    return VMIPlan(status=_scheduling(seen, pod))


def _plan_end(seen: Observed, phase: Phase, pod: Pod | None, deleting: bool) -> VMIPlan:
    """The guest has ended, or was deleted before virt-handler took over: pod first, then the finalizer."""
    status = None
    if is_final(phase):
        status = _not_ready(seen, ConditionReason.GUEST_NOT_RUNNING, "the guest has ended")
    if not deleting:
        return VMIPlan(status=status)
    going = [pod for pod in seen.pods if not _deleting(pod)]
    if going:
        return VMIPlan(pod=PodAction.DELETE, status=status)
    if seen.pods:
        return VMIPlan(status=status)
    return VMIPlan(remove_finalizer=labels.VMI_FINALIZER in seen.vmi.metadata.finalizers)


def _plan_handed_over(seen: Observed, pod: Pod | None) -> VMIPlan:
    if pod is None:
        return VMIPlan(status=_failed(seen, ConditionReason.POD_NOT_EXISTS, "the launcher pod is gone"))
    if _ended(pod):
        # virt-handler says how the guest ended; here only that it can no longer be reached.
        return VMIPlan(status=_not_ready(seen, ConditionReason.POD_TERMINATING, _why_ended(pod)))
    return VMIPlan()


def _current_pod(pods: tuple[Pod, ...]) -> Pod | None:
    """The instance's pod: the newest one that has not ended, else the newest."""
    return max(pods, key=lambda pod: (not _ended(pod), pod.metadata.creation_timestamp), default=None)


def _deleting(pod: Pod) -> bool:
    return bool(pod.metadata.deletion_timestamp)


def _ended(pod: Pod) -> bool:
    return _deleting(pod) or (pod.status is not None and pod.status.phase in ("Succeeded", "Failed"))


def _why_ended(pod: Pod) -> str:
    if _deleting(pod):
        return "the launcher pod is being deleted"
    for container in pod.status.container_statuses if pod.status else ():
        state = container.state.terminated if container.state else None
        if state is not None and state.exit_code:
            words = f": {state.message.strip()}" if state.message.strip() else ""
            return f"container {container.name} ended with exit code {state.exit_code}{words}"
    return pod.status.message if pod.status and pod.status.message else "the launcher pod has ended"


def _is_ready(pod: Pod) -> bool:
    return any(
        c.type == "Ready" and c.status == "True" for c in (pod.status.conditions if pod.status else ())
    )


def _status(seen: Observed) -> VirtualMachineInstanceStatus:
    return seen.vmi.status or VirtualMachineInstanceStatus()


def _scheduling(seen: Observed, pod: Pod) -> VirtualMachineInstanceStatus:
    now = format_time(seen.now)
    status = _entered(_status(seen), Phase.SCHEDULING, now)
    conditions = _with_ready(
        status.conditions, ConditionReason.GUEST_NOT_RUNNING, "the guest is not running yet", now
    )
    conditions = _with_pod_trouble(conditions, pod, now)
    overhead = pod.metadata.annotations.get(labels.MEMORY_OVERHEAD_BYTES, "")
    memory = status.memory or MemoryStatus()
    if overhead.isdecimal():
        memory = msgspec.structs.replace(memory, memory_overhead=f"{int(overhead) // (1024 * 1024)}Mi")
    return msgspec.structs.replace(
        status,
        conditions=conditions,
        active_pods={pod.metadata.uid: (pod.spec.node_name if pod.spec else "")}
        if status.active_pods.get(pod.metadata.uid) is None
        else status.active_pods,
        launcher_container_image_version=pod.spec.containers[0].image
        if pod.spec and pod.spec.containers
        else "",
        qos_class=pod.status.qos_class if pod.status else status.qos_class,
        memory=memory,
    )


def _scheduled(seen: Observed, pod: Pod, node: str) -> VirtualMachineInstanceStatus:
    now = format_time(seen.now)
    status = _entered(_scheduling(seen, pod), Phase.SCHEDULED, now)
    conditions = without_condition(status.conditions, ConditionType.POD_SCHEDULED)
    conditions = without_condition(conditions, ConditionType.SYNCHRONIZED)
    return msgspec.structs.replace(
        status,
        conditions=conditions,
        node_name=node,
        active_pods={pod.metadata.uid: node},
        migration_transport="Unix",
    )


def _failed(seen: Observed, reason: ConditionReason, message: str) -> VirtualMachineInstanceStatus:
    now = format_time(seen.now)
    status = _entered(_status(seen), Phase.FAILED, now)
    return msgspec.structs.replace(
        status, reason=reason.value, conditions=_with_ready(status.conditions, reason, message, now)
    )


def _not_ready(seen: Observed, reason: ConditionReason, message: str) -> VirtualMachineInstanceStatus:
    status = _status(seen)
    conditions = _with_ready(status.conditions, reason, message, format_time(seen.now))
    return msgspec.structs.replace(status, conditions=conditions)


def _with_error(seen: Observed) -> VirtualMachineInstanceStatus:
    assert seen.error is not None
    status = _status(seen)
    failed = _condition(ConditionType.SYNCHRONIZED, False, seen.error.reason.value, seen.error.message)
    conditions = with_condition(status.conditions, failed, format_time(seen.now))
    return msgspec.structs.replace(status, conditions=conditions)


def _entered(status: VirtualMachineInstanceStatus, phase: Phase, now: str) -> VirtualMachineInstanceStatus:
    """The status in `phase`, with the time it was entered recorded once."""
    if status.phase == phase.value:
        return status
    entry = VirtualMachineInstancePhaseTransitionTimestamp(phase=phase.value, phase_transition_timestamp=now)
    timestamps = (*status.phase_transition_timestamps, entry)
    return msgspec.structs.replace(status, phase=phase.value, phase_transition_timestamps=timestamps)


Conditions = tuple[VirtualMachineInstanceCondition, ...]


def _with_ready(conditions: Conditions, reason: ConditionReason, message: str, now: str) -> Conditions:
    return with_condition(conditions, _condition(ConditionType.READY, False, reason.value, message), now)


def _with_pod_trouble(conditions: Conditions, pod: Pod, now: str) -> Conditions:
    """Why the pod does not come up, copied where users and printable status look for it."""
    scheduled = next(
        (c for c in (pod.status.conditions if pod.status else ()) if c.type == "PodScheduled"), None
    )
    if scheduled is not None and scheduled.status == "False":
        copy = _condition(ConditionType.POD_SCHEDULED, False, scheduled.reason, scheduled.message)
        conditions = with_condition(conditions, copy, now)
    else:
        conditions = without_condition(conditions, ConditionType.POD_SCHEDULED)
    waiting = _pull_failure(pod)
    if waiting is None:
        return without_condition(conditions, ConditionType.SYNCHRONIZED)
    failed = _condition(ConditionType.SYNCHRONIZED, False, waiting.reason, waiting.message)
    return with_condition(conditions, failed, now)


def _pull_failure(pod: Pod) -> ContainerStateWaiting | None:
    status = pod.status
    for container in (*status.init_container_statuses, *status.container_statuses) if status else ():
        waiting = container.state.waiting if container.state else None
        if waiting is not None and waiting.reason in _PULL_FAILURES:
            return waiting
    return None


def _condition(type: ConditionType, true: bool, reason: str, message: str) -> VirtualMachineInstanceCondition:
    return VirtualMachineInstanceCondition(
        type=type.value,
        status=ConditionStatus.TRUE.value if true else ConditionStatus.FALSE.value,
        reason=reason,
        message=message,
    )
