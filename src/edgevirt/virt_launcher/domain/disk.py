"""Disks and CD-ROM drives."""

from __future__ import annotations

from dataclasses import dataclass

from edgevirt.storage.disks.header import ImageFormat
from edgevirt.storage.disks.qcow2 import Backing
from edgevirt.virt_launcher.domain.address import PCIAddress
from edgevirt.virt_launcher.domain.element import Element, el


@dataclass(frozen=True, slots=True)
class BlockSize:
    """Sector sizes in bytes as the guest sees them."""

    logical: int
    physical: int

    def to_xml(self) -> Element:
        return el(
            "blockio",
            logical_block_size=self.logical,
            physical_block_size=self.physical,
        )


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk. Formats are explicit, for the image and for what lies beneath it: QEMU never guesses."""

    alias: str
    path: str
    format: ImageFormat
    target: str
    bus: str
    device: str = "disk"
    model: str | None = None
    backing: Backing | None = None
    cache: str = "none"
    error_policy: str = "stop"
    io: str | None = None
    queues: int | None = None
    readonly: bool = False
    tray_open: bool = False
    serial: str = ""
    boot_order: int | None = None
    block_size: BlockSize | None = None
    address: PCIAddress | None = None

    def to_xml(self) -> Element:
        return el(
            "disk",
            el(
                "driver",
                name="qemu",
                type=self.format.value,
                cache=self.cache,
                error_policy=self.error_policy,
                io=self.io,
                discard=None if self.readonly else "unmap",
                queues=self.queues,
            ),
            el("source", file=self.path),
            self._backing(),
            self.block_size.to_xml() if self.block_size else None,
            el("target", dev=self.target, bus=self.bus, tray="open" if self.tray_open else None),
            el("readonly") if self.readonly else None,
            el("serial", text=self.serial) if self.serial else None,
            el("boot", order=self.boot_order) if self.boot_order else None,
            el("alias", name=self.alias),
            self.address.to_xml() if self.address else None,
            type="file",
            device=self.device,
            model=self.model,
        )

    def _backing(self) -> Element | None:
        if self.format is not ImageFormat.QCOW2:
            return None
        if self.backing is None:
            return el("backingStore")
        return el(
            "backingStore",
            el("format", type=self.backing.format.value),
            el("source", file=str(self.backing.path)),
            el("backingStore"),
            type="file",
        )
