"""Which disks a guest gets, from the VMI's disks and the files its volumes became."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgevirt.api.kubevirt import devices as api
from edgevirt.api.kubevirt.instance import VirtualMachineInstanceSpec
from edgevirt.storage.disks.header import ImageFormat
from edgevirt.storage.disks.qcow2 import Backing
from edgevirt.virt_launcher.domain.address import PCIAddress
from edgevirt.virt_launcher.domain.disk import BlockSize, Disk
from edgevirt.virt_launcher.domain.errors import UnsupportedField

DEFAULT_BUS: Final = "sata"
_BUSES: Final = ("virtio", "sata", "scsi", "usb")
_CACHES: Final = ("none", "writethrough", "writeback")
_IO_MODES: Final = ("", "native", "threads")
_ERROR_POLICIES: Final = ("stop", "ignore", "report", "enospace")
_MOST_QUEUES: Final = 256


@dataclass(frozen=True, slots=True)
class DiskImage:
    """The file a volume became. `direct_io` says that it and everything beneath it opens with O_DIRECT."""

    path: Path
    format: ImageFormat
    backing: Backing | None = None
    read_only: bool = False
    direct_io: bool = True


def build_disks(
    spec: VirtualMachineInstanceSpec, images: Mapping[str, DiskImage], *, vcpus: int
) -> tuple[Disk, ...]:
    """One `Disk` per disk of the VMI, in its order, named vda, vdb, ... or sda, sdb, ... by bus.

    Raises `UnsupportedField` for a disk without volume, a volume without disk and impossible settings.
    """
    devices = spec.domain.devices
    named = {disk.name for disk in devices.disks}
    for index, volume in enumerate(spec.volumes):
        if volume.name not in named:
            raise UnsupportedField(f"spec.volumes[{index}]", f"{volume.name!r} is not used by any disk")
    letters: dict[str, int] = {}
    disks = []
    for index, disk in enumerate(devices.disks):
        field = f"spec.domain.devices.disks[{index}]"
        image = images.get(disk.name)
        if image is None:
            raise UnsupportedField(f"{field}.name", f"there is no volume named {disk.name!r}")
        prefix = "vd" if _bus(disk, field) == "virtio" else "sd"
        number = letters[prefix] = letters.get(prefix, -1) + 1
        queues = min(vcpus, _MOST_QUEUES) if devices.block_multi_queue else None
        disks.append(_disk(disk, field, image, f"{prefix}{letter_name(number)}", devices, queues))
    return tuple(disks)


def letter_name(number: int) -> str:
    """0 is a, 25 is z, 26 is aa, as Linux names disks."""
    name = ""
    number += 1
    while number:
        number, letter = divmod(number - 1, 26)
        name = string.ascii_lowercase[letter] + name
    return name


def _bus(disk: api.Disk, field: str) -> str:
    if disk.disk and disk.cdrom:
        raise UnsupportedField(field, "choose one of disk and cdrom")
    bus = (disk.cdrom.bus if disk.cdrom else disk.disk.bus if disk.disk else "") or DEFAULT_BUS
    kind = "cdrom" if disk.cdrom else "disk"
    if bus not in _BUSES:
        raise UnsupportedField(f"{field}.{kind}.bus", f"{bus!r} is unknown; use one of {', '.join(_BUSES)}")
    if disk.cdrom and bus == "virtio":
        raise UnsupportedField(f"{field}.cdrom.bus", "a CD-ROM cannot be on virtio; use sata, scsi or usb")
    return bus


def _disk(
    disk: api.Disk, field: str, image: DiskImage, target: str, devices: api.Devices, queues: int | None
) -> Disk:
    bus = _bus(disk, field)
    plain, cdrom = disk.disk, disk.cdrom
    read_only = bool(cdrom or (plain and plain.readonly))
    if cdrom and cdrom.readonly is False:
        raise UnsupportedField(f"{field}.cdrom.readonly", "a CD-ROM is always read-only; remove it")
    if cdrom and cdrom.tray not in ("", "open", "closed"):
        raise UnsupportedField(f"{field}.cdrom.tray", f"{cdrom.tray!r} is unknown; use open or closed")
    if read_only and bus == "sata" and not cdrom:
        raise UnsupportedField(
            f"{field}.disk.readonly", "a sata disk cannot be read-only; use virtio or scsi"
        )
    address = PCIAddress.parse(plain.pci_address, f"{field}.disk.pciAddress") if plain else None
    if address and bus != "virtio":
        raise UnsupportedField(f"{field}.disk.pciAddress", "only a virtio disk has a PCI address of its own")
    virtio = "virtio-transitional" if devices.use_virtio_transitional else "virtio-non-transitional"
    return Disk(
        alias=f"ua-{disk.name}",
        path=str(image.path),
        format=image.format,
        target=target,
        bus=bus,
        device="cdrom" if cdrom else "disk",
        model=virtio if bus == "virtio" else None,
        backing=image.backing,
        cache=_cache(disk, field, image),
        error_policy=_one_of(disk.error_policy or "stop", _ERROR_POLICIES, f"{field}.errorPolicy"),
        io=_one_of(disk.io, _IO_MODES, f"{field}.io") or None,
        queues=queues if bus == "virtio" else None,
        readonly=read_only,
        tray_open=bool(cdrom and cdrom.tray == "open"),
        serial=disk.serial,
        boot_order=disk.boot_order,
        block_size=_block_size(disk, field),
        address=address,
    )


def _cache(disk: api.Disk, field: str, image: DiskImage) -> str:
    if disk.cache == "none" and not image.direct_io:
        raise UnsupportedField(
            f"{field}.cache", "none needs direct I/O, which this volume's file system lacks; use writethrough"
        )
    default = "none" if image.direct_io else "writethrough"
    cache = _one_of(disk.cache or default, _CACHES, f"{field}.cache")
    if disk.io == "native" and cache != "none":
        raise UnsupportedField(f"{field}.io", "native needs cache: none")
    return cache


def _one_of(value: str, allowed: tuple[str, ...], field: str) -> str:
    if value not in allowed:
        raise UnsupportedField(field, f"{value!r} is unknown; use one of {', '.join(filter(None, allowed))}")
    return value


def _block_size(disk: api.Disk, field: str) -> BlockSize | None:
    custom = disk.block_size.custom if disk.block_size else None
    if custom is None:
        return None
    if not custom.logical or not custom.physical:
        raise UnsupportedField(f"{field}.blockSize.custom", "give both logical and physical, in bytes")
    return BlockSize(custom.logical, custom.physical)
