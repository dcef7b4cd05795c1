"""How an instance gets its launcher pod and is handed to virt-handler."""

from __future__ import annotations

import msgspec
import pytest

from edgevirt.api.kubevirt.conditions import ConditionReason
from edgevirt.virt_controller.vmi_plan import Observed, PodAction, SyncError, plan

pytestmark = pytest.mark.unit


def decide(make, vmi, *pods, error=None):
    return plan(Observed(vmi, tuple(pods), make.now, error))


def ready(status):
    return next((c.status, c.reason) for c in status.conditions if c.type == "Ready")


def test_pending_instance_gets_a_pod(make):
    assert decide(make, make.vmi("Pending")).pod is PodAction.CREATE


def test_instance_is_scheduling_once_its_pod_exists(make):
    status = decide(make, make.vmi("Pending"), make.pod()).status
    assert status.phase == "Scheduling"
    assert status.active_pods == {"pod-uid": ""}
    assert status.launcher_container_image_version == "launcher:1"
    assert status.memory.memory_overhead == "150Mi"
    assert ready(status) == ("False", "GuestNotRunning")


def test_bound_but_unready_pod_causes_no_further_write(make):
    first = decide(make, make.vmi("Pending"), make.pod()).status
    vmi = msgspec.structs.replace(make.vmi("Pending"), status=first)
    assert decide(make, vmi, make.pod(node="n1")).status == first


def test_ready_pod_hands_the_instance_over(make):
    decided = decide(make, make.vmi("Scheduling"), make.ready_pod())
    assert decided.node_label == "n1"
    assert decided.status.phase == "Scheduled"
    assert decided.status.node_name == "n1"
    assert decided.status.active_pods == {"pod-uid": "n1"}
    assert decided.status.phase_transition_timestamps[-1].phase == "Scheduled"


def test_unschedulable_pod_is_told_on_the_instance(make):
    trouble = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no memory"}
    status = decide(make, make.vmi("Scheduling"), make.pod(conditions=[trouble])).status
    assert [(c.reason, c.message) for c in status.conditions if c.type == "PodScheduled"] == [
        ("Unschedulable", "no memory")
    ]


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_failing_image_pull_is_told_on_the_instance(make, reason):
    waiting = {"name": "compute", "state": {"waiting": {"reason": reason, "message": "no such image"}}}
    status = decide(make, make.vmi("Scheduling"), make.pod(containerStatuses=[waiting])).status
    assert [(c.status, c.reason, c.message) for c in status.conditions if c.type == "Synchronized"] == [
        ("False", reason, "no such image")
    ]


def test_trouble_is_forgotten_when_the_pod_comes_up(make):
    conditions = [{"type": "Synchronized", "status": "False", "reason": "ErrImagePull"}]
    status = decide(make, make.vmi("Scheduling", conditions=conditions), make.ready_pod()).status
    assert {c.type for c in status.conditions} == {"Ready"}


def test_pod_that_ends_before_the_guest_ran_fails_the_instance_with_its_words(make):
    dead = {"name": "compute", "state": {"terminated": {"exitCode": 3, "message": "no libvirtd"}}}
    status = decide(make, make.vmi("Scheduling"), make.pod(phase="Failed", containerStatuses=[dead])).status
    assert status.phase == "Failed"
    assert any("exit code 3: no libvirtd" in c.message for c in status.conditions)


@pytest.mark.parametrize("phase", ["Scheduled", "Running"])
def test_vanished_pod_fails_an_instance_that_virt_handler_had(make, phase):
    status = decide(make, make.vmi(phase)).status
    assert status.phase == "Failed"
    assert ready(status) == ("False", "PodNotExists")


def test_ended_pod_of_a_running_instance_only_makes_it_unready(make):
    status = decide(make, make.vmi("Running"), make.pod(phase="Failed")).status
    assert status.phase == "Running"
    assert ready(status) == ("False", "PodTerminating")


def test_running_instance_is_left_to_virt_handler(make):
    decided = decide(make, make.vmi("Running"), make.ready_pod())
    assert (decided.pod, decided.status, decided.remove_finalizer) == (PodAction.NOTHING, None, False)


def test_deleted_running_instance_waits_for_virt_handler_to_shut_the_guest_down(make):
    decided = decide(make, make.vmi("Running", deleting=True), make.ready_pod())
    assert decided.pod is PodAction.NOTHING
    assert not decided.remove_finalizer


def test_ended_deleted_instance_loses_its_pod_first_and_then_its_finalizer(make):
    vmi = make.vmi("Succeeded", deleting=True, ran=5)
    assert decide(make, vmi, make.pod()).pod is PodAction.DELETE
    going = decide(make, vmi, make.pod(deleting=True))
    assert (going.pod, going.remove_finalizer) == (PodAction.NOTHING, False)
    assert decide(make, vmi).remove_finalizer


def test_instance_deleted_before_it_was_scheduled_needs_no_virt_handler(make):
    vmi = make.vmi("Scheduling", deleting=True)
    assert decide(make, vmi, make.pod()).pod is PodAction.DELETE
    assert decide(make, vmi).remove_finalizer


def test_pod_that_cannot_be_created_is_told_on_the_instance(make):
    error = SyncError(ConditionReason.FAILED_CREATE, "forbidden: quota")
    decided = decide(make, make.vmi("Pending"), error=error)
    assert decided.pod is PodAction.CREATE
    assert [(c.reason, c.message) for c in decided.status.conditions] == [
        ("FailedCreate", "forbidden: quota")
    ]
