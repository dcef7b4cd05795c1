"""Network interfaces: a tap that virt-handler made, which QEMU is only allowed to use."""

from __future__ import annotations

from dataclasses import dataclass

from edgevirt.virt_launcher.domain.address import PCIAddress
from edgevirt.virt_launcher.domain.element import Element, el


@dataclass(frozen=True, slots=True)
class Interface:
    """One NIC. Without a boot order its option ROM is left out: it would only slow the boot."""

    alias: str
    tap: str
    mac: str
    model: str
    mtu: int
    boot_order: int | None = None
    link_up: bool = True
    acpi_index: int | None = None
    address: PCIAddress | None = None

    def to_xml(self) -> Element:
        return el(
            "interface",
            el("mac", address=self.mac),
            el("target", dev=self.tap, managed="no"),
            None if self.link_up else el("link", state="down"),
            el("model", type=self.model),
            el("mtu", size=self.mtu),
            el("boot", order=self.boot_order) if self.boot_order else None,
            el("rom", enabled="no") if self.boot_order is None else None,
            el("acpi", index=self.acpi_index) if self.acpi_index else None,
            el("alias", name=self.alias),
            self.address.to_xml() if self.address else None,
            type="ethernet",
        )
