from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgevirt.api.kubevirt import VirtualMachineInstance
from edgevirt.api.kubevirt.phases import Phase
from edgevirt.api.launcher import (
    DHCPLease,
    DomainState,
    DomainStatus,
    Event,
    GuestInterface,
    GuestLink,
    GuestOSInfo,
    StateReason,
)
from edgevirt.kube.status_patch import status_patch
from edgevirt.virt_handler import guest_data, identity, migratability, vmi_status
from edgevirt.virt_handler.vmi_status import Emulation, Facts

pytestmark = pytest.mark.unit

NOW = "2026-01-02T03:04:05Z"
MAC = "02:00:00:12:34:56"
LINK = GuestLink(
    name="default",
    tap="tap0",
    mac=MAC,
    dhcp=DHCPLease(interface="k6t-eth0", server="169.254.75.10", mac=MAC, address="10.244.0.7/24"),
)
RUNNING = DomainStatus(
    uid="u1",
    state=DomainState.RUNNING,
    virtualization="qemu",
    machine_type="pc-q35-7.2",
    interfaces=(GuestInterface(name="default", mac=MAC),),
)
READY = {"type": "Ready", "status": "False", "reason": "GuestNotRunning", "lastTransitionTime": NOW}


def make_vmi(
    phase: str = "Scheduled", conditions: list[Any] | None = None, **spec: Any
) -> VirtualMachineInstance:
    domain = {
        "devices": {"interfaces": [{"name": "default", "bridge": {}}], **spec.pop("devices", {})},
        **spec.pop("domain", {}),
    }
    return msgspec.convert(
        {
            "metadata": {
                "name": "vm1", "namespace": "ns", "uid": "u1", "resourceVersion": "7",
                "annotations": spec.pop("annotations", {}),
            },
            "spec": {"domain": domain, "networks": [{"name": "default", "pod": {}}], **spec},
            "status": {
                "phase": phase,
                "nodeName": "n1",
                "conditions": conditions or [],
                "phaseTransitionTimestamps": [
                    {"phase": phase, "phaseTransitionTimestamp": "2026-01-01T00:00:00Z"}
                ],
            },
        },
        VirtualMachineInstance,
    )  # fmt: skip


def patch_of(vmi: VirtualMachineInstance, facts: Facts) -> dict[str, Any] | None:
    return on_the_wire(status_patch(vmi.metadata, vmi.status, vmi_status.compose(vmi, facts)))


def on_the_wire(patch: dict[str, Any] | None) -> dict[str, Any] | None:
    found: dict[str, Any] | None = msgspec.json.decode(msgspec.json.encode(patch))
    return found


def running(**fields: Any) -> Facts:
    return Facts(**({"phase": Phase.RUNNING, "now": NOW, "domain": RUNNING, "links": (LINK,)} | fields))


def conditions_of(patch: dict[str, Any] | None) -> dict[str, dict[str, str]]:
    assert patch is not None
    return {condition["type"]: condition for condition in patch["status"]["conditions"]}


def settled(facts: Facts, conditions: list[Any] | None = None) -> VirtualMachineInstance:
    """A VMI that already says what `facts` say."""
    vmi = make_vmi(conditions=conditions)
    return msgspec.structs.replace(vmi, status=vmi_status.compose(vmi, facts))


def test_one_write_says_everything_about_a_start() -> None:
    patch = patch_of(make_vmi(), running(emulation=Emulation("KVMNoDevice", "/dev/kvm is missing")))
    assert patch is not None
    assert patch["metadata"] == {"uid": "u1", "resourceVersion": "7"}
    status = patch["status"]
    assert status["phase"] == "Running"
    assert status["machine"] == {"type": "pc-q35-7.2"}
    assert status["phaseTransitionTimestamps"][-1] == {"phase": "Running", "phaseTransitionTimestamp": NOW}
    assert len(status["phaseTransitionTimestamps"]) == 2
    assert status["interfaces"] == [
        {
            "name": "default",
            "mac": MAC,
            "ipAddress": "10.244.0.7",
            "ipAddresses": ["10.244.0.7"],
            "infoSource": "domain",
            "podInterfaceName": "eth0",
            "linkState": "up",
        }
    ]
    found = conditions_of(patch)
    assert found["SoftwareEmulation"]["reason"] == "KVMNoDevice"
    assert found["LiveMigratable"]["status"] == "False"
    assert found["LiveMigratable"]["reason"] == "InterfaceNotLiveMigratable"
    assert "AgentConnected" not in found


def test_a_guest_that_runs_is_ready_with_the_same_write() -> None:
    found = conditions_of(patch_of(make_vmi(conditions=[READY]), running()))
    assert found["Ready"]["status"] == "True"


