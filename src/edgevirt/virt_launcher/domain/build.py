"""From a VirtualMachineInstance to its domain. Pure: every path and fact about the node is given.

The rules are KubeVirt's where the user can see them (names, models, defaults, aliases), and measured ones
where he cannot: under emulation the translation cache is bounded, because unbounded it grows to a gigabyte,
and NICs that are not booted from carry no option ROM.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgevirt.api import quantity
from edgevirt.api.kubevirt.devices import Devices
from edgevirt.api.kubevirt.domain import DomainSpec
from edgevirt.api.kubevirt.instance import VirtualMachineInstance
from edgevirt.api.launcher import GuestLink
from edgevirt.virt_launcher.domain.boot import Boot, DirectKernel, EFIFirmware, SystemInfo
from edgevirt.virt_launcher.domain.channels import AgentChannel, Display, SerialConsole
from edgevirt.virt_launcher.domain.devices import (
    Controller,
    Device,
    MemoryBalloon,
    PanicNotifier,
    RandomNumbers,
    Sound,
    Tablet,
    Watchdog,
)
from edgevirt.virt_launcher.domain.disks import DiskImage, build_disks
from edgevirt.virt_launcher.domain.domain import Domain
from edgevirt.virt_launcher.domain.errors import UnsupportedField
from edgevirt.virt_launcher.domain.honoured import refuse_unsupported
from edgevirt.virt_launcher.domain.interfaces import build_interfaces
from edgevirt.virt_launcher.domain.machine import (
    build_clock,
    build_features,
    build_processor,
    wants_secure_boot,
)

DEFAULT_MACHINE: Final = "q35"
_NAMESPACE_OF_UUIDS: Final = uuid.UUID("0d2f6d3c-2e7b-5a53-8f0a-7c1b9d5e4a21")
_LEAST_MEMORY: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class GuestPaths:
    """Where a domain's sockets and files live: `<private directory>/<VMI uid>/`."""

    directory: Path

    @property
    def serial(self) -> Path:
        return self.directory / "virt-serial0"

    @property
    def serial_log(self) -> Path:
        return self.directory / "virt-serial0-log"

    @property
    def vnc(self) -> Path:
        return self.directory / "virt-vnc"

    @property
    def agent(self) -> Path:
        return self.directory / "guest-agent"

    @property
    def nvram(self) -> Path:
        return self.directory / "nvram.fd"


@dataclass(frozen=True, slots=True)
class FirmwareFiles:
    """OVMF as found on this host: code and variable template for one of plain and secure boot."""

    code: Path
    variables: Path


def build_domain(
    vmi: VirtualMachineInstance,
    *,
    links: Iterable[GuestLink],
    images: Mapping[str, DiskImage],
    use_kvm: bool,
    paths: GuestPaths,
    firmware: FirmwareFiles | None = None,
    kernel: DirectKernel | None = None,
) -> Domain:
    """The domain of `vmi`.

    `images` has a file for every volume of the VMI, `links` a tap for every interface; `firmware` is needed
    if the VMI boots by EFI (see `needs_efi`), `kernel` if it names a kernel to boot.

    Raises `UnsupportedField` naming the first field that cannot be honoured.
    """
    spec, domain, devices = vmi.spec, vmi.spec.domain, vmi.spec.domain.devices
    refuse_unsupported(spec)
    if spec.architecture not in ("", "amd64"):
        raise UnsupportedField("spec.architecture", f"{spec.architecture!r} cannot run here, only amd64")
    if spec.start_strategy not in ("", "Paused"):
        raise UnsupportedField(
            "spec.startStrategy", f"{spec.start_strategy!r} is unknown; use Paused or nothing"
        )
    processor = build_processor(domain.cpu, use_kvm=use_kvm)
    memory = guest_memory(domain)
    identity = str(vmi_uuid(vmi))
    return Domain(
        type="kvm" if use_kvm else "qemu",
        name=f"{vmi.metadata.namespace}_{vmi.metadata.name}",
        uuid=identity,
        vmi_uid=vmi.metadata.uid,
        memory=memory,
        processor=processor,
        boot=_boot(domain, firmware, kernel, paths),
        system_info=_system_info(domain, identity),
        features=build_features(domain.features, use_kvm=use_kvm, memory=memory),
        clock=build_clock(domain.clock, use_kvm=use_kvm),
        agent=AgentChannel(str(paths.agent)),
        devices=_devices(devices),
        disks=build_disks(spec, images, vcpus=processor.count),
        interfaces=build_interfaces(devices, links),
        serial=_serial(devices, paths),
        display=_display(domain, paths),
        reboot_ends=_reboot_ends(domain),
        paused=spec.start_strategy == "Paused",
    )


