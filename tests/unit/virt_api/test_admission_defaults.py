"""What is filled in on admission."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from edgevirt.api.kubevirt.labels import VM_FINALIZER
from edgevirt.virt_api import defaults, mac_address

pytestmark = pytest.mark.unit

Json = dict[str, Any]


def source() -> defaults.Source:
    numbers = itertools.count(1)
    return defaults.Source(
        new_uuid=lambda: f"00000000-0000-4000-8000-{next(numbers):012}", now=lambda: "2026-01-01T00:00:00Z"
    )


def vmi(**domain: Any) -> Json:
    return {
        "metadata": {"name": "a"},
        "spec": {"domain": {"devices": {}, "memory": {"guest": "64Mi"}, **domain}},
    }


def completed(instance: Json) -> Json:
    return defaults.instance(instance, "ns", source())


def test_minimal_instance_gets_everything_it_needs_to_run() -> None:
    spec = completed(vmi())["spec"]
    assert spec["architecture"] == "amd64"
    assert spec["evictionStrategy"] == "None"
    assert spec["domain"]["machine"] == {"type": "q35"}
    assert spec["domain"]["cpu"] == {"cores": 1, "sockets": 1, "threads": 1, "model": "host-model"}
    assert spec["domain"]["features"] == {"acpi": {"enabled": True}}
    assert spec["networks"] == [{"name": "default", "pod": {}}]
    (interface,) = spec["domain"]["devices"]["interfaces"]
    assert interface["name"] == "default"
    assert interface["bridge"] == {}


def test_instance_starts_pending_with_a_finalizer() -> None:
    after = completed(vmi())
    assert after["metadata"]["finalizers"] == ["kubevirt.io/foregroundDeleteVirtualMachine"]
    assert after["status"] == {
        "phase": "Pending",
        "phaseTransitionTimestamps": [
            {"phase": "Pending", "phaseTransitionTimestamp": "2026-01-01T00:00:00Z"}
        ],
        "runtimeUser": 107,
        "currentCPUTopology": {"cores": 1, "sockets": 1, "threads": 1},
        "memory": {"guestAtBoot": "64Mi", "guestCurrent": "64Mi", "guestRequested": "64Mi"},
    }


def test_status_given_on_create_is_dropped() -> None:
    assert (
        completed({**vmi(), "status": {"phase": "Running", "nodeName": "x"}})["status"]["phase"] == "Pending"
    )


def test_completing_twice_changes_nothing_more() -> None:
    once = completed(vmi())
    assert completed(once) == once


def test_input_is_not_changed() -> None:
    before = vmi()
    completed(before)
    assert before == vmi()


def test_sockets_follow_the_cpu_limit_when_no_topology_is_given() -> None:
    resources = {"requests": {"cpu": "1"}, "limits": {"cpu": "1500m"}}
    assert completed(vmi(resources=resources))["spec"]["domain"]["cpu"]["sockets"] == 2
    kept = completed(vmi(resources=resources, cpu={"threads": 2}))["spec"]["domain"]["cpu"]
    assert kept == {"threads": 2, "model": "host-model"}


@pytest.mark.parametrize(
    ("resources", "guest"),
    [
        ({"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}, "1Gi"),
        ({"limits": {"memory": "2Gi"}}, "2Gi"),
    ],
)
def test_guest_memory_follows_the_request_or_the_limit(resources: Json, guest: str) -> None:
    instance = vmi(resources=resources)
    del instance["spec"]["domain"]["memory"]
    assert completed(instance)["spec"]["domain"]["memory"] == {"guest": guest}


def test_no_network_is_attached_when_it_is_not_wanted() -> None:
    spec = completed(vmi(devices={"autoattachPodInterface": False}))["spec"]
    assert "networks" not in spec


def test_volume_without_disk_gets_one_and_every_disk_a_bus() -> None:
    instance = vmi(devices={"disks": [{"name": "b", "cdrom": {}}, {"name": "c", "disk": {"bus": "virtio"}}]})
    instance["spec"]["volumes"] = [{"name": name, "emptyDisk": {"capacity": "1Gi"}} for name in "abc"]
    assert completed(instance)["spec"]["domain"]["devices"]["disks"] == [
        {"name": "b", "cdrom": {"bus": "sata", "tray": "closed", "readonly": True}},
        {"name": "c", "disk": {"bus": "virtio"}},
        {"name": "a", "disk": {"bus": "sata"}},
    ]


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("alpine", "Always"),
        ("registry:5000/alpine", "Always"),
        ("registry:5000/alpine:latest", "Always"),
        ("registry:5000/alpine:3", "IfNotPresent"),
        ("alpine@sha256:0123", "IfNotPresent"),
    ],
)
def test_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    instance = vmi()
    instance["spec"]["volumes"] = [{"name": "a", "containerDisk": {"image": image}}]
    assert completed(instance)["spec"]["volumes"][0]["containerDisk"]["imagePullPolicy"] == policy


def test_recreated_instance_keeps_its_mac_address() -> None:
    one, other = (completed(vmi(firmware={"uuid": "11111111-1111-4111-8111-111111111111"})) for _ in range(2))
    first, second = (
        each["spec"]["domain"]["devices"]["interfaces"][0]["macAddress"] for each in (one, other)
    )
    assert first == second
    assert mac_address.is_unicast(first)
    assert int(first[:2], 16) & 2, "locally administered"


def test_mac_addresses_of_different_machines_differ() -> None:
    seen = {
        mac_address.derived(uuid, namespace, name, interface)
        for uuid in ("u1", "u2")
        for namespace in ("n1", "n2")
        for name in ("a", "b")
        for interface in ("x", "y")
    }
    assert len(seen) == 16


def test_given_mac_address_is_kept_in_usual_form() -> None:
    instance = vmi(devices={"interfaces": [{"name": "n", "bridge": {}, "macAddress": "02-AB-00-00-00-01"}]})
    instance["spec"]["networks"] = [{"name": "n", "pod": {}}]
    (interface,) = completed(instance)["spec"]["domain"]["devices"]["interfaces"]
    assert interface["macAddress"] == "02:ab:00:00:00:01"


def machine(template: Json | None = None) -> Json:
    return {
        "metadata": {"name": "a"},
        "spec": {"runStrategy": "Always", "template": template or {"spec": {}}},
    }


def test_new_machine_gets_an_identity_and_a_layout() -> None:
    template = defaults.machine(machine(), None, source())["spec"]["template"]
    assert template["metadata"]["annotations"] == {"kubevirt.io/pci-topology-version": "v3"}
    assert template["spec"]["architecture"] == "amd64"
    assert template["spec"]["domain"]["machine"] == {"type": "q35"}
    assert template["spec"]["domain"]["firmware"] == {
        "uuid": "00000000-0000-4000-8000-000000000001",
        "serial": "00000000-0000-4000-8000-000000000002",
    }


def test_replacing_a_machine_by_its_manifest_keeps_its_identity() -> None:
    stored = defaults.machine(machine(), None, source())
    assert defaults.machine(machine(), stored, source())["spec"] == stored["spec"]


def test_new_machine_has_the_finalizer_of_its_controller_once() -> None:
    stored = defaults.machine(machine(), None, source())
    assert stored["metadata"]["finalizers"] == [VM_FINALIZER]
    assert defaults.machine(stored, None, source())["metadata"]["finalizers"] == [VM_FINALIZER]


def test_finalizer_is_not_forced_on_a_stored_machine() -> None:
    # virt-controller takes it away at the end; admission must not put it back.
    stored = defaults.machine(machine(), None, source())
    assert "finalizers" not in defaults.machine(machine(), stored, source())["metadata"]


def test_identity_given_by_the_author_wins() -> None:
    stored = defaults.machine(machine(), None, source())
    wanted = machine({"spec": {"domain": {"firmware": {"uuid": "mine", "serial": "mine"}}}})
    firmware = defaults.machine(wanted, stored, source())["spec"]["template"]["spec"]["domain"]["firmware"]
    assert firmware == {"uuid": "mine", "serial": "mine"}


def test_status_written_by_a_stranger_is_reverted() -> None:
    old = {**vmi(), "status": {"phase": "Running"}}
    wanted = {**vmi(), "status": {"phase": "Failed"}}
    assert defaults.instance_update(wanted, old, by_component=False)["status"] == {"phase": "Running"}
    assert defaults.instance_update(wanted, old, by_component=True) is wanted
    assert "status" not in defaults.instance_update(wanted, vmi(), by_component=False)
