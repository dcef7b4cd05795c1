"""What a pod's network must look like so that its guest becomes the pod on the wire.

Bridge binding: the pod's NIC gives up its address, and its MAC moves to the guest. NIC and tap are ports of
a bridge inside the pod, on which virt-launcher's DHCP server hands the pod's own address to the guest.
KubeVirt parks the original address on a `dummy` link for CNI's CHECK; not every edge kernel has that link
type, so the original is kept in a file of the node agent instead (see `virt_handler.pod_network`).

Everything here is pure. A plan lists actions in order; each is a statement about the end state, so applying a
plan twice changes nothing the second time.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from edgevirt.api.kubevirt.networks import Interface, Network
from edgevirt.api.launcher import DHCPLease, GuestLink, Route
from edgevirt.api.meta import Struct
from edgevirt.network.mac import derived_mac, normalize
from edgevirt.network.nftables import bridge_isolation

DHCP_SERVER_ADDRESS = "169.254.75.10"
"""Where the pod's DHCP server speaks from; link-local, so it can't collide with a pod address."""

GUEST_UID = 107
"""User and group QEMU runs as, in every image and on the host."""

DHCP_SERVER_PORT = 67


class UnsupportedBinding(Exception):
    """The VM asks for a network attachment this version can't make. Permanent: retrying won't help."""


class PodLink(Struct):
    """A pod's NIC as CNI left it, before any binding touched it."""

    name: str
    mac: str
    mtu: int = 1500
    addresses: tuple[str, ...] = ()  # CIDR, global scope, IPv4 and IPv6
    gateway: str = ""  # of the IPv4 default route
    routes: tuple[Route, ...] = ()  # IPv4, without the default and the connected ones


@dataclass(frozen=True, slots=True)
class Resolver:
    """The pod's name resolution, handed on to the guest."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DisableIPv6:
    link: str


@dataclass(frozen=True, slots=True)
class FlushAddresses:
    link: str


@dataclass(frozen=True, slots=True)
class SetMAC:
    link: str
    mac: str


@dataclass(frozen=True, slots=True)
class AddBridge:
    link: str
    mac: str
    mtu: int


@dataclass(frozen=True, slots=True)
class AddTap:
    """A persistent tap device that user `uid` may open; `multi_queue` must match what QEMU will ask for."""

    link: str
    mtu: int
    uid: int
    gid: int
    multi_queue: bool


@dataclass(frozen=True, slots=True)
class Enslave:
    link: str
    bridge: str


@dataclass(frozen=True, slots=True)
class StopLearning:
    """Port `link` forgets source addresses, so a frame that returns can't steal the guest's."""

    link: str


@dataclass(frozen=True, slots=True)
class AddAddress:
    link: str
    address: str  # CIDR


@dataclass(frozen=True, slots=True)
class ChecksumInSoftware:
    """Packets the pod itself sends on `link` carry finished checksums: DHCP clients check them."""

    link: str


@dataclass(frozen=True, slots=True)
class SetSysctl:
    key: str  # path below /proc/sys, slashes
    value: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Replace our table by this rule set, in one transaction."""

    ruleset: str


@dataclass(frozen=True, slots=True)
class SetUp:
    link: str


Action = (
    DisableIPv6
    | FlushAddresses
    | SetMAC
    | AddBridge
    | AddTap
    | Enslave
    | StopLearning
    | AddAddress
    | ChecksumInSoftware
    | SetSysctl
    | Filter
    | SetUp
)


@dataclass(frozen=True, slots=True)
class LinkPlan:
    actions: tuple[Action, ...]
    link: GuestLink


