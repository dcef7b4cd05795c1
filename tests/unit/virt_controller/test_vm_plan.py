"""What a VirtualMachine's run strategy makes of its instance (kubevirt.io run strategies)."""

from __future__ import annotations

import msgspec
import pytest

from edgevirt.api.kubevirt import labels
from edgevirt.virt_controller.run_strategy import Wish
from edgevirt.virt_controller.start_backoff import Crashes, count_crash, delay
from edgevirt.virt_controller.vm_plan import Observed, instance_manifest, plan

pytestmark = pytest.mark.unit

START = [{"action": "Start"}]
STOP = [{"action": "Stop", "uid": "vmi-uid"}]


def decide(make, vm, vmi=None, **more):
    return plan(Observed(vm=vm, vmi=vmi, now=make.now, jitter=0.0, **more))


@pytest.mark.parametrize(
    ("strategy", "requests", "wanted"),
    [
        ("Always", [], Wish.CREATE),
        ("Once", [], Wish.CREATE),
        ("Halted", [], Wish.NOTHING),
        ("Halted", START, Wish.NOTHING),
        ("Manual", [], Wish.NOTHING),
        ("Manual", START, Wish.CREATE),
        ("RerunOnFailure", START, Wish.CREATE),
    ],
)
def test_machine_without_instance_gets_one_when_its_strategy_says_so(make, strategy, requests, wanted):
    vm = make.vm(strategy, stateChangeRequests=requests, runStrategy=strategy)
    assert decide(make, vm).instance is wanted


def test_rerun_on_failure_starts_once_when_the_strategy_is_new(make):
    assert decide(make, make.vm("RerunOnFailure")).instance is Wish.CREATE
    assert decide(make, make.vm("RerunOnFailure", runStrategy="RerunOnFailure")).instance is Wish.NOTHING


@pytest.mark.parametrize(
    ("strategy", "phase", "wanted"),
    [
        ("Always", "Running", Wish.NOTHING),
        ("Always", "Succeeded", Wish.DELETE),
        ("Always", "Failed", Wish.DELETE),
        ("RerunOnFailure", "Succeeded", Wish.DELETE),
        ("RerunOnFailure", "Failed", Wish.DELETE),
        ("Manual", "Succeeded", Wish.NOTHING),
        ("Manual", "Failed", Wish.NOTHING),
        ("Once", "Succeeded", Wish.NOTHING),
        ("Once", "Failed", Wish.NOTHING),
        ("Halted", "Running", Wish.DELETE),
        ("Halted", "Succeeded", Wish.DELETE),
    ],
)
def test_end_of_an_instance_is_answered_by_the_strategy(make, strategy, phase, wanted):
    vm = make.vm(strategy, runStrategy=strategy)
    assert decide(make, vm, make.vmi(phase, ran=700)).instance is wanted


def test_failed_instance_of_rerun_on_failure_queues_a_start(make):
    vm = make.vm("RerunOnFailure", runStrategy="RerunOnFailure")
    status = decide(make, vm, make.vmi("Failed", ran=700)).status
    assert [request.action for request in status.state_change_requests] == ["Start"]


def test_deleted_instance_of_rerun_on_failure_does_not_come_back(make):
    vm = make.vm("RerunOnFailure", runStrategy="RerunOnFailure")
    status = decide(make, vm, make.vmi("Failed", deleting=True, ran=700)).status
    assert status.state_change_requests == ()


def test_stop_request_deletes_the_instance_it_names(make):
    vm = make.vm("Manual", stateChangeRequests=STOP)
    assert decide(make, vm, make.vmi()).instance is Wish.DELETE


def test_stop_request_for_an_earlier_instance_is_forgotten(make):
    vm = make.vm("Manual", stateChangeRequests=[{"action": "Stop", "uid": "earlier"}])
    decided = decide(make, vm, make.vmi())
    assert decided.instance is Wish.NOTHING
    assert decided.status.state_change_requests == ()


def test_restart_deletes_first_and_starts_when_the_old_instance_is_gone(make):
    vm = make.vm("Manual", stateChangeRequests=[*STOP, *START])
    assert decide(make, vm, make.vmi()).instance is Wish.DELETE
    after = decide(make, vm)
    assert after.instance is Wish.CREATE
    assert [request.action for request in after.status.state_change_requests] == ["Start"]


def test_machine_holds_itself_until_its_instance_is_gone(make):
    held = [labels.VM_FINALIZER]
    vm = msgspec.structs.replace(
        make.vm(),
        metadata=msgspec.structs.replace(
            make.vm().metadata, deletion_timestamp="2026-03-01T11:59:00Z", finalizers=tuple(held)
        ),
    )
    with_instance = decide(make, vm, make.vmi())
    assert with_instance.instance is Wish.DELETE
    assert not with_instance.remove_finalizer
    assert with_instance.status.printable_status == "Terminating"
    assert decide(make, vm).remove_finalizer


def test_start_failures_wait_longer_each_time(make):
    assert [delay(n, 0.0) for n in (0, 1, 2, 3, 5, 6, 9)] == [0, 10, 40, 90, 250, 300, 300]
    assert delay(2, 0.999) < 60


