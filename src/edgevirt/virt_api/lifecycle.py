"""Start, stop and restart of a machine: what a request changes, or why it is refused. Pure.

Which writes follow from a request depends on the run strategy. Halted, Always and Once are changed in the
spec; Manual and RerunOnFailure get a request queued in `status.stateChangeRequests`, of which virt-controller
acts on the first. Semantics and status codes are KubeVirt's.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import msgspec

from edgevirt.api.kubevirt import VirtualMachine, VirtualMachineInstance
from edgevirt.api.kubevirt.conditions import ConditionType, is_true
from edgevirt.api.kubevirt.options import RestartOptions, StartOptions, StopOptions
from edgevirt.api.kubevirt.phases import Phase, is_final
from edgevirt.api.kubevirt.strategies import START_PAUSED_KEY, RunStrategy, StateChangeAction

DEFAULT_GRACE_SECONDS: Final = 30
FORCED_GRACE_SECONDS: Final = 1
"""What a forced restart leaves the guest; 0 would not be told apart from a default everywhere."""


class Refused(Exception):
    """The request cannot be carried out. `code` is the HTTP status, the text is for the user."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """Merge patches to apply, in this order; None or {} where nothing is to be written."""

    grace_seconds: int | None = None
    """New `terminationGracePeriodSeconds` of the instance."""
    spec: dict[str, Any] | None = None
    """Change of the machine's spec."""
    status: dict[str, Any] | None = None
    """Change of the machine's status."""


def strategy_of(vm: VirtualMachine) -> RunStrategy:
    """The run strategy in force, whichever of the two fields says so."""
    if vm.spec.running is not None:
        return RunStrategy.ALWAYS if vm.spec.running else RunStrategy.HALTED
    try:
        return RunStrategy(vm.spec.run_strategy)
    except ValueError:
        return RunStrategy.UNKNOWN


def start(vm: VirtualMachine, vmi: VirtualMachineInstance | None, options: StartOptions) -> Plan:
    """What starting changes. Raises Refused(409) if it runs or does not take requests."""
    if vmi is not None and not is_final(_phase(vmi)):
        raise Refused(409, "the virtual machine is already running")
    status = vm.status
    if status is not None and is_true(status.conditions, ConditionType.MANUAL_RECOVERY_REQUIRED):
        raise Refused(409, "the virtual machine needs manual recovery; see its conditions")
    strategy = strategy_of(vm)
    data = {START_PAUSED_KEY: "true"} if options.paused else {}
    if strategy is RunStrategy.HALTED:
        if options.paused:
            return Plan(status=_queued(vm, _start(data)))
        return Plan(spec=_run(vm, True), status=_forget_failures(vm))
    if strategy is RunStrategy.RERUN_ON_FAILURE and vmi is not None and _phase(vmi) == Phase.FAILED:
        raise Refused(409, "RerunOnFailure restarts the failed instance by itself")
    if strategy in (RunStrategy.MANUAL, RunStrategy.RERUN_ON_FAILURE):
        if vmi is None:
            return Plan(status=_queued(vm, _start(data)))
        return Plan(status=_queued(vm, _stop(vmi), _start(data)))
    raise Refused(409, f"run strategy {strategy} does not take start requests")


def stop(vm: VirtualMachine, vmi: VirtualMachineInstance | None, options: StopOptions) -> Plan:
    """What stopping changes. Raises Refused: 409 if nothing runs, 400 for a negative grace."""
    grace = options.grace_period
    if grace is not None and grace < 0:
        raise Refused(400, f"gracePeriod must be at least 0, not {grace}")
    alive = vmi is not None and not is_final(_phase(vmi))
    shortened = grace if alive else None
    strategy = strategy_of(vm)
    if strategy is RunStrategy.HALTED:
        if vmi is None or not alive or grace is None or grace >= _grace(vmi):
            raise Refused(409, "the virtual machine is stopped or stopping already")
        return Plan(grace_seconds=grace)
    if strategy in (RunStrategy.MANUAL, RunStrategy.RERUN_ON_FAILURE):
        if vmi is None or not alive:
            raise Refused(409, "the virtual machine is not running")
        # A stop takes the place of whatever is queued.
        return Plan(
            grace_seconds=shortened,
            status={"stateChangeRequests": [_stop(vmi)], **(_forget_failures(vm) or {})},
        )
    if strategy in (RunStrategy.ALWAYS, RunStrategy.ONCE):
        return Plan(grace_seconds=shortened, spec=_run(vm, False), status=_forget_failures(vm))
    raise Refused(409, f"run strategy {strategy} does not take stop requests")


def check_restart(options: RestartOptions) -> None:
    """Refuse options that are wrong whatever the machine's state. Raises Refused(400)."""
    grace = options.grace_period_seconds
    if grace is not None and grace > 0:
        raise Refused(400, "gracePeriodSeconds of a restart can only be 0, which ends the guest at once")
    if grace is not None and grace < 0:
        raise Refused(400, "gracePeriodSeconds must not be negative")


def restart(vm: VirtualMachine, vmi: VirtualMachineInstance | None, options: RestartOptions) -> Plan:
    """What restarting changes. Raises Refused: 409 if nothing runs, 500 if requests are queued."""
    check_restart(options)
    strategy = strategy_of(vm)
    if strategy in (RunStrategy.HALTED, RunStrategy.ONCE):
        raise Refused(409, f"run strategy {strategy} does not take restart requests")
    if vmi is None:
        raise Refused(409, "the virtual machine is not running")
    if vmi.status is not None and is_true(vmi.status.conditions, ConditionType.VOLUMES_CHANGE):
        raise Refused(409, "volumes of the virtual machine are being changed")
    grace = FORCED_GRACE_SECONDS if options.grace_period_seconds == 0 else None
    return Plan(grace_seconds=grace, status=_queued(vm, _stop(vmi), _start({})))


def _phase(vmi: VirtualMachineInstance) -> str:
    return vmi.status.phase if vmi.status else ""


def _grace(vmi: VirtualMachineInstance) -> int:
    grace = vmi.spec.termination_grace_period_seconds
    return DEFAULT_GRACE_SECONDS if grace is None else grace


def _run(vm: VirtualMachine, on: bool) -> dict[str, Any]:
    if vm.spec.running is not None:
        return {"running": on}
    return {"runStrategy": (RunStrategy.ALWAYS if on else RunStrategy.HALTED).value}


def _start(data: dict[str, str]) -> dict[str, Any]:
    return {"action": StateChangeAction.START.value, **({"data": data} if data else {})}


def _stop(vmi: VirtualMachineInstance) -> dict[str, Any]:
    return {"action": StateChangeAction.STOP.value, "uid": vmi.metadata.uid}


def _queued(vm: VirtualMachine, *requests: dict[str, Any]) -> dict[str, Any]:
    status = vm.status
    if status is not None and status.state_change_requests:
        actions = ", ".join(msgspec.to_builtins(each)["action"] for each in status.state_change_requests)
        raise Refused(500, f"another request is being carried out already: {actions}")
    return {"stateChangeRequests": list(requests), **(_forget_failures(vm) or {})}


def _forget_failures(vm: VirtualMachine) -> dict[str, Any] | None:
    """A person asking to start or stop ends the waiting between failed starts."""
    return {"startFailure": None} if vm.status is not None and vm.status.start_failure is not None else None
