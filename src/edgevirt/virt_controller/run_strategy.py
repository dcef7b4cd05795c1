"""What a VirtualMachine's run strategy asks for, given its instance and the requests queued in its status.

The rules are KubeVirt's (strategies Always, RerunOnFailure, Manual, Halted, Once). Requests are the queue
`status.stateChangeRequests`, of which only the first counts; requests that the world has already answered
are trimmed first.
"""

from __future__ import annotations

from enum import Enum

from edgevirt.api.kubevirt import VirtualMachine, VirtualMachineInstance
from edgevirt.api.kubevirt.machine import VirtualMachineStateChangeRequest
from edgevirt.api.kubevirt.phases import Phase, is_final
from edgevirt.api.kubevirt.strategies import RunStrategy, StateChangeAction

Requests = tuple[VirtualMachineStateChangeRequest, ...]


class Wish(Enum):
    """What should happen to the instance now."""

    NOTHING = "nothing"
    CREATE = "create"
    DELETE = "delete"


def run_strategy(vm: VirtualMachine) -> RunStrategy:
    """The strategy in force; the older `spec.running` stands for Always or Halted."""
    if vm.spec.run_strategy:
        return RunStrategy(vm.spec.run_strategy)
    return RunStrategy.ALWAYS if vm.spec.running else RunStrategy.HALTED


def phase_of(vmi: VirtualMachineInstance) -> Phase:
    return Phase(vmi.status.phase) if vmi.status else Phase.UNSET


def trim(requests: Requests, vmi: VirtualMachineInstance | None) -> Requests:
    """The requests that still wait; a Stop for a vanished instance and a Start while one lives are done."""
    while requests:
        first = requests[0]
        if first.action == StateChangeAction.STOP:
            answered = vmi is None or not first.uid or first.uid != vmi.metadata.uid
        else:
            answered = vmi is not None and not is_final(phase_of(vmi)) and not vmi.metadata.deletion_timestamp
        if not answered:
            break
        requests = requests[1:]
    return requests


def wish(vm: VirtualMachine, vmi: VirtualMachineInstance | None, requests: Requests) -> Wish:
    """What the strategy asks for. `requests` are trimmed. Back-off is not considered here."""
    strategy = run_strategy(vm)
    first = requests[0].action if requests else ""
    if vmi is None:
        return Wish.CREATE if _creates(strategy, vm, first) else Wish.NOTHING
    if vmi.metadata.deletion_timestamp:
        return Wish.NOTHING
    if strategy is RunStrategy.HALTED or first == StateChangeAction.STOP:
        return Wish.DELETE
    ended = is_final(phase_of(vmi))
    if ended and strategy in (RunStrategy.ALWAYS, RunStrategy.RERUN_ON_FAILURE):
        return Wish.DELETE
    return Wish.NOTHING


def _creates(strategy: RunStrategy, vm: VirtualMachine, first: str) -> bool:
    if strategy in (RunStrategy.ALWAYS, RunStrategy.ONCE):
        return True
    if first == StateChangeAction.START:
        return strategy is not RunStrategy.HALTED
    if strategy is RunStrategy.RERUN_ON_FAILURE:
        # A machine that has just been given this strategy is started once without being asked.
        recorded = vm.status.run_strategy if vm.status else ""
        return recorded != strategy
    return False


def wants_restart_after_failure(vm: VirtualMachine, vmi: VirtualMachineInstance, requests: Requests) -> bool:
    """RerunOnFailure: a failed instance is replaced by a queued Start, which survives our own restart."""
    if run_strategy(vm) is not RunStrategy.RERUN_ON_FAILURE or phase_of(vmi) is not Phase.FAILED:
        return False
    # A guest that somebody stopped (deletion or a Stop request) must not come back because it ended badly.
    stopped = bool(vmi.metadata.deletion_timestamp) or any(
        r.action == StateChangeAction.STOP for r in requests
    )
    return not stopped and not any(r.action == StateChangeAction.START for r in requests)
