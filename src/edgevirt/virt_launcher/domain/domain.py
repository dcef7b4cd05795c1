"""The whole domain."""

from __future__ import annotations

from dataclasses import dataclass

from edgevirt.virt_launcher.domain.boot import Boot, SystemInfo
from edgevirt.virt_launcher.domain.channels import AgentChannel, Display, SerialConsole
from edgevirt.virt_launcher.domain.clock import Clock
from edgevirt.virt_launcher.domain.devices import Device
from edgevirt.virt_launcher.domain.disk import Disk
from edgevirt.virt_launcher.domain.element import Element, el
from edgevirt.virt_launcher.domain.features import Features
from edgevirt.virt_launcher.domain.interface import Interface
from edgevirt.virt_launcher.domain.processor import Processor

EMULATOR = "/usr/bin/qemu-system-x86_64"
_METADATA_NAMESPACE = "http://kubevirt.io"


@dataclass(frozen=True, slots=True)
class Domain:
    """Everything libvirt is told about the VM. `memory` in bytes; `type` is "kvm" or "qemu" (TCG)."""

    type: str
    name: str
    uuid: str
    vmi_uid: str
    memory: int
    processor: Processor
    boot: Boot
    system_info: SystemInfo
    features: Features
    clock: Clock
    agent: AgentChannel
    devices: tuple[Device, ...]
    disks: tuple[Disk, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    serial: SerialConsole | None = None
    display: Display | None = None
    reboot_ends: bool = False
    paused: bool = False
    """Start with the vCPUs stopped; not part of the XML."""

    def to_xml(self) -> str:
        """The XML libvirt defines the domain from. The same domain gives the same text."""
        return str(self._tree())

    def _tree(self) -> Element:
        return el(
            "domain",
            el("name", text=self.name),
            el("uuid", text=self.uuid),
            el("metadata", self._metadata()),
            el("memory", unit="b", text=str(self.memory)),
            *self.processor.to_xml(),
            self.system_info.to_xml(),
            self.boot.to_xml(),
            self.features.to_xml(),
            self.clock.to_xml(),
            el("on_poweroff", text="destroy"),
            el("on_reboot", text="destroy" if self.reboot_ends else "restart"),
            el("on_crash", text="destroy"),
            el(
                "devices",
                el("emulator", text=EMULATOR),
                *(device.to_xml() for device in self.devices),
                *(disk.to_xml() for disk in self.disks),
                *(interface.to_xml() for interface in self.interfaces),
                *(self.serial.to_xml() if self.serial else ()),
                self.agent.to_xml(),
                *(self.display.to_xml() if self.display else (el("video", el("model", type="none")),)),
            ),
            type=self.type,
        )

    def _metadata(self) -> Element:
        return Element(
            "kubevirt:kubevirt",
            (("xmlns:kubevirt", _METADATA_NAMESPACE),),
            (Element("kubevirt:uid", text=self.vmi_uid),),
        )