def test_instance_that_never_ran_is_counted_once_and_slows_the_next_start(make):
    vm = make.vm()
    seen = decide(make, vm, make.vmi("Failed"))
    assert seen.status.start_failure.consecutive_fail_count == 1
    assert seen.status.start_failure.retry_after_timestamp == "2026-03-01T12:00:10Z"
    again = decide(make, msgspec.structs.replace(vm, status=seen.status), make.vmi("Failed"))
    assert again.status.start_failure == seen.status.start_failure
    gone = decide(make, msgspec.structs.replace(vm, status=seen.status))
    assert gone.instance is Wish.NOTHING
    assert gone.requeue_after == 10
    assert gone.status.printable_status == "CrashLoopBackOff"


def test_running_instance_clears_the_start_failure(make):
    failure = {
        "consecutiveFailCount": 3,
        "lastFailedVMIUID": "x",
        "retryAfterTimestamp": "2026-03-01T13:00:00Z",
    }
    assert decide(make, make.vm(startFailure=failure), make.vmi()).status.start_failure is None


def test_first_crash_of_a_running_guest_is_answered_at_once_and_later_ones_with_back_off(make):
    first = count_crash(Crashes(), make.vmi("Failed", ran=3))
    assert decide(make, make.vm(), make.vmi("Failed", ran=3), crashes=first).status.start_failure is None
    second = Crashes(count=2, last_uid="vmi-uid")
    failure = decide(make, make.vm(), make.vmi("Failed", ran=3), crashes=second).status.start_failure
    assert failure.consecutive_fail_count == 2
    assert failure.retry_after_timestamp == "2026-03-01T12:00:10Z"


def test_crashes_are_forgotten_after_ten_quiet_minutes(make):
    assert count_crash(Crashes(count=4, last_uid="old"), make.vmi("Failed", ran=601)).count == 1
    assert count_crash(Crashes(count=4, last_uid="old"), make.vmi("Failed", ran=5)).count == 5
    assert count_crash(Crashes(count=4, last_uid="vmi-uid"), make.vmi("Failed", ran=5)).count == 4


@pytest.mark.parametrize(
    ("vmi_conditions", "phase", "word"),
    [
        ([], "Scheduling", "Starting"),
        ([], "Running", "Running"),
        ([{"type": "Paused", "status": "True"}], "Running", "Paused"),
        (
            [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
            "Scheduling",
            "ErrorUnschedulable",
        ),
        (
            [{"type": "Synchronized", "status": "False", "reason": "ErrImagePull"}],
            "Scheduling",
            "ErrImagePull",
        ),
        (
            [{"type": "Synchronized", "status": "False", "reason": "ImagePullBackOff"}],
            "Scheduling",
            "ImagePullBackOff",
        ),
    ],
)
def test_printable_status_tells_the_state_in_one_word(make, vmi_conditions, phase, word):
    status = decide(make, make.vm(), make.vmi(phase, conditions=vmi_conditions)).status
    assert status.printable_status == word


def test_stopped_machine_says_stopped_and_not_ready(make):
    status = decide(make, make.vm("Halted")).status
    assert status.printable_status == "Stopped"
    assert [(c.type, c.status, c.reason) for c in status.conditions] == [("Ready", "False", "VMINotExists")]


def test_conditions_of_the_instance_are_copied_and_leave_with_it(make):
    agent = {"type": "AgentConnected", "status": "True", "lastTransitionTime": "2026-03-01T11:00:09Z"}
    ready = {"type": "Ready", "status": "True"}
    status = decide(make, make.vm(), make.vmi(conditions=[agent, ready])).status
    assert {c.type: c.status for c in status.conditions} == {"AgentConnected": "True", "Ready": "True"}
    assert status.ready
    vm = msgspec.structs.replace(make.vm(), status=status)
    later = decide(make, vm, make.vmi(conditions=[ready])).status
    assert {c.type for c in later.conditions} == {"Ready"}


def test_changed_template_of_a_running_machine_asks_for_a_restart(make):
    vm = make.vm()
    same = msgspec.to_builtins(vm.spec.template)
    changed = {**same, "metadata": {}}
    assert not any(
        c.type == "RestartRequired"
        for c in decide(make, vm, make.vmi(), started_template=same).status.conditions
    )
    status = decide(make, vm, make.vmi(), started_template=changed).status
    assert any(c.type == "RestartRequired" and c.status == "True" for c in status.conditions)


def test_instance_carries_the_templates_labels_and_its_machine_as_controller(make):
    manifest = instance_manifest(make.vm(), "revision-start-vm-vm-uid-1")
    assert manifest["metadata"]["labels"] == {"app": "web"}
    assert manifest["metadata"]["annotations"] == {"note": "kept", "kubevirt.io/vm-generation": "1"}
    owner = manifest["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("VirtualMachine", "vm-uid", True)
    assert manifest["spec"] == {"domain": {"devices": {}, "memory": {"guest": "128Mi"}}}
