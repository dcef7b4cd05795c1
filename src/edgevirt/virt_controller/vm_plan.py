"""What to do about one VirtualMachine: a pure function of the machine, its instance and the time.

The plan holds at most one change of the instance, the machine's new status and, if time alone will change
the answer, when to look again. Doing it twice is harmless. Conditions of the instance are copied to the
machine one to one, as KubeVirt's clients expect; `Ready`, `Failure` and `RestartRequired` are its own.
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import msgspec

from edgevirt.api.kubevirt import VIRTUAL_MACHINES, VirtualMachine, VirtualMachineInstance, labels
from edgevirt.api.kubevirt.conditions import (
    ConditionReason,
    ConditionStatus,
    ConditionType,
    find,
    is_true,
    with_condition,
    without_condition,
)
from edgevirt.api.kubevirt.machine import VirtualMachineCondition, VirtualMachineStatus
from edgevirt.api.kubevirt.machine import VirtualMachineStateChangeRequest as Request
from edgevirt.api.kubevirt.phases import Phase, PrintableStatus, is_final
from edgevirt.api.kubevirt.strategies import RunStrategy, StateChangeAction
from edgevirt.kube.ownership import owner_reference
from edgevirt.virt_controller import start_backoff
from edgevirt.virt_controller.run_strategy import (
    Wish,
    phase_of,
    run_strategy,
    trim,
    wants_restart_after_failure,
    wish,
)
from edgevirt.virt_controller.start_backoff import Crashes

ORPHAN_FINALIZER = "orphan"
_OWN_CONDITIONS = frozenset({ConditionType.READY, ConditionType.FAILURE, ConditionType.RESTART_REQUIRED})
_RETRIED = frozenset({RunStrategy.ALWAYS, RunStrategy.RERUN_ON_FAILURE, RunStrategy.ONCE})


@dataclasses.dataclass(frozen=True, slots=True)
class SyncError:
    """Why the last attempt to do what the plan says failed; shown as condition Failure."""

    reason: ConditionReason
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """`started_template` is the template the living instance was made from, None if it is the present one."""

    vm: VirtualMachine
    vmi: VirtualMachineInstance | None
    now: datetime.datetime
    jitter: float
    crashes: Crashes = Crashes()
    error: SyncError | None = None
    started_template: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class VMPlan:
    add_finalizer: bool = False
    remove_finalizer: bool = False
    instance: Wish = Wish.NOTHING
    status: VirtualMachineStatus | None = None
    requeue_after: float | None = None


def plan(seen: Observed) -> VMPlan:
    """What to do now."""
    vm, vmi = seen.vm, seen.vmi
    if vm.metadata.deletion_timestamp:
        return _plan_deletion(seen)
    old = vm.status or VirtualMachineStatus()
    requests = trim(old.state_change_requests, vmi)
    if vmi is not None and wants_restart_after_failure(vm, vmi, requests):
        requests = (*requests, Request(action=StateChangeAction.START))
    failure = start_backoff.after_failure(old.start_failure, vmi, seen.crashes, seen.now, seen.jitter)
    if run_strategy(vm) not in _RETRIED:
        failure = None
    wanted = wish(vm, vmi, requests)
    wait = start_backoff.seconds_left(failure, seen.now) if wanted is Wish.CREATE else 0.0
    instance = Wish.NOTHING if wait > 0 else wanted
    status = msgspec.structs.replace(
        old,
        state_change_requests=requests,
        start_failure=failure,
        run_strategy=run_strategy(vm).value,
        created=True if vmi is not None else None,
        ready=True if vmi is not None and is_true(_conditions(vmi), ConditionType.READY) else None,
        desired_generation=vm.metadata.generation,
        observed_generation=_observed_generation(vmi) if vmi is not None else old.observed_generation,
        conditions=_machine_conditions(seen),
        printable_status=printable_status(seen, failure=failure is not None, instance=wanted),
    )
    return VMPlan(
        add_finalizer=labels.VM_FINALIZER not in vm.metadata.finalizers,
        instance=instance,
        status=status,
        requeue_after=wait or None,
    )


def _plan_deletion(seen: Observed) -> VMPlan:
    vm, vmi = seen.vm, seen.vmi
    held = labels.VM_FINALIZER in vm.metadata.finalizers
    if not held:
        return VMPlan()
    if vmi is None or ORPHAN_FINALIZER in vm.metadata.finalizers:
        return VMPlan(remove_finalizer=True)
    status = msgspec.structs.replace(
        vm.status or VirtualMachineStatus(),
        printable_status=PrintableStatus.TERMINATING.value,
        conditions=_machine_conditions(seen),
    )
    instance = Wish.NOTHING if vmi.metadata.deletion_timestamp else Wish.DELETE
    return VMPlan(instance=instance, status=status)


def printable_status(seen: Observed, *, failure: bool, instance: Wish) -> str:
    """The one word for people; the first that fits, in KubeVirt's order."""
    vm, vmi = seen.vm, seen.vmi
    phase = phase_of(vmi) if vmi is not None else Phase.UNSET
    ended = vmi is not None and is_final(phase)
    alive = vmi is not None and not ended
    synchronized = find(_conditions(vmi), ConditionType.SYNCHRONIZED) if vmi is not None else None
    sync_reason = synchronized.reason if synchronized and synchronized.status == ConditionStatus.FALSE else ""
    scheduled = find(_conditions(vmi), ConditionType.POD_SCHEDULED) if vmi is not None else None
    unschedulable = (
        scheduled is not None
        and scheduled.status == ConditionStatus.FALSE
        and scheduled.reason == ConditionReason.UNSCHEDULABLE
    )
    deleting = vmi is not None and bool(vmi.metadata.deletion_timestamp)
    paused = vmi is not None and is_true(_conditions(vmi), ConditionType.PAUSED)
    starting = (alive and phase is not Phase.RUNNING) or (
        vmi is None and instance is Wish.CREATE and not failure
    )
    rules = (
        (PrintableStatus.TERMINATING, bool(vm.metadata.deletion_timestamp)),
        (PrintableStatus.STOPPING, alive and (deleting or instance is Wish.DELETE)),
        (PrintableStatus.PAUSED, phase is Phase.RUNNING and paused),
        (PrintableStatus.RUNNING, phase is Phase.RUNNING),
        (PrintableStatus.ERROR_PVC_NOT_FOUND, sync_reason == ConditionReason.FAILED_PVC_NOT_FOUND),
        (PrintableStatus.ERROR_UNSCHEDULABLE, alive and unschedulable),
        (PrintableStatus.ERR_IMAGE_PULL, alive and sync_reason == ConditionReason.ERR_IMAGE_PULL),
        (PrintableStatus.IMAGE_PULL_BACK_OFF, alive and sync_reason == ConditionReason.IMAGE_PULL_BACK_OFF),
        (PrintableStatus.STARTING, starting),
        (PrintableStatus.CRASH_LOOP_BACK_OFF, failure and not alive and run_strategy(vm) in _RETRIED),
        (PrintableStatus.STOPPED, not alive),
    )
    return next((word.value for word, fits in rules if fits), PrintableStatus.UNKNOWN.value)


