"""What is filled in when machines and instances are created or changed.

Pure: raw object in, complete object out; `admission` sends the difference. The values are KubeVirt's for
amd64, except where hot-plugging would need them (`maxSockets`, `maxGuest` are left out, since nothing could
be plugged) and where identity is concerned: an interface without MAC address gets one that stays
(`mac_address`), and a machine keeps its firmware UUID and serial when it is replaced by a manifest without.
A machine also has the VM controller's finalizer from the beginning, which saves a write per machine.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any, Final

from edgevirt.api import quantity
from edgevirt.api.kubevirt import labels
from edgevirt.api.kubevirt.phases import Phase
from edgevirt.api.kubevirt.strategies import EvictionStrategy
from edgevirt.virt_api import mac_address
from edgevirt.virt_api.json_values import JsonObject, child, ensure, items

ARCHITECTURE: Final = "amd64"
MACHINE_TYPE: Final = "q35"
CPU_MODEL: Final = "host-model"
DISK_BUS: Final = "sata"
NETWORK_NAME: Final = "default"
LAUNCHER_USER: Final = 107
"""User id that QEMU and the launcher run as."""


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Where values come from that are not the same every time."""

    new_uuid: Callable[[], str]
    now: Callable[[], str]
    """Current time as Kubernetes writes it."""


def machine(vm: JsonObject, old: JsonObject | None, source: Source) -> JsonObject:
    """The VirtualMachine completed; `old` is the stored one on update, None on create."""
    vm = copy.deepcopy(vm)
    if not child(vm, "spec", "template"):
        return vm  # validation refuses it
    spec = ensure(vm, "spec", "template", "spec")
    _fill(spec, "architecture", ARCHITECTURE)
    _fill(ensure(spec, "domain", "machine"), "type", MACHINE_TYPE)
    firmware = ensure(spec, "domain", "firmware")
    if old is None:
        if not firmware.get("uuid"):
            firmware["uuid"] = source.new_uuid()
        if not firmware.get("serial"):
            firmware["serial"] = source.new_uuid()
        annotations = ensure(vm, "spec", "template", "metadata", "annotations")
        _fill(annotations, labels.PCI_TOPOLOGY_VERSION, labels.PCI_TOPOLOGY_CURRENT)
        # virt-controller would put it there with a write of its own; it still does if somebody takes it away.
        finalizers = vm["metadata"].get("finalizers") or []
        if labels.VM_FINALIZER not in finalizers:
            vm["metadata"]["finalizers"] = [*finalizers, labels.VM_FINALIZER]
        return vm
    before = child(old, "spec", "template")
    for key in ("uuid", "serial"):
        kept = child(before, "spec", "domain", "firmware").get(key)
        if kept and not firmware.get(key):
            firmware[key] = kept
    if not firmware:
        del spec["domain"]["firmware"]
    layout = child(before, "metadata", "annotations").get(labels.PCI_TOPOLOGY_VERSION)
    if layout:
        _fill(ensure(vm, "spec", "template", "metadata", "annotations"), labels.PCI_TOPOLOGY_VERSION, layout)
    return vm


def instance(vmi: JsonObject, namespace: str, source: Source) -> JsonObject:
    """The VirtualMachineInstance completed on create: spec, finalizer and the status it starts with."""
    vmi = copy.deepcopy(vmi)
    spec = ensure(vmi, "spec")
    complete_spec(spec)
    firmware = ensure(spec, "domain", "firmware")
    if not firmware.get("uuid"):
        firmware["uuid"] = source.new_uuid()
    metadata = ensure(vmi, "metadata")
    name = str(metadata.get("name") or metadata.get("generateName") or "")
    for interface in items(spec, "domain", "devices", "interfaces"):
        given = interface.get("macAddress")
        if not given:
            interface["macAddress"] = mac_address.derived(
                str(firmware["uuid"]), namespace, name, str(interface.get("name", ""))
            )
        else:
            interface["macAddress"] = mac_address.normalised(str(given)) or given
    _fill(ensure(metadata, "annotations"), labels.PCI_TOPOLOGY_VERSION, labels.PCI_TOPOLOGY_CURRENT)
    finalizers = metadata.get("finalizers") or []
    if labels.VMI_FINALIZER not in finalizers:
        metadata["finalizers"] = [*finalizers, labels.VMI_FINALIZER]
    vmi["status"] = _first_status(spec, source)
    return vmi


