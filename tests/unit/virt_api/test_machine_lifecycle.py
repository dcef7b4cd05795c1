"""Start, stop and restart: what changes, and what is refused with which code."""

from __future__ import annotations

from typing import Any

import pytest

from edgevirt.api.kubevirt import VirtualMachine, VirtualMachineInstance
from edgevirt.api.kubevirt.devices import Devices
from edgevirt.api.kubevirt.domain import DomainSpec
from edgevirt.api.kubevirt.instance import (
    VirtualMachineInstanceCondition,
    VirtualMachineInstanceSpec,
    VirtualMachineInstanceStatus,
)
from edgevirt.api.kubevirt.machine import (
    VirtualMachineCondition,
    VirtualMachineInstanceTemplateSpec,
    VirtualMachineSpec,
    VirtualMachineStartFailure,
    VirtualMachineStateChangeRequest,
    VirtualMachineStatus,
)
from edgevirt.api.kubevirt.options import RestartOptions, StartOptions, StopOptions
from edgevirt.api.meta import ObjectMeta
from edgevirt.virt_api import lifecycle
from edgevirt.virt_api.lifecycle import Plan

pytestmark = pytest.mark.unit

START = {"action": "Start"}
START_PAUSED = {"action": "Start", "data": {"paused": "true"}}
STOP = {"action": "Stop", "uid": "u1"}
QUEUED = VirtualMachineStatus(
    state_change_requests=(VirtualMachineStateChangeRequest(action="Stop", uid="u1"),)
)


def vm(strategy: str, status: VirtualMachineStatus | None = None) -> VirtualMachine:
    return VirtualMachine(
        spec=VirtualMachineSpec(run_strategy=strategy, template=VirtualMachineInstanceTemplateSpec()),
        status=status,
    )


def vmi(phase: str, grace: int | None = None, condition: str = "") -> VirtualMachineInstance:
    conditions = (VirtualMachineInstanceCondition(type=condition, status="True"),) if condition else ()
    return VirtualMachineInstance(
        metadata=ObjectMeta(uid="u1"),
        spec=VirtualMachineInstanceSpec(
            domain=DomainSpec(devices=Devices()), termination_grace_period_seconds=grace
        ),
        status=VirtualMachineInstanceStatus(phase=phase, conditions=conditions),
    )


def requests(*queued: dict[str, Any]) -> Plan:
    return Plan(status={"stateChangeRequests": list(queued)})


def outcome(action: Any, *arguments: Any) -> Any:
    """The plan, or the code of the refusal."""
    try:
        return action(*arguments)
    except lifecycle.Refused as refusal:
        return refusal.code


@pytest.mark.parametrize(
    ("strategy", "phase", "paused", "expected"),
    [
        ("Halted", None, False, Plan(spec={"runStrategy": "Always"})),
        ("Halted", None, True, requests(START_PAUSED)),
        ("Halted", "Running", False, 409),
        ("Manual", None, False, requests(START)),
        ("Manual", "Succeeded", False, requests(STOP, START)),
        ("Manual", "Failed", True, requests(STOP, START_PAUSED)),
        ("Manual", "Scheduling", False, 409),
        ("RerunOnFailure", None, False, requests(START)),
        ("RerunOnFailure", "Succeeded", False, requests(STOP, START)),
        ("RerunOnFailure", "Failed", False, 409),
        ("Always", None, False, 409),
        ("Always", "Running", False, 409),
        ("Once", "Succeeded", False, 409),
    ],
)
def test_start_follows_the_run_strategy(
    strategy: str, phase: str | None, paused: bool, expected: Any
) -> None:
    running = vmi(phase) if phase else None
    assert outcome(lifecycle.start, vm(strategy), running, StartOptions(paused=paused)) == expected


