"""What is refused on admission, where and why."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest

from edgevirt.virt_api import defaults
from edgevirt.virt_api.accounts import Account, Accounts, Role
from edgevirt.virt_api.validation import check_instance, check_instance_update, check_kubevirt, check_machine
from edgevirt.virt_api.validation.machine import warnings

pytestmark = pytest.mark.unit

Json = dict[str, Any]
STRANGER = Account()
_numbers = itertools.count(1)
SOURCE = defaults.Source(
    new_uuid=lambda: f"00000000-0000-4000-8000-{next(_numbers):012}", now=lambda: "2026-01-01T00:00:00Z"
)


def spec() -> Json:
    return {
        "domain": {
            "memory": {"guest": "128Mi"},
            "devices": {
                "disks": [
                    {"name": "boot", "disk": {"bus": "virtio"}},
                    {"name": "seed", "cdrom": {"bus": "sata"}},
                ],
                "interfaces": [{"name": "default", "bridge": {}}],
            },
        },
        "networks": [{"name": "default", "pod": {}}],
        "volumes": [
            {"name": "boot", "containerDisk": {"image": "registry.example/vm:1"}},
            {"name": "seed", "cloudInitNoCloud": {"userData": "#cloud-config\n"}},
        ],
    }


def change(target: Json, path: str, value: Any) -> None:
    """Set what is at a path of keys and indices joined by dots."""
    steps: list[Any] = [int(step) if step.isdigit() else step for step in path.split(".")]
    node: Any = target
    for step, following in itertools.pairwise(steps):
        if isinstance(step, str) and step not in node:
            node[step] = [] if isinstance(following, int) else {}
        node = node[step]
    if isinstance(node, list) and steps[-1] == len(node):
        node.append(value)
    else:
        node[steps[-1]] = value


def instance(**changes: Any) -> Json:
    vmi = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "a"},
        "spec": spec(),
    }
    for path, value in changes.items():
        change(vmi, path, value)
    return vmi


def causes(vmi: Json, account: Account = STRANGER) -> list[tuple[str, str]]:
    found = check_instance(defaults.instance(vmi, "ns", SOURCE), account)
    for cause in found:
        assert cause.message, cause
    return [(cause.field, cause.reason.removeprefix("FieldValue")) for cause in found]


def test_ordinary_instance_is_accepted() -> None:
    assert causes(instance()) == []


DISK = "spec.domain.devices.disks"
NIC = "spec.domain.devices.interfaces"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("spec.hostname", "Bad_Host", [("spec.hostname", "Invalid")]),
        ("spec.terminationGracePeriodSeconds", -1, [("spec.terminationGracePeriodSeconds", "Invalid")]),
        ("spec.domain.memory.guest", "0", [("spec.domain.memory.guest", "Invalid")]),
        ("spec.domain.memory.guest", "abc", None),
        (
            "spec.domain.resources.requests.memory",
            "-1Gi",
            [("spec.domain.resources.requests.memory", "Invalid")],
        ),
        (
            "spec.domain.resources.requests.memory",
            "100",
            [("spec.domain.resources.requests.memory", "Invalid")],
        ),
        ("spec.domain.resources.limits.memory", "64Mi", [("spec.domain.memory.guest", "Invalid")]),
        (
            "spec.domain.resources",
            {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
            [("spec.domain.resources.requests.cpu", "Invalid")],
        ),
        ("spec.domain.cpu", {"sockets": 64, "cores": 64, "threads": 2}, [("spec.domain.cpu", "Invalid")]),
        ("spec.domain.cpu", {"cores": -1}, [("spec.domain.cpu.cores", "Invalid")]),
        ("spec.domain.cpu.model", "a<b", [("spec.domain.cpu.model", "Invalid")]),
        ("spec.domain.machine.type", "pc-i440fx-2.1", [("spec.domain.machine.type", "Invalid")]),
        ("spec.domain.firmware.uuid", "zz", [("spec.domain.firmware.uuid", "Invalid")]),
        (
            "spec.domain.firmware.bootloader",
            {"efi": {}},
            [("spec.domain.firmware.bootloader.efi.secureBoot", "NotSupported")],
        ),
        (
            "spec.domain.firmware.bootloader",
            {"efi": {"secureBoot": False}, "bios": {}},
            [("spec.domain.firmware.bootloader.efi", "Invalid")],
        ),
        ("spec.domain.clock.timezone", "Nowhere/Land", [("spec.domain.clock.timezone", "Invalid")]),
        ("spec.domain.clock", {"timezone": "UTC", "utc": {}}, [("spec.domain.clock.timezone", "Invalid")]),
        (f"{DISK}.0.name", "zz", [(f"{DISK}[0].name", "Invalid")]),
        (f"{DISK}.1.name", "boot", [(f"{DISK}[1].name", "Duplicate")]),
        (f"{DISK}.0.cdrom", {"bus": "sata"}, [(f"{DISK}[0]", "Invalid")]),
        (f"{DISK}.0.disk.bus", "ide", [(f"{DISK}[0].disk.bus", "Invalid")]),
        (f"{DISK}.1.cdrom.bus", "virtio", [(f"{DISK}[1].cdrom.bus", "Invalid")]),
        (f"{DISK}.0.disk", {"bus": "sata", "readonly": True}, [(f"{DISK}[0].disk.bus", "Invalid")]),
        (f"{DISK}.0.bootOrder", 0, [(f"{DISK}[0].bootOrder", "Invalid")]),
        (f"{DISK}.0.serial", "a b", [(f"{DISK}[0].serial", "Invalid")]),
        (f"{DISK}.0.cache", "maybe", [(f"{DISK}[0].cache", "NotSupported")]),
        ("spec.volumes.0.emptyDisk", {"capacity": "1Gi"}, [("spec.volumes[0]", "Invalid")]),
        ("spec.volumes.0", {"name": "boot"}, [("spec.volumes[0]", "Invalid")]),
        ("spec.volumes.0.containerDisk.image", "", [("spec.volumes[0].containerDisk.image", "Required")]),
        ("spec.volumes.0.containerDisk.path", "/disk/../x", [("spec.volumes[0].containerDisk", "Invalid")]),
        ("spec.volumes.0.containerDisk.path", "/", [("spec.volumes[0].containerDisk", "Invalid")]),
        (
            "spec.volumes.0.containerDisk.imagePullPolicy",
            "Often",
            [("spec.volumes[0].containerDisk.imagePullPolicy", "NotSupported")],
        ),
        ("spec.volumes.1.cloudInitNoCloud", {}, [("spec.volumes[1].cloudInitNoCloud", "Invalid")]),
        (
            "spec.volumes.1.cloudInitNoCloud",
            {"userData": "a", "secretRef": {"name": "b"}},
            [("spec.volumes[1].cloudInitNoCloud", "Invalid")],
        ),
        (
            "spec.volumes.1.cloudInitNoCloud.userData",
            "a" * 2049,
            [("spec.volumes[1].cloudInitNoCloud", "Invalid")],
        ),
        (
            "spec.volumes.1.cloudInitNoCloud.networkDataBase64",
            "?",
            [("spec.volumes[1].cloudInitNoCloud.networkDataBase64", "Invalid")],
        ),
        (f"{NIC}.0.name", "no net", None),
        (f"{NIC}.0", {"name": "default"}, [(f"{NIC}[0]", "Invalid")]),
        (f"{NIC}.0.model", "foo", [(f"{NIC}[0].model", "NotSupported")]),
        (f"{NIC}.0.macAddress", "01:00:00:00:00:01", [(f"{NIC}[0].macAddress", "Invalid")]),
        (f"{NIC}.0.macAddress", "zz", [(f"{NIC}[0].macAddress", "Invalid")]),
        (f"{NIC}.1", {"name": "default", "bridge": {}}, [(f"{NIC}[1].name", "Duplicate")]),
        ("spec.networks.0", {"name": "default"}, [("spec.networks[0]", "Required")]),
        ("spec.networks.1", {"name": "more", "pod": {}}, None),
        ("spec.tolerations", [{"operator": "Equal"}], [("spec.tolerations[0].operator", "Invalid")]),
        ("metadata.labels", {"kubevirt.io/nodeName": "n"}, [("metadata.labels", "NotSupported")]),
        ("metadata.annotations", {"kubevirt.io/ignitiondata": "{}"}, [("metadata.annotations", "Invalid")]),
        ("spec.architecture", "arm64", [("spec.architecture", "NotSupported")]),
        ("spec.livenessProbe", {"guestAgentPing": {}}, [("spec.livenessProbe", "NotSupported")]),
        (f"{NIC}.0", {"name": "default", "masquerade": {}}, [(f"{NIC}[0].masquerade", "NotSupported")]),
    ],
)
def test_mistake_is_refused_where_it_is(
    path: str, value: Any, expected: list[tuple[str, str]] | None
) -> None:
    found = causes(instance(**{path: value}))
    if expected is None:
        assert found
    else:
        assert found == expected


def test_missing_memory_is_refused() -> None:
    vmi = instance()
    del vmi["spec"]["domain"]["memory"]
    assert causes(vmi) == [("spec.domain.memory.guest", "Required")]


def test_boot_orders_must_differ() -> None:
    vmi = instance(**{f"{DISK}.0.bootOrder": 1, f"{DISK}.1.bootOrder": 1})
    assert causes(vmi) == [(f"{DISK}[1].bootOrder", "Invalid")]


def test_schema_mistakes_come_alone_and_name_the_field() -> None:
    vmi = instance(**{"spec.domain.devices.disks.0.bootOrdr": 1, "spec.hostname": "Bad_Host"})
    vmi["spec"]["domain"]["cpu"] = {"cores": "two"}
    found = check_instance(vmi, STRANGER)
    assert {(cause.field) for cause in found} == {
        "spec.domain.devices.disks[0].bootOrdr",
        "spec.domain.cpu.cores",
    }
    assert any("whole number" in cause.message for cause in found)


def test_unknown_field_in_a_lenient_place_is_refused_too() -> None:
    vmi = instance(**{"spec.domain.clock.utcc": {}})
    assert [cause.field for cause in check_instance(vmi, STRANGER)] == ["spec.domain.clock.utcc"]


def test_components_may_set_reserved_labels() -> None:
    vmi = instance(**{"metadata.labels": {"kubevirt.io/nodeName": "n"}})
    assert causes(vmi, Account(Role.CONTROLLER)) == []


def machine(**changes: Any) -> Json:
    vm: Json = {"metadata": {"name": "a"}, "spec": {"runStrategy": "Always", "template": {"spec": spec()}}}
    for path, value in changes.items():
        change(vm, path, value)
    return vm


def machine_causes(vm: Json, old: Json | None = None) -> list[tuple[str, str]]:
    return [(cause.field, cause.reason.removeprefix("FieldValue")) for cause in check_machine(vm, old)]


def test_ordinary_machine_is_accepted_before_and_after_defaults() -> None:
    assert machine_causes(machine()) == []
    assert machine_causes(defaults.machine(machine(), None, SOURCE)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"spec.running": True}, [("spec.running", "Invalid")]),
        ({"spec.runStrategy": ""}, [("spec.running", "Invalid")]),
        (
            {"spec.runStrategy": "Sometimes"},
            [("spec.runStrategy", "Invalid")],
        ),
        ({"spec.template.spec.subdomain": "x"}, [("spec.template.spec.subdomain", "NotSupported")]),
        (
            {"spec.template.spec.domain.devices.disks.0.name": "zz"},
            [("spec.template.spec.domain.devices.disks[0].name", "Invalid")],
        ),
        (
            {"spec.template.metadata.labels": {"kubevirt.io/created-by": "x"}},
            [("spec.template.metadata.labels", "NotSupported")],
        ),
        ({"spec.instancetype": {"name": "x"}}, [("spec.instancetype", "NotSupported")]),
    ],
)
def test_mistake_in_a_machine_is_refused_where_it_is(changes: Json, expected: list[tuple[str, str]]) -> None:
    assert machine_causes(machine(**changes)) == expected


def test_machine_without_template_is_refused() -> None:
    assert machine_causes({"spec": {"runStrategy": "Always"}}) == [("spec.template", "Required")]


def test_metadata_of_a_machine_with_an_outdated_spec_can_be_changed() -> None:
    old = machine(**{"spec.template.spec.subdomain": "x"})
    new = copy.deepcopy(old)
    new["metadata"]["labels"] = {"a": "b"}
    assert machine_causes(new, old) == []


def test_finalizers_come_off_a_machine_that_is_being_deleted() -> None:
    old = machine(**{"spec.template.spec.subdomain": "x"})
    new = machine(**{"metadata.deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert machine_causes(new, old) == []


def test_deprecated_field_is_accepted_with_a_warning() -> None:
    vm = machine()
    del vm["spec"]["runStrategy"]
    vm["spec"]["running"] = True
    assert machine_causes(vm) == []
    assert len(warnings(vm)) == 1
    assert warnings(machine()) == []


HANDLER = Account(Role.HANDLER, node="n1")


def stored() -> Json:
    vmi = defaults.instance(instance(**{"metadata.labels": {"kubevirt.io/nodeName": "n1"}}), "ns", SOURCE)
    vmi["status"]["nodeName"] = "n1"
    return vmi


@pytest.mark.parametrize(
    ("account", "path", "value", "refused"),
    [
        (STRANGER, "metadata.labels.app", "x", []),
        (STRANGER, "metadata.labels", {"kubevirt.io/nodeName": "n2"}, ["metadata.labels"]),
        (STRANGER, "metadata.labels", {}, ["metadata.labels"]),
        (STRANGER, "spec.terminationGracePeriodSeconds", 5, ["spec"]),
        (Account(Role.API), "spec.terminationGracePeriodSeconds", 5, []),
        (Account(Role.CONTROLLER), "spec.domain.cpu.sockets", 2, ["spec.domain"]),
        (Account(Role.CONTROLLER), "metadata.labels", {"kubevirt.io/nodeName": "n2"}, []),
        (Account(Role.CONTROLLER), "metadata.finalizers", [], []),
        (HANDLER, "status.phase", "Running", []),
        (HANDLER, "spec.terminationGracePeriodSeconds", 5, ["spec"]),
        (HANDLER, "metadata.labels", {}, ["metadata.labels"]),
        (HANDLER, "metadata.finalizers", ["x/y"], ["metadata.finalizers"]),
        (Account(Role.HANDLER, node="n2"), "status.phase", "Running", ["status.nodeName"]),
        (Account(Role.HANDLER, node_required=True), "status.phase", "Running", ["status.nodeName"]),
        (Account(Role.HANDLER, node_required=False), "status.phase", "Running", []),
    ],
)
def test_only_those_in_charge_may_change_an_instance(
    account: Account, path: str, value: Any, refused: list[str]
) -> None:
    new = stored()
    change(new, path, value) if path != "metadata.labels.app" else new["metadata"]["labels"].update(app=value)
    old = stored()
    old["spec"]["domain"]["firmware"] = new["spec"]["domain"]["firmware"]
    old["spec"]["domain"]["devices"]["interfaces"] = new["spec"]["domain"]["devices"]["interfaces"]
    assert [cause.field for cause in check_instance_update(new, old, account)] == refused


def test_accounts_are_known_by_name_and_namespace() -> None:
    accounts = Accounts()
    name = "system:serviceaccount:kubevirt:kubevirt-handler"
    handler = accounts.of(name, {"authentication.kubernetes.io/node-name": ("n1",)})
    assert (handler.role, handler.node) == (Role.HANDLER, "n1")
    assert not accounts.of("system:serviceaccount:other:kubevirt-handler", {}).is_component
    assert not accounts.of("system:serviceaccount:kubevirt:", {}).is_component


def test_configuration_that_is_not_implemented_is_refused_by_path() -> None:
    kubevirt: Json = {"spec": {"configuration": {"developerConfiguration": {"useEmulation": True}}}}
    assert check_kubevirt(kubevirt, None, ()) == []
    kubevirt["spec"]["configuration"]["machineType"] = "q35"
    assert [each.field for each in check_kubevirt(kubevirt, None, ())] == ["spec.configuration.machineType"]
    assert check_kubevirt(kubevirt, kubevirt, ()) == []


def test_there_is_one_kubevirt_object() -> None:
    (cause,) = check_kubevirt({"spec": {}}, None, ["kubevirt/kubevirt"])
    assert "kubevirt/kubevirt" in cause.message
