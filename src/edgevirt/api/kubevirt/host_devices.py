"""The host's devices that guests may have: mediated, PCI and USB, as the KubeVirt object permits them."""

from __future__ import annotations

from typing import Annotated

from edgevirt.api.meta import Struct
from edgevirt.api.schema import ATOMIC


class NodeMediatedDeviceTypesConfig(Struct):
    """Mediated devices of some nodes."""

    mediated_device_types: Annotated[tuple[str, ...], ATOMIC] = ()
    """Types to make."""
    mediated_devices_types: Annotated[tuple[str, ...], ATOMIC] = ()
    """Superseded by `mediatedDeviceTypes`."""
    node_selector: dict[str, str]
    """Labels of those nodes."""


class MediatedDevicesConfiguration(Struct):
    """Mediated devices."""

    enabled: bool | None = None
    """Make them; default true."""
    mediated_device_types: Annotated[tuple[str, ...], ATOMIC] = ()
    """Types to make on all nodes."""
    mediated_devices_types: Annotated[tuple[str, ...], ATOMIC] = ()
    """Superseded by `mediatedDeviceTypes`."""
    node_mediated_device_types: Annotated[tuple[NodeMediatedDeviceTypesConfig, ...], ATOMIC] = ()
    """Types by node."""


class MediatedHostDevice(Struct):
    """A mediated device guests may use."""

    external_resource_provider: bool | None = None
    """Somebody else announces it."""
    mdev_name_selector: str
    """Name of its type."""
    resource_name: str
    """Extended resource it appears as."""


class PciHostDevice(Struct):
    """A PCI device guests may use."""

    external_resource_provider: bool | None = None
    """Somebody else announces it."""
    pci_vendor_selector: str
    """Vendor and device, "vvvv:dddd"."""
    resource_name: str
    """Extended resource it appears as."""


class USBSelector(Struct):
    """A USB device."""

    product: str
    """Product id."""
    vendor: str
    """Vendor id."""


class USBHostDevice(Struct):
    """USB devices guests may use."""

    external_resource_provider: bool | None = None
    """Somebody else announces them."""
    resource_name: str
    """Extended resource they appear as."""
    selectors: Annotated[tuple[USBSelector, ...], ATOMIC] = ()
    """The devices."""


class PermittedHostDevices(Struct):
    """Devices of nodes that guests may use."""

    mediated_devices: Annotated[tuple[MediatedHostDevice, ...], ATOMIC] = ()
    """Mediated devices."""
    pci_host_devices: Annotated[tuple[PciHostDevice, ...], ATOMIC] = ()
    """PCI devices."""
    usb: Annotated[tuple[USBHostDevice, ...], ATOMIC] = ()
    """USB devices."""
