"""Networks an instance joins, and the interfaces the guest sees of them."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from edgevirt.api.meta import Struct
from edgevirt.api.schema import ATOMIC


class ClaimRequest(Struct):
    """A device request within a resource claim."""

    claim_name: str = ""
    """Entry of `resourceClaims`."""
    request_name: str = ""
    """Request within the claim."""


class MultusNetwork(Struct):
    """A secondary network made by Multus."""

    default: bool | None = None
    """Replace the pod's default network instead of adding one."""
    network_name: str
    """NetworkAttachmentDefinition as "name" or "namespace/name"."""


class PodNetwork(Struct):
    """The network every pod gets."""

    vm_ipv6_network_cidr: str = field(default="", name="vmIPv6NetworkCIDR")
    """IPv6 network of a masqueraded guest; default fd10:0:2::/120."""
    vm_network_cidr: str = field(default="", name="vmNetworkCIDR")
    """IPv4 network of a masqueraded guest; default 10.0.2.0/24."""


class Network(Struct):
    """A network the instance joins: exactly one source."""

    multus: MultusNetwork | None = None
    """A secondary network by Multus."""
    name: str
    """Name; exactly one interface carries the same."""
    pod: PodNetwork | None = None
    """The pod network; at most once."""
    resource_claim: ClaimRequest | None = None
    """A network device from a resource claim."""


class DHCPPrivateOptions(Struct):
    """A site-specific DHCP option."""

    option: int
    """Code, 224 to 254."""
    value: str
    """Text sent as its value."""


class DHCPOptions(Struct):
    """What the guest learns by DHCP besides its address."""

    boot_file_name: str = ""
    """Boot file (option 67)."""
    ntp_servers: tuple[str, ...] = ()
    """IPv4 addresses of time servers (option 42)."""
    private_options: tuple[DHCPPrivateOptions, ...] = ()
    """Site-specific options."""
    tftp_server_name: str = ""
    """TFTP server (option 66)."""


class DeprecatedInterfaceMacvtap(Struct):
    """No longer supported; kept so that it can be refused by name."""


class DeprecatedInterfacePasst(Struct):
    """No longer supported; kept so that it can be refused by name."""


class DeprecatedInterfaceSlirp(Struct):
    """No longer supported; kept so that it can be refused by name."""


class InterfaceBridge(Struct):
    """Present: the guest takes the pod's place on its network, with the pod's address."""


class InterfaceMasquerade(Struct):
    """Present: the guest is behind NAT in the pod."""


class InterfacePasstBinding(Struct):
    """Present: user-mode networking without privileges."""


class InterfaceSRIOV(Struct):
    """Present: a virtual function of a network card is passed through."""


class PluginBinding(Struct):
    """A binding that a network plugin provides."""

    name: str
    """Name the plugin is registered under."""


class Port(Struct):
    """A port of the guest that is reachable through NAT."""

    name: str = ""
    """Name of the port, unique in the instance."""
    port: int
    """Number, 1 to 65535."""
    protocol: str = ""
    """TCP (default) or UDP."""


class PortRange(Struct):
    """A range of ports of the guest that is reachable through NAT."""

    end: int
    """Last port."""
    protocol: str
    """TCP or UDP."""
    start: int
    """First port."""


class Interface(Struct):
    """One network interface of the guest: exactly one binding to its network."""

    acpi_index: int | None = None
    """Stable number by which guests name the interface, 1 to 16383."""
    binding: PluginBinding | None = None
    """Bind by a plugin."""
    boot_order: int | None = None
    """Place in the boot sequence, from 1, unique among disks and interfaces."""
    bridge: InterfaceBridge | None = None
    """Bind by a bridge."""
    dhcp_options: DHCPOptions | None = None
    """More for the guest to learn by DHCP."""
    mac_address: str = ""
    """MAC address of the guest; chosen and kept if absent."""
    macvtap: DeprecatedInterfaceMacvtap | None = None
    """Refused."""
    masquerade: InterfaceMasquerade | None = None
    """Bind by NAT."""
    model: str = ""
    """Card the guest sees: virtio (default), e1000, e1000e, igb, ne2k_pci, pcnet or rtl8139."""
    name: str
    """Name of the network it belongs to."""
    passt: DeprecatedInterfacePasst | None = None
    """Refused."""
    passt_binding: InterfacePasstBinding | None = None
    """Bind by passt."""
    pci_address: str = ""
    """Fixed PCI address "dddd:bb:ss.f"."""
    port_ranges: Annotated[tuple[PortRange, ...], ATOMIC] = ()
    """Ranges of ports reachable through NAT."""
    ports: tuple[Port, ...] = ()
    """Ports reachable through NAT; none named means all."""
    slirp: DeprecatedInterfaceSlirp | None = None
    """Refused."""
    sriov: InterfaceSRIOV | None = None
    """Bind by a virtual function."""
    state: str = ""
    """Link state: up (default), down, or absent to unplug."""
    tag: str = ""
    """Mark handed to the guest in its metadata."""