def instance_update(vmi: JsonObject, old: JsonObject, by_component: bool) -> JsonObject:
    """The VirtualMachineInstance on update: only components may change its status."""
    if by_component or vmi.get("status") == old.get("status"):
        return vmi
    reverted = dict(vmi)
    if "status" in old:
        reverted["status"] = old["status"]
    else:
        reverted.pop("status", None)
    return reverted


def complete_spec(spec: JsonObject) -> None:
    """Fill the gaps of an instance's spec in place, as far as they do not depend on who it is."""
    _fill(spec, "architecture", ARCHITECTURE)
    _fill(spec, "evictionStrategy", EvictionStrategy.NONE.value)
    domain = ensure(spec, "domain")
    _fill(ensure(domain, "machine"), "type", MACHINE_TYPE)
    _complete_cpu(domain)
    _complete_memory(domain)
    acpi = ensure(domain, "features", "acpi")
    if acpi.get("enabled") is None:
        acpi["enabled"] = True
    _complete_network(spec)
    _complete_disks(spec)
    for volume in items(spec, "volumes"):
        disk = child(volume, "containerDisk")
        if disk.get("image"):
            _fill(disk, "imagePullPolicy", _pull_policy(str(disk["image"])))


def _complete_cpu(domain: JsonObject) -> None:
    cpu = ensure(domain, "cpu")
    if not any(cpu.get(key) for key in ("cores", "sockets", "threads")):
        resources = child(domain, "resources")
        wanted = child(resources, "limits").get("cpu") or child(resources, "requests").get("cpu")
        cpu["cores"] = cpu["threads"] = 1
        cpu["sockets"] = max(1, _whole(wanted)) if wanted else 1
    _fill(cpu, "model", CPU_MODEL)


def _complete_memory(domain: JsonObject) -> None:
    memory = ensure(domain, "memory")
    resources = child(domain, "resources")
    given = child(resources, "requests").get("memory") or child(resources, "limits").get("memory")
    if memory.get("guest") is None and given is not None:
        memory["guest"] = given


def _complete_network(spec: JsonObject) -> None:
    devices = ensure(spec, "domain", "devices")
    if devices.get("autoattachPodInterface") is False or spec.get("networks") or devices.get("interfaces"):
        return
    devices["interfaces"] = [{"name": NETWORK_NAME, "bridge": {}}]
    spec["networks"] = [{"name": NETWORK_NAME, "pod": {}}]


def _complete_disks(spec: JsonObject) -> None:
    devices = ensure(spec, "domain", "devices")
    disks = items(devices, "disks")
    shown = {each.get("name") for each in (*disks, *items(devices, "filesystems"))}
    disks += [{"name": each["name"]} for each in items(spec, "volumes") if each.get("name") not in shown]
    for disk in disks:
        if not any(disk.get(target) is not None for target in ("disk", "cdrom", "lun")):
            disk["disk"] = {}
        for target in ("disk", "cdrom", "lun"):
            if isinstance(disk.get(target), dict):
                _fill(disk[target], "bus", DISK_BUS)
        if isinstance(disk.get("cdrom"), dict):
            _fill(disk["cdrom"], "tray", "closed")
            if disk["cdrom"].get("readonly") is None:
                disk["cdrom"]["readonly"] = True
    if disks:
        devices["disks"] = disks


def _first_status(spec: JsonObject, source: Source) -> JsonObject:
    cpu = child(spec, "domain", "cpu")
    status: JsonObject = {
        "phase": Phase.PENDING.value,
        "phaseTransitionTimestamps": [
            {"phase": Phase.PENDING.value, "phaseTransitionTimestamp": source.now()}
        ],
        "runtimeUser": LAUNCHER_USER,
        "currentCPUTopology": {key: cpu[key] for key in ("cores", "sockets", "threads") if cpu.get(key)},
    }
    guest = child(spec, "domain", "memory").get("guest")
    if guest is not None:
        status["memory"] = {"guestAtBoot": guest, "guestCurrent": guest, "guestRequested": guest}
    return status


def _pull_policy(image: str) -> str:
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _whole(text: Any) -> int:
    try:
        return quantity.to_bytes(text)
    except quantity.QuantityError:
        return 1  # the schema check refuses it


def _fill(value: JsonObject, key: str, default: Any) -> None:
    if not value.get(key):
        value[key] = default
