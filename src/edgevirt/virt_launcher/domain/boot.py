"""What the machine starts from: firmware, kernel, and what SMBIOS tells the guest about itself."""

from __future__ import annotations

from dataclasses import dataclass

from edgevirt.virt_launcher.domain.element import Element, el


@dataclass(frozen=True, slots=True)
class EFIFirmware:
    """OVMF: read-only code, and the per-VM variable store libvirt makes from the template at first start."""

    code: str
    variables_template: str
    variables: str
    secure: bool


@dataclass(frozen=True, slots=True)
class DirectKernel:
    kernel: str = ""
    initrd: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Boot:
    machine: str
    efi: EFIFirmware | None = None
    kernel: DirectKernel | None = None
    serial_bios: bool = False

    def to_xml(self) -> Element:
        efi, kernel = self.efi, self.kernel or DirectKernel()
        return el(
            "os",
            el("type", arch="x86_64", machine=self.machine, text="hvm"),
            el("loader", readonly="yes", secure=efi.secure, type="pflash", text=efi.code) if efi else None,
            el("nvram", template=efi.variables_template, text=efi.variables) if efi else None,
            el("kernel", text=kernel.kernel) if kernel.kernel else None,
            el("initrd", text=kernel.initrd) if kernel.initrd else None,
            el("cmdline", text=kernel.arguments) if kernel.arguments else None,
            el("bios", useserial="yes") if self.serial_bios else None,
            el("smbios", mode="sysinfo"),
        )


@dataclass(frozen=True, slots=True)
class SystemInfo:
    """SMBIOS strings. Manufacturer, product and family are KubeVirt's defaults, which guests tell it by."""

    uuid: str
    serial: str = ""
    chassis_manufacturer: str = ""
    chassis_version: str = ""
    chassis_serial: str = ""
    chassis_asset: str = ""
    chassis_sku: str = ""

    def to_xml(self) -> Element:
        system = {
            "manufacturer": "KubeVirt",
            "product": "None",
            "serial": self.serial,
            "uuid": self.uuid,
            "family": "KubeVirt",
        }
        chassis = {
            "manufacturer": self.chassis_manufacturer,
            "version": self.chassis_version,
            "serial": self.chassis_serial,
            "asset": self.chassis_asset,
            "sku": self.chassis_sku,
        }
        return el("sysinfo", _entries("system", system), _entries("chassis", chassis), type="smbios")


def _entries(tag: str, values: dict[str, str]) -> Element | None:
    entries = [el("entry", name=name, text=value) for name, value in values.items() if value]
    return el(tag, *entries) if entries else None