@pytest.mark.parametrize(
    ("strategy", "phase", "grace", "expected"),
    [
        ("Always", "Running", None, Plan(spec={"runStrategy": "Halted"})),
        ("Always", "Running", 0, Plan(grace_seconds=0, spec={"runStrategy": "Halted"})),
        ("Always", None, 0, Plan(spec={"runStrategy": "Halted"})),
        ("Once", "Succeeded", None, Plan(spec={"runStrategy": "Halted"})),
        ("Manual", "Running", None, requests(STOP)),
        ("Manual", "Running", 5, Plan(grace_seconds=5, status={"stateChangeRequests": [STOP]})),
        ("Manual", None, None, 409),
        ("Manual", "Succeeded", None, 409),
        ("RerunOnFailure", "Running", None, requests(STOP)),
        ("Halted", None, None, 409),
        ("Halted", "Running", None, 409),
        ("Halted", "Running", 5, Plan(grace_seconds=5)),
        ("Halted", "Running", 60, 409),
        ("Always", "Running", -1, 400),
    ],
)
def test_stop_follows_the_run_strategy(
    strategy: str, phase: str | None, grace: int | None, expected: Any
) -> None:
    running = vmi(phase) if phase else None
    assert outcome(lifecycle.stop, vm(strategy), running, StopOptions(grace_period=grace)) == expected


@pytest.mark.parametrize(
    ("strategy", "phase", "grace", "expected"),
    [
        ("Always", "Running", None, requests(STOP, START)),
        ("Always", "Running", 0, Plan(grace_seconds=1, status={"stateChangeRequests": [STOP, START]})),
        ("Always", "Running", 5, 400),
        ("Always", "Running", -1, 400),
        ("Always", None, None, 409),
        ("Manual", "Succeeded", None, requests(STOP, START)),
        ("Manual", None, None, 409),
        ("Halted", "Running", None, 409),
        ("Once", "Running", 0, 409),
    ],
)
def test_restart_follows_the_run_strategy(
    strategy: str, phase: str | None, grace: int | None, expected: Any
) -> None:
    running = vmi(phase) if phase else None
    options = RestartOptions(grace_period_seconds=grace)
    assert outcome(lifecycle.restart, vm(strategy), running, options) == expected


def test_older_running_field_is_flipped_instead_of_the_run_strategy() -> None:
    template = VirtualMachineInstanceTemplateSpec()
    stopped = VirtualMachine(spec=VirtualMachineSpec(running=False, template=template))
    started = VirtualMachine(spec=VirtualMachineSpec(running=True, template=template))
    assert lifecycle.start(stopped, None, StartOptions()).spec == {"running": True}
    assert lifecycle.stop(started, vmi("Running"), StopOptions()).spec == {"running": False}


def test_a_stop_takes_the_place_of_what_is_queued_and_nothing_else_does() -> None:
    assert lifecycle.stop(vm("Manual", QUEUED), vmi("Running"), StopOptions()) == requests(STOP)
    assert outcome(lifecycle.restart, vm("Manual", QUEUED), vmi("Running"), RestartOptions()) == 500
    assert outcome(lifecycle.start, vm("Manual", QUEUED), None, StartOptions()) == 500


def test_asking_to_start_forgets_failed_starts() -> None:
    failed = VirtualMachineStatus(start_failure=VirtualMachineStartFailure(consecutive_fail_count=3))
    assert lifecycle.start(vm("Halted", failed), None, StartOptions()).status == {"startFailure": None}
    assert lifecycle.start(vm("Manual", failed), None, StartOptions()).status == {
        "stateChangeRequests": [START],
        "startFailure": None,
    }


def test_machine_in_need_of_recovery_is_not_started() -> None:
    condition = VirtualMachineCondition(type="ManualRecoveryRequired", status="True")
    machine = vm("Halted", VirtualMachineStatus(conditions=(condition,)))
    assert outcome(lifecycle.start, machine, None, StartOptions()) == 409


def test_machine_is_not_restarted_while_its_volumes_change() -> None:
    assert (
        outcome(lifecycle.restart, vm("Always"), vmi("Running", condition="VolumesChange"), RestartOptions())
        == 409
    )