def test_unreadiness_that_virt_controller_wrote_later_is_kept() -> None:
    trouble = {**READY, "reason": "PodTerminating"}
    patched = patch_of(make_vmi(phase="Running", conditions=[trouble]), running())
    assert conditions_of(patched)["Ready"]["reason"] == "PodTerminating"


def test_nothing_new_is_no_write() -> None:
    assert patch_of(settled(running()), running(now="2027-01-01T00:00:00Z")) is None


def test_before_the_domain_is_known_nothing_is_taken_back() -> None:
    """After a restart the agent of a running guest is not declared gone for want of a connection."""
    connected = msgspec.structs.replace(RUNNING, agent_connected=True)
    vmi = settled(running(domain=connected))
    assert patch_of(vmi, running(domain=None, links=())) is None


def test_the_agent_brings_addresses_and_the_system_in_one_write() -> None:
    domain = msgspec.structs.replace(
        RUNNING,
        agent_connected=True,
        guest_os_info=GuestOSInfo(id="debian", pretty_name="Debian 12"),
        interfaces=(
            GuestInterface(
                name="default",
                mac=MAC,
                interface_name="enp1s0",
                ip_addresses=("fe80::1", "2001:db8::7", "10.244.0.7"),
            ),
            GuestInterface(mac="02:00:00:00:00:01", interface_name="docker0", ip_addresses=("172.17.0.1",)),
            GuestInterface(interface_name="lo", ip_addresses=("127.0.0.1",)),
        ),
    )
    vmi = settled(running())
    wanted = vmi_status.compose(vmi, running(domain=domain))
    patch = on_the_wire(status_patch(vmi.metadata, vmi.status, wanted))
    assert patch is not None
    assert set(patch["status"]) == {"conditions", "interfaces", "guestOSInfo"}
    assert vmi_status.only_guest_data(vmi, wanted)
    first, second = patch["status"]["interfaces"]
    assert (first["ipAddress"], first["interfaceName"]) == ("10.244.0.7", "enp1s0")
    assert first["ipAddresses"] == ["10.244.0.7", "2001:db8::7", "fe80::1"]
    assert first["infoSource"] == "domain, guest-agent"
    assert second["interfaceName"] == "docker0"
    assert second["infoSource"] == "guest-agent"
    assert conditions_of(patch)["AgentConnected"]["status"] == "True"


def test_an_agent_that_is_faster_than_dhcp_does_not_hide_the_pods_address() -> None:
    booting = GuestInterface(name="default", mac=MAC, interface_name="eth0", ip_addresses=("fe80::1",))
    domain = msgspec.structs.replace(RUNNING, agent_connected=True, interfaces=(booting,))
    (nic,) = vmi_status.compose(settled(running()), running(domain=domain)).interfaces
    assert nic.ip_address == "10.244.0.7"
    assert nic.ip_addresses == ("10.244.0.7", "fe80::1")


def test_an_agent_that_went_away_takes_its_condition_along() -> None:
    connected = msgspec.structs.replace(RUNNING, agent_connected=True)
    vmi = settled(running(domain=connected))
    assert "AgentConnected" not in conditions_of(patch_of(vmi, running()))


@pytest.mark.parametrize(
    ("reason", "expected"),
    [(StateReason.PAUSED_USER, "PausedByUser"), (StateReason.PAUSED_IO_ERROR, "PausedIOError")],
)
def test_a_pause_is_told_at_once(reason: StateReason, expected: str) -> None:
    paused = msgspec.structs.replace(RUNNING, state=DomainState.PAUSED, reason=reason)
    vmi = settled(running())
    wanted = vmi_status.compose(vmi, running(domain=paused))
    assert conditions_of(status_patch(vmi.metadata, vmi.status, wanted))["Paused"]["reason"] == expected
    assert not vmi_status.only_guest_data(vmi, wanted)


def test_a_failed_start_is_shown_and_taken_back_when_it_works() -> None:
    failing = Facts(phase=Phase.SCHEDULED, now=NOW, failure="no space left")
    found = conditions_of(patch_of(make_vmi(conditions=[READY]), failing))
    assert found["Synchronized"]["status"] == "False"
    assert found["Synchronized"]["reason"] == "Synchronizing with the Domain failed."
    assert found["Synchronized"]["message"] == "no space left"
    vmi = settled(failing, [READY])
    assert set(conditions_of(patch_of(vmi, running()))) == {"Ready", "LiveMigratable"}


def test_another_components_synchronized_condition_is_not_taken_back() -> None:
    theirs = {"type": "Synchronized", "status": "False", "reason": "FailedCreate"}
    assert "Synchronized" in conditions_of(patch_of(make_vmi(conditions=[theirs]), running()))