def needs_efi(vmi: VirtualMachineInstance) -> bool:
    """True if the VMI boots by EFI and so needs firmware files."""
    firmware = vmi.spec.domain.firmware
    return bool(firmware and firmware.bootloader and firmware.bootloader.efi)


def needs_secure_boot(vmi: VirtualMachineInstance) -> bool:
    """True if the firmware must enforce secure boot."""
    return needs_efi(vmi) and wants_secure_boot(vmi.spec.domain)


def vmi_uuid(vmi: VirtualMachineInstance) -> uuid.UUID:
    """The firmware UUID: the one in the VMI, else one made from namespace and name, stable over restarts."""
    firmware = vmi.spec.domain.firmware
    if firmware is None or not firmware.uuid:
        return uuid.uuid5(_NAMESPACE_OF_UUIDS, f"{vmi.metadata.namespace}/{vmi.metadata.name}")
    try:
        return uuid.UUID(firmware.uuid)
    except ValueError as error:
        raise UnsupportedField("spec.domain.firmware.uuid", f"{firmware.uuid!r} is not a UUID") from error


def guest_memory(domain: DomainSpec) -> int:
    """Bytes of RAM the guest sees: `memory.guest`, else the memory request, else the memory limit."""
    resources = domain.resources
    candidates = (
        ("spec.domain.memory.guest", domain.memory.guest if domain.memory else None),
        ("spec.domain.resources.requests.memory", resources.requests.get("memory") if resources else None),
        ("spec.domain.resources.limits.memory", resources.limits.get("memory") if resources else None),
    )
    for field, value in candidates:
        if value is None:
            continue
        try:
            size = quantity.to_bytes(value)
        except quantity.QuantityError as error:
            raise UnsupportedField(field, str(error)) from error
        if size < _LEAST_MEMORY:
            raise UnsupportedField(field, f"{value!r} is too little memory for a guest; give at least 1Mi")
        return size
    raise UnsupportedField("spec.domain.memory.guest", "no memory requested; say how much the guest gets")


def _boot(
    domain: DomainSpec, firmware: FirmwareFiles | None, kernel: DirectKernel | None, paths: GuestPaths
) -> Boot:
    machine = (domain.machine.type if domain.machine else "") or DEFAULT_MACHINE
    if not machine.startswith(("q35", "pc-q35")):
        raise UnsupportedField(
            "spec.domain.machine.type", f"{machine!r} is not supported; use q35 or pc-q35-*"
        )
    bootloader = domain.firmware.bootloader if domain.firmware else None
    efi = None
    if bootloader and bootloader.efi:
        if bootloader.bios:
            raise UnsupportedField("spec.domain.firmware.bootloader", "choose one of bios and efi")
        if firmware is None:
            raise UnsupportedField(
                "spec.domain.firmware.bootloader.efi",
                "no OVMF firmware on this node; install the ovmf package",
            )
        efi = EFIFirmware(
            str(firmware.code), str(firmware.variables), str(paths.nvram), wants_secure_boot(domain)
        )
    return Boot(
        machine,
        efi,
        kernel,
        serial_bios=bool(bootloader and bootloader.bios and bootloader.bios.use_serial),
    )