def require_supported(interface: Interface, network: Network | None) -> None:
    """Raise UnsupportedBinding, naming the field, unless `interface` can be attached by this version."""
    where = f"interface {interface.name!r}"
    if network is None:
        raise UnsupportedBinding(f"{where} has no entry of that name in spec.networks; add one")
    if network.pod is None:
        raise UnsupportedBinding(
            f"{where} uses network {network.name!r}, which is not the pod network; only `pod: {{}}` works"
        )
    for binding in ("masquerade", "sriov", "passt", "passt_binding", "macvtap", "slirp", "binding"):
        if getattr(interface, binding) is not None:
            wire = "passtBinding" if binding == "passt_binding" else binding
            raise UnsupportedBinding(f"{where} asks for `{wire}`; use `bridge: {{}}`")
    if interface.bridge is None:
        raise UnsupportedBinding(f"{where} names no binding; add `bridge: {{}}`")
    if interface.dhcp_options is not None:
        raise UnsupportedBinding(
            f"{where} sets dhcpOptions, which the DHCP server does not hand out; remove it"
        )
    if interface.state == "absent":
        raise UnsupportedBinding(f"{where} has state `absent`; remove the interface instead")


def guest_mac(pod: PodLink, interface: Interface) -> str:
    """The address the guest's NIC has: what the spec says, else the pod's own.

    Raises UnsupportedBinding if the spec's is not a unicast MAC address.
    """
    if not interface.mac_address:
        return pod.mac
    try:
        return normalize(interface.mac_address)
    except ValueError as error:
        raise UnsupportedBinding(f"interface {interface.name!r}: macAddress {error}") from error


def domain_name(search: tuple[str, ...], subdomain: str) -> str:
    """A guest's domain: the pod's most specific search domain, below `subdomain` if one is set."""
    longest = max(search, key=len, default="")
    if not subdomain or not longest or longest.startswith(f"{subdomain}."):
        return longest
    return f"{subdomain}.{longest}"


def plan_bridge(
    pod: PodLink,
    interface: Interface,
    mac: str,
    *,
    tap: str = "tap0",
    resolver: Resolver = Resolver(),
    hostname: str = "",
    subdomain: str = "",
    multi_queue: bool = False,
) -> LinkPlan:
    """Bridge `pod`'s NIC to `tap` and describe the guest's NIC with address `mac`.

    The guest gets DHCP only if the pod NIC had an IPv4 address. Deterministic: the NIC's replacement MAC is
    derived from the original one.
    """
    bridge = f"k6t-{pod.name}"
    port_mac = derived_mac("pod side of", pod.mac, pod.name)
    actions: tuple[Action, ...] = (
        SetSysctl("net/ipv4/ip_unprivileged_port_start", str(DHCP_SERVER_PORT)),
        DisableIPv6(pod.name),
        FlushAddresses(pod.name),
        SetMAC(pod.name, port_mac),
        AddBridge(bridge, port_mac, pod.mtu),
        DisableIPv6(bridge),
        AddTap(tap, pod.mtu, GUEST_UID, GUEST_UID, multi_queue),
        DisableIPv6(tap),
        Filter(bridge_isolation(uplink=pod.name, tap=tap, server=DHCP_SERVER_ADDRESS)),
        Enslave(pod.name, bridge),
        Enslave(tap, bridge),
        StopLearning(pod.name),
        ChecksumInSoftware(bridge),
        AddAddress(bridge, f"{DHCP_SERVER_ADDRESS}/32"),
        SetUp(bridge),
        SetUp(tap),
        SetUp(pod.name),
    )
    lease = _lease(pod, bridge, mac, resolver, hostname, subdomain)
    return LinkPlan(actions, GuestLink(name=interface.name, tap=tap, mac=mac, mtu=pod.mtu, dhcp=lease))


def _lease(
    pod: PodLink, bridge: str, mac: str, resolver: Resolver, hostname: str, subdomain: str
) -> DHCPLease | None:
    address = next((a for a in pod.addresses if ipaddress.ip_interface(a).version == 4), None)
    if address is None:
        return None
    return DHCPLease(
        interface=bridge,
        server=DHCP_SERVER_ADDRESS,
        mac=mac,
        address=address,
        gateway=pod.gateway,
        routes=pod.routes,
        dns=resolver.servers,
        search=resolver.search,
        domain=domain_name(resolver.search, subdomain),
        hostname=hostname,
        mtu=pod.mtu,
    )
