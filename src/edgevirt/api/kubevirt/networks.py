"""kubevirt.io/v1 types: networks."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.meta import Struct


class ClaimRequest(Struct):
    claim_name: str = ""
    request_name: str = ""


class MultusNetwork(Struct):
    default: bool | None = None
    network_name: str


class PodNetwork(Struct):
    vm_ipv6_network_cidr: str = field(default="", name="vmIPv6NetworkCIDR")
    vm_network_cidr: str = field(default="", name="vmNetworkCIDR")


class Network(Struct):
    multus: MultusNetwork | None = None
    name: str
    pod: PodNetwork | None = None
    resource_claim: ClaimRequest | None = None


class DHCPPrivateOptions(Struct):
    option: int
    value: str


class DHCPOptions(Struct):
    boot_file_name: str = ""
    ntp_servers: tuple[str, ...] = ()
    private_options: tuple[DHCPPrivateOptions, ...] = ()
    tftp_server_name: str = ""


class DeprecatedInterfaceMacvtap(Struct):
    pass


class DeprecatedInterfacePasst(Struct):
    pass


class DeprecatedInterfaceSlirp(Struct):
    pass


class InterfaceBridge(Struct):
    pass


class InterfaceMasquerade(Struct):
    pass


class InterfacePasstBinding(Struct):
    pass


class InterfaceSRIOV(Struct):
    pass


class PluginBinding(Struct):
    name: str


class Port(Struct):
    name: str = ""
    port: int
    protocol: str = ""


class PortRange(Struct):
    end: int
    protocol: str
    start: int


class Interface(Struct):
    acpi_index: int | None = None
    binding: PluginBinding | None = None
    boot_order: int | None = None
    bridge: InterfaceBridge | None = None
    dhcp_options: DHCPOptions | None = None
    mac_address: str = ""
    macvtap: DeprecatedInterfaceMacvtap | None = None
    masquerade: InterfaceMasquerade | None = None
    model: str = ""
    name: str
    passt: DeprecatedInterfacePasst | None = None
    passt_binding: InterfacePasstBinding | None = None
    pci_address: str = ""
    port_ranges: tuple[PortRange, ...] = ()
    ports: tuple[Port, ...] = ()
    slirp: DeprecatedInterfaceSlirp | None = None
    sriov: InterfaceSRIOV | None = None
    state: str = ""
    tag: str = ""