def instance_manifest(vm: VirtualMachine, revision: str) -> dict[str, Any]:
    """The VirtualMachineInstance of a machine: same name, labels and annotations of the template only."""
    template = vm.spec.template
    metadata = template.metadata
    generation = str(vm.metadata.generation or 0)
    owner = owner_reference(vm, VIRTUAL_MACHINES)
    manifest: dict[str, Any] = {
        "apiVersion": VIRTUAL_MACHINES.api_version,
        "kind": "VirtualMachineInstance",
        "metadata": {
            "name": vm.metadata.name,
            "namespace": vm.metadata.namespace,
            "labels": dict(metadata.labels) if metadata else {},
            "annotations": {
                **(metadata.annotations if metadata else {}),
                labels.VM_GENERATION: generation,
            },
            "ownerReferences": [msgspec.to_builtins(owner)],
        },
        "spec": msgspec.to_builtins(template.spec),
        "status": {"virtualMachineRevisionName": revision},
    }
    return manifest


def revision_name(vm: VirtualMachine) -> str:
    """Name of the ControllerRevision that keeps the spec an instance was made from."""
    return f"revision-start-vm-{vm.metadata.uid}-{vm.metadata.generation or 0}"


def revision_manifest(vm: VirtualMachine) -> dict[str, Any]:
    """The ControllerRevision with the machine's present spec."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": revision_name(vm),
            "namespace": vm.metadata.namespace,
            "ownerReferences": [msgspec.to_builtins(owner_reference(vm, VIRTUAL_MACHINES))],
        },
        "data": {"spec": msgspec.to_builtins(vm.spec)},
        "revision": vm.metadata.generation or 0,
    }


def _conditions(vmi: VirtualMachineInstance) -> Any:
    return vmi.status.conditions if vmi.status else ()


def _observed_generation(vmi: VirtualMachineInstance) -> int | None:
    text = vmi.metadata.annotations.get(labels.VM_GENERATION, "")
    return int(text) if text.isdecimal() else None


def _machine_conditions(seen: Observed) -> tuple[VirtualMachineCondition, ...]:
    vm, vmi = seen.vm, seen.vmi
    now = start_backoff.format_time(seen.now)
    conditions = vm.status.conditions if vm.status else ()
    theirs = () if vmi is None else tuple(_conditions(vmi))
    if vmi is not None:
        # What left the instance leaves the machine; what is the machine's own stays.
        kept = {condition.type for condition in theirs} | _OWN_CONDITIONS
        conditions = tuple(condition for condition in conditions if condition.type in kept)
    for condition in theirs:
        if condition.type not in _OWN_CONDITIONS:
            conditions = _copied(conditions, condition)
    ready = find(theirs, ConditionType.READY)
    if ready is not None:
        conditions = _copied(conditions, ready)
    else:
        reason = ConditionReason.VMI_NOT_EXISTS if vmi is None else ConditionReason.VMI_CONDITION_MISSING
        words = (
            "the machine has no instance"
            if vmi is None
            else "the instance does not say yet whether it is ready"
        )
        conditions = with_condition(conditions, _condition(ConditionType.READY, False, reason, words), now)
    if seen.error is not None:
        failed = _condition(ConditionType.FAILURE, True, seen.error.reason, seen.error.message)
        conditions = with_condition(conditions, failed, now)
    else:
        conditions = without_condition(conditions, ConditionType.FAILURE)
    if _restart_required(seen):
        words = "the template was changed after the instance started; restart the machine to apply it"
        changed = _condition(ConditionType.RESTART_REQUIRED, True, None, words)
        return with_condition(conditions, changed, now)
    return without_condition(conditions, ConditionType.RESTART_REQUIRED)


def _restart_required(seen: Observed) -> bool:
    if seen.vmi is None or is_final(phase_of(seen.vmi)) or seen.started_template is None:
        return False
    return bool(msgspec.to_builtins(seen.vm.spec.template) != seen.started_template)


def _condition(
    type: ConditionType, true: bool, reason: ConditionReason | None, message: str
) -> VirtualMachineCondition:
    return VirtualMachineCondition(
        type=type.value,
        status=ConditionStatus.TRUE.value if true else ConditionStatus.FALSE.value,
        reason=reason.value if reason else "",
        message=message,
    )


def _copied(
    conditions: tuple[VirtualMachineCondition, ...], source: Any
) -> tuple[VirtualMachineCondition, ...]:
    """The list with the instance's condition and its own times, so that the clock alone causes no write."""
    copy = VirtualMachineCondition(
        type=source.type,
        status=source.status,
        reason=source.reason,
        message=source.message,
        last_probe_time=source.last_probe_time,
        last_transition_time=source.last_transition_time,
    )
    found = False
    result = []
    for condition in conditions:
        if condition.type == copy.type:
            found = True
            result.append(copy)
        else:
            result.append(condition)
    if not found:
        result.append(copy)
    return tuple(result)