def _system_info(domain: DomainSpec, identity: str) -> SystemInfo:
    chassis = domain.chassis
    serial = domain.firmware.serial if domain.firmware else ""
    if chassis is None:
        return SystemInfo(identity, serial)
    return SystemInfo(
        identity,
        serial,
        chassis_manufacturer=chassis.manufacturer,
        chassis_version=chassis.version,
        chassis_serial=chassis.serial,
        chassis_asset=chassis.asset,
        chassis_sku=chassis.sku,
    )


def virtio_model(devices: Devices) -> str:
    """Which flavour of virtio the guest gets: modern only, or with the pre-1.0 interface for old guests."""
    return "virtio-transitional" if devices.use_virtio_transitional else "virtio-non-transitional"


def _devices(devices: Devices) -> tuple[Device, ...]:
    virtio = virtio_model(devices)
    found: list[Device] = []
    usb = any(_bus(disk) == "usb" for disk in devices.disks)
    for index, tablet in enumerate(devices.inputs):
        field = f"spec.domain.devices.inputs[{index}]"
        if tablet.type != "tablet":
            raise UnsupportedField(f"{field}.type", f"{tablet.type!r} is not supported; use tablet")
        if tablet.bus not in ("", "usb", "virtio"):
            raise UnsupportedField(f"{field}.bus", f"{tablet.bus!r} is not supported; use usb or virtio")
        on_virtio = tablet.bus == "virtio"
        usb = usb or not on_virtio
        found.append(Tablet(f"ua-{tablet.name}", tablet.bus or "usb", virtio if on_virtio else None))
    if devices.autoattach_input_device and not devices.inputs:
        usb = True
        found.append(Tablet("ua-default-0", "usb"))
    controllers = [Controller("usb", model="qemu-xhci" if usb else "none")]
    if not devices.disable_hotplug or any(_bus(disk) == "scsi" for disk in devices.disks):
        controllers.append(Controller("scsi", model=virtio))
    controllers.append(Controller("virtio-serial", model=virtio))
    if devices.watchdog:
        watchdog = devices.watchdog
        if watchdog.i6300esb is None:
            raise UnsupportedField(
                "spec.domain.devices.watchdog", "say which model; only i6300esb exists on amd64"
            )
        found.append(Watchdog(f"ua-{watchdog.name}", "i6300esb", watchdog.i6300esb.action or "reset"))
    if devices.sound:
        found.append(Sound(f"ua-{devices.sound.name}", devices.sound.model or "ich9"))
    if devices.rng:
        found.append(RandomNumbers(virtio))
    found += [PanicNotifier(panic.model or "isa") for panic in devices.panic_devices]
    balloon = "none" if devices.autoattach_mem_balloon is False else virtio
    return (*controllers, *found, MemoryBalloon(balloon))


def _bus(disk: object) -> str:
    target = getattr(disk, "disk", None) or getattr(disk, "cdrom", None)
    return getattr(target, "bus", "")


def _serial(devices: Devices, paths: GuestPaths) -> SerialConsole | None:
    if devices.autoattach_serial_console is False:
        return None
    log = "" if devices.log_serial_console is False else str(paths.serial_log)
    return SerialConsole(str(paths.serial), log)


def _display(domain: DomainSpec, paths: GuestPaths) -> Display | None:
    devices = domain.devices
    if devices.autoattach_graphics_device is False:
        if devices.video:
            raise UnsupportedField(
                "spec.domain.devices.video", "needs a graphics device; remove autoattachGraphicsDevice: false"
            )
        return None
    efi = domain.firmware and domain.firmware.bootloader and domain.firmware.bootloader.efi
    chosen = devices.video.type if devices.video else ""
    return Display(str(paths.vnc), chosen or ("bochs" if efi else "vga"))


def _reboot_ends(domain: DomainSpec) -> bool:
    if domain.reboot_policy not in ("", "Reboot", "Terminate"):
        raise UnsupportedField(
            "spec.domain.rebootPolicy", f"{domain.reboot_policy!r} is unknown; use Reboot or Terminate"
        )
    return domain.reboot_policy == "Terminate"
