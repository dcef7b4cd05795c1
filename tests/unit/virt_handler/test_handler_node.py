from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgevirt.api.core import Node, Pod
from edgevirt.api.kubevirt import VirtualMachineInstance
from edgevirt.virt_handler import devices, node, pods
from edgevirt.virt_handler.kvm_probe import KVMState, Verdict
from edgevirt.virt_handler.lifecycle import PodState

pytestmark = pytest.mark.unit

NOW = "2026-01-02T03:04:05Z"
PROVEN = Verdict(state=KVMState.PROVEN, message="ran")
HANGS = Verdict(state=KVMState.PROBE_TIMED_OUT, message="did not finish")


def make_node(**fields: Any) -> Node:
    return msgspec.convert({"metadata": {"name": "n1"}, **fields}, Node)


def owner(api_version: str = "kubevirt.io/v1", uid: str = "vmi-1", controller: bool = True) -> dict[str, Any]:
    kind = "VirtualMachineInstance"
    return {"apiVersion": api_version, "kind": kind, "name": "vm1", "uid": uid, "controller": controller}


def make_pod(**changes: Any) -> Pod:
    pod: dict[str, Any] = {
        "metadata": {"name": "launcher", "namespace": "ns", "uid": "pod-1", "ownerReferences": [owner()]},
        "spec": {"containers": [{"name": "compute"}]},
        "status": {"phase": "Running"},
    }  # fmt: skip
    for key, value in changes.items():
        pod[key] = {**pod[key], **value}
    return msgspec.convert(pod, Pod)


VMI = msgspec.convert(
    {
        "metadata": {"name": "vm1", "namespace": "ns", "uid": "vmi-1"},
        "spec": {"domain": {"devices": {}}},
        "status": {"activePods": {"pod-1": "n1"}},
    },
    VirtualMachineInstance,
)


# The node object


def test_a_new_node_gets_labels_and_the_agents_address() -> None:
    patch = node.metadata_patch(make_node(), node.labels(HANGS), "192.0.2.1:8186", NOW)
    assert patch == {
        "metadata": {
            "labels": {
                "kubevirt.io/schedulable": "true",
                "edgevirt.io/virtualization": "tcg",
                "machine-type.node.kubevirt.io/q35": "true",
            },
            "annotations": {
                "edgevirt.io/virt-handler-address": "192.0.2.1:8186",
                "kubevirt.io/heartbeat": NOW,
            },
        }
    }  # fmt: skip


def test_a_node_that_says_it_all_is_not_written_again() -> None:
    said = make_node(
        metadata={
            "name": "n1",
            "labels": node.labels(PROVEN),
            "annotations": {"edgevirt.io/virt-handler-address": "a:1"},
        }
    )
    assert node.metadata_patch(said, node.labels(PROVEN), "a:1", NOW) is None
    assert node.metadata_patch(said, node.labels(HANGS), "a:1", NOW) is not None
    assert node.metadata_patch(said, node.labels(PROVEN), "a:2", NOW) is not None


def test_the_kvm_condition_states_the_verdict_once() -> None:
    patch = node.condition_patch(make_node(), HANGS, NOW)
    assert patch is not None
    (condition,) = patch["status"]["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "ProbeTimedOut")
    said = make_node(status={"conditions": [condition]})
    assert node.condition_patch(said, HANGS, "2027-01-01T00:00:00Z") is None
    changed = node.condition_patch(said, PROVEN, "2027-01-01T00:00:00Z")
    assert changed is not None
    assert changed["status"]["conditions"][0]["lastTransitionTime"] == "2027-01-01T00:00:00Z"


class Register:
    def __init__(self) -> None:
        self.announced: dict[str, int] = {}

    def register(self, resource_name: str, count: int, device_paths: object) -> None:
        self.announced[resource_name] = count


def test_kvm_is_announced_only_if_proven() -> None:
    without, with_kvm = Register(), Register()
    devices.announce(without, HANGS)
    devices.announce(with_kvm, PROVEN)
    assert "devices.kubevirt.io/kvm" not in without.announced
    assert with_kvm.announced["devices.kubevirt.io/kvm"] == 1000


# Which pod


def test_the_launcher_is_the_owned_pod_that_is_active_here() -> None:
    assert pods.launcher_of(VMI, "n1", [make_pod()]) is not None


@pytest.mark.parametrize(
    "impostor",
    [
        {"metadata": {"ownerReferences": [], "labels": {"kubevirt.io/created-by": "vmi-1"}}},
        {"metadata": {"uid": "pod-2"}},
        {"metadata": {"ownerReferences": [owner(api_version="evil.io/v1")]}},
        {"metadata": {"ownerReferences": [owner(controller=False)]}},
        {"metadata": {"ownerReferences": [owner(uid="vmi-2")]}},
    ],
)
def test_a_pod_that_only_looks_like_the_launcher_is_none(impostor: dict[str, Any]) -> None:
    assert pods.launcher_of(VMI, "n1", [make_pod(**impostor)]) is None


def test_a_launcher_of_another_node_is_not_ours() -> None:
    assert pods.launcher_of(VMI, "n2", [make_pod()]) is None


@pytest.mark.parametrize(
    ("phase", "state"),
    [("Running", PodState.PRESENT), ("Succeeded", PodState.SUCCEEDED), ("Failed", PodState.FAILED)],
)
def test_a_pods_phase_tells_whether_it_ended(phase: str, state: PodState) -> None:
    assert pods.state_of(make_pod(status={"phase": phase})) is state


def test_a_pods_end_is_told_with_the_containers_exit_code() -> None:
    terminated = {"exitCode": 137, "reason": "OOMKilled"}
    status = {
        "phase": "Failed",
        "containerStatuses": [{"name": "compute", "state": {"terminated": terminated}}],
    }
    assert pods.message_of(make_pod(status=status)) == "container compute: OOMKilled (exit code 137)"


def test_a_pods_grace_begins_when_its_deletion_was_asked_for() -> None:
    going = make_pod(metadata={"deletionTimestamp": "2026-01-01T00:01:00Z", "deletionGracePeriodSeconds": 60})
    assert pods.stop_requested_at(VMI, going) == 1767225600.0
    assert pods.stop_requested_at(VMI, make_pod()) is None


def test_kvm_is_used_only_by_a_pod_that_asked_for_it() -> None:
    limits = {"resources": {"limits": {"devices.kubevirt.io/kvm": "1"}}}
    assert pods.requests_kvm(make_pod(spec={"containers": [{"name": "compute", **limits}]}))
    assert not pods.requests_kvm(make_pod())