def test_the_end_names_its_reason_and_drops_what_only_a_running_guest_has() -> None:
    connected = msgspec.structs.replace(RUNNING, agent_connected=True)
    vmi = settled(running(domain=connected), [READY])
    ended = msgspec.structs.replace(RUNNING, state=DomainState.SHUTOFF, reason=StateReason.CRASHED)
    patch = patch_of(vmi, Facts(phase=Phase.FAILED, now=NOW, reason="GuestCrashed", domain=ended))
    assert patch is not None
    assert (patch["status"]["phase"], patch["status"]["reason"]) == ("Failed", "GuestCrashed")
    assert "AgentConnected" not in conditions_of(patch)
    assert "Ready" in conditions_of(patch)
    assert "interfaces" not in patch["status"]


def test_fields_that_go_are_nulled_inside_objects() -> None:
    first = msgspec.structs.replace(RUNNING, guest_os_info=GuestOSInfo(id="debian", name="Debian"))
    second = msgspec.structs.replace(RUNNING, guest_os_info=GuestOSInfo(id="debian"))
    patch = patch_of(settled(running(domain=first)), running(domain=second))
    assert patch is not None
    assert patch["status"] == {"guestOSInfo": {"name": None}}


# Migratability


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({}, "InterfaceNotLiveMigratable"),
        ({"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}]}, "DisksNotLiveMigratable"),
        ({"volumes": [{"name": "d", "dataVolume": {"name": "c"}}]}, "DisksNotLiveMigratable"),
        ({"volumes": [{"name": "d", "hostDisk": {"path": "/x", "type": "Disk"}}]}, "DisksNotLiveMigratable"),
        (
            {"devices": {"interfaces": []}, "domain": {"cpu": {"model": "host-passthrough"}}},
            "CPUModeLiveMigratable",
        ),
        (
            {"devices": {"interfaces": [], "hostDevices": [{"name": "x", "deviceName": "y"}]}},
            "HostDeviceNotLiveMigratable",
        ),
        (
            {"devices": {"interfaces": [], "filesystems": [{"name": "x", "virtiofs": {}}]}},
            "VirtIOFSNotLiveMigratable",
        ),
        (
            {"annotations": {"kubevirt.io/allow-pod-bridge-network-live-migration": ""}},
            "LiveMigrationNotSupported",
        ),
    ],
)
def test_what_holds_a_vmi_on_its_node(spec: dict[str, Any], reason: str) -> None:
    obstacle = migratability.first_obstacle(make_vmi(**spec))
    assert obstacle.reason == reason
    assert obstacle.message


# What guests say


def test_a_hostile_guest_cannot_make_the_object_large() -> None:
    nic = GuestInterface(
        name="n" * 500, mac="x" * 500, interface_name="\x1b[31m" * 100, ip_addresses=("10.0.0.1",) * 5000
    )
    status = msgspec.structs.replace(
        RUNNING,
        message="m" * 100_000,
        interfaces=(nic,) * 5000,
        guest_os_info=GuestOSInfo(id="x" * 10_000, pretty_name="a\nb\x00c"),
    )
    safe = guest_data.bounded(status)
    assert len(msgspec.json.encode(safe)) < 40_000
    assert len(safe.interfaces) == guest_data.MAX_INTERFACES
    assert safe.interfaces[0].mac == ""
    assert "\x1b" not in safe.interfaces[0].interface_name
    assert safe.guest_os_info is not None
    assert safe.guest_os_info.pretty_name == "a b c"


def test_addresses_that_are_none_are_dropped() -> None:
    nic = GuestInterface(mac="02-00-00-AA-BB-CC", ip_addresses=("10.0.0.1", "evil", "::1%lo", "1" * 900))
    status = guest_data.bounded(msgspec.structs.replace(RUNNING, interfaces=(nic,)))
    assert status.interfaces[0].mac == "02:00:00:aa:bb:cc"
    assert "evil" not in status.interfaces[0].ip_addresses
    assert status.interfaces[0].ip_addresses[0] == "10.0.0.1"


def test_a_launchers_event_is_cut_to_what_an_event_may_be() -> None:
    event = guest_data.bounded_event(
        Event(kind="KubeEvent", type="Catastrophe", reason="not a reason", message="x" * 9999)
    )
    assert (event.type, event.reason, len(event.message)) == ("Normal", "LauncherEvent", 1024)


# Peers


@pytest.mark.parametrize(
    ("names", "role"),
    [
        ([("URI", "edgevirt://virt-api/")], "virt-api"),
        ([("URI", "edgevirt://virt-api/n1"), ("DNS", "x")], "virt-api"),
        ([("URI", "edgevirt://virt-api/"), ("URI", "edgevirt://virt-handler/n1")], ""),
        ([("URI", "https://virt-api/")], ""),
        ([("DNS", "virt-api")], ""),
        ([], ""),
    ],
)
def test_a_role_is_believed_only_if_it_is_the_only_one(names: list[tuple[str, str]], role: str) -> None:
    assert identity.role_of({"subjectAltName": names}) == role
    assert identity.role_of(None) == ""
