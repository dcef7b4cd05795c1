"""Which NICs a guest gets, from the VMI's interfaces and the taps virt-handler made for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from edgevirt.api.kubevirt.devices import Devices
from edgevirt.api.launcher import GuestLink
from edgevirt.virt_launcher.domain.address import PCIAddress
from edgevirt.virt_launcher.domain.errors import UnsupportedField
from edgevirt.virt_launcher.domain.interface import Interface

_MODELS: Final = ("e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139")
_STATES: Final = ("", "up", "down", "absent")


def build_interfaces(devices: Devices, links: Iterable[GuestLink]) -> tuple[Interface, ...]:
    """One `Interface` per interface of the VMI that is not absent, in its order.

    Raises `UnsupportedField` for an interface without a link, an unknown model or state.
    """
    by_name = {link.name: link for link in links}
    virtio = "virtio-transitional" if devices.use_virtio_transitional else "virtio-non-transitional"
    interfaces = []
    for index, interface in enumerate(devices.interfaces):
        field = f"spec.domain.devices.interfaces[{index}]"
        if interface.state not in _STATES:
            raise UnsupportedField(
                f"{field}.state", f"{interface.state!r} is unknown; use up, down or absent"
            )
        if interface.state == "absent":
            continue
        link = by_name.get(interface.name)
        if link is None:
            raise UnsupportedField(field, f"no tap was made for interface {interface.name!r}")
        model = interface.model or "virtio"
        if model != "virtio" and model not in _MODELS:
            raise UnsupportedField(
                f"{field}.model", f"{model!r} is unknown; use one of virtio, {', '.join(_MODELS)}"
            )
        interfaces.append(
            Interface(
                alias=f"ua-{interface.name}",
                tap=link.tap,
                mac=link.mac,
                model=virtio if model == "virtio" else model,
                mtu=link.mtu,
                boot_order=interface.boot_order,
                link_up=interface.state != "down",
                acpi_index=interface.acpi_index,
                address=PCIAddress.parse(interface.pci_address, f"{field}.pciAddress"),
            )
        )
    return tuple(interfaces)
