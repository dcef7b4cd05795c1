"""The PCI address of a device, when the VM's author fixed it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgevirt.virt_launcher.domain.element import Element, el
from edgevirt.virt_launcher.domain.errors import UnsupportedField

_ADDRESS = re.compile(r"([0-9a-fA-F]{4}):([0-9a-fA-F]{2}):([0-9a-fA-F]{2})\.([0-7])")


@dataclass(frozen=True, slots=True)
class PCIAddress:
    domain: int
    bus: int
    slot: int
    function: int

    @classmethod
    def parse(cls, text: str, field: str) -> PCIAddress | None:
        """The address written as dddd:bb:ss.f; None for "". `field` is named if it is malformed."""
        if not text:
            return None
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise UnsupportedField(field, f"{text!r} is not a PCI address such as 0000:81:01.0")
        return cls(*(int(part, 16) for part in match.groups()))

    def to_xml(self) -> Element:
        return el(
            "address",
            type="pci",
            domain=f"0x{self.domain:04x}",
            bus=f"0x{self.bus:02x}",
            slot=f"0x{self.slot:02x}",
            function=f"0x{self.function:x}",
        )
