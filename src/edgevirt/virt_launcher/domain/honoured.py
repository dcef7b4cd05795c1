"""Which fields of a VMI are honoured, and the refusal of every other one.

The lists name what is implemented, not what is missing: a field that is in neither is refused by name when
a VMI uses it, so an API type that grows a field cannot be ignored by accident. Paths are relative to `spec`,
in wire spelling, `[]` standing for any index; `.**` covers everything beneath. A field set to false or left
empty counts as not used, and so does a group whose `enabled` is false.
"""

from __future__ import annotations

from typing import Final

import msgspec

from edgevirt.api.kubevirt.instance import VirtualMachineInstanceSpec
from edgevirt.virt_launcher.domain.errors import UnsupportedField

HONOURED: Final = frozenset(
    f"{group}.{leaf}"
    for group, leaves in {
        "domain": "rebootPolicy chassis.** machine.type",
        "domain.clock": "timezone utc.offsetSeconds",
        "domain.clock.timer": "hpet.** hyperv.** kvm.** pit.** rtc.**",
        "domain.cpu": "cores sockets threads model features[].name features[].policy",
        "domain.features": "acpi.** apic.** hypervPassthrough.** kvm.** pvspinlock.** smm.**",
        "domain.features.hyperv": (
            "evmcs.** frequencies.** ipi.** reenlightenment.** relaxed.** reset.** runtime.** spinlocks.** "
            "synic.** synictimer.** tlbflush.enabled vapic.** vendorid.** vpindex.**"
        ),
        "domain.firmware": "uuid serial bootloader.bios.useSerial bootloader.efi.secureBoot kernelBoot.**",
        "domain.memory": "guest",
        "domain.devices": (
            "autoattachGraphicsDevice autoattachInputDevice autoattachMemBalloon autoattachSerialConsole "
            "blockMultiQueue disableHotplug inputs[].** logSerialConsole panicDevices[].** rng.** sound.** "
            "useVirtioTransitional video.type watchdog.name watchdog.i6300esb.**"
        ),
        "domain.devices.disks[]": (
            "name bootOrder serial cache errorPolicy io disk.bus disk.readonly disk.pciAddress cdrom.bus "
            "cdrom.readonly cdrom.tray blockSize.custom.logical blockSize.custom.physical"
        ),
        "domain.devices.interfaces[]": (
            "name model macAddress bootOrder pciAddress acpiIndex state bridge masquerade"
        ),
        "volumes[]": "name containerDisk.** emptyDisk.capacity cloudInitNoCloud.** cloudInitConfigDrive.**",
        "accessCredentials[].sshPublicKey": (
            "source.** propagationMethod.noCloud propagationMethod.configDrive"
        ),
    }.items()
    for leaf in leaves.split()
) | {"hostname", "startStrategy"}
"""Fields that shape the domain or its disks; the launcher sees to them itself."""

ELSEWHERE: Final = frozenset(
    {
        "affinity.**",
        "architecture",
        "dnsConfig.**",
        "dnsPolicy",
        "domain.cpu.maxSockets",
        "domain.devices.autoattachPodInterface",
        "domain.devices.interfaces[].portRanges[].**",
        "domain.devices.interfaces[].ports[].**",
        "domain.memory.maxGuest",
        "domain.memory.reservedOverhead.addedOverhead",
        "domain.resources.**",
        "evictionStrategy",
        "livenessProbe.**",
        "networks[].**",
        "nodeSelector",
        "priorityClassName",
        "readinessProbe.**",
        "resourceClaims[].**",
        "schedulerName",
        "serviceAccountName",
        "subdomain",
        "terminationGracePeriodSeconds",
        "tolerations[].**",
        "topologySpreadConstraints[].**",
    }
)
"""Fields that shape the pod, its network or later live updates; other components see to them."""

_HINTS: Final = {
    "volumes[].persistentVolumeClaim": "use a containerDisk or an emptyDisk",
    "volumes[].dataVolume": "use a containerDisk or an emptyDisk",
    "domain.memory.hugepages": "leave it out; the guest gets ordinary memory",
    "domain.devices.interfaces[].sriov": "use bridge or masquerade",
    "domain.devices.interfaces[].passtBinding": "use bridge or masquerade",
    "domain.devices.interfaces[].binding": "use bridge or masquerade",
}
_KNOWN: Final = HONOURED | ELSEWHERE
_GROUPS: Final = frozenset(
    ".".join(parts[:count])
    for path in _KNOWN
    for parts in (path.split("."),)
    for count in range(1, len(parts))
)


def refuse_unsupported(spec: VirtualMachineInstanceSpec) -> None:
    """Raise `UnsupportedField` for the first field in use that nobody implements."""
    _check(spec, "", "")


def _check(value: object, pattern: str, path: str) -> None:
    if _unused(value):
        return
    if pattern in _KNOWN or f"{pattern}.**" in _KNOWN:
        return
    if isinstance(value, tuple):
        if pattern and f"{pattern}[]" not in _GROUPS:
            raise _refusal(pattern, path)
        for index, item in enumerate(value):
            _check(item, f"{pattern}[]", f"{path}[{index}]")
    elif isinstance(value, msgspec.Struct) and (not pattern or pattern in _GROUPS):
        for name, wire in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
            dot = "." if pattern else ""
            _check(getattr(value, name), f"{pattern}{dot}{wire}", f"{path}{dot}{wire}")
    else:
        raise _refusal(pattern, path)


def _unused(value: object) -> bool:
    if value is None or value is False or value == "" or value == () or value == {}:
        return True
    return getattr(value, "enabled", None) is False


def _refusal(pattern: str, path: str) -> UnsupportedField:
    hint = _HINTS.get(pattern, "remove it from the VM")
    return UnsupportedField(f"spec.{path}", f"is not supported by this version of edgevirt; {hint}")
