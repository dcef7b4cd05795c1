"""Reading a pod's NIC and applying link plans, in the calling thread's network namespace.

Both are blocking and meant for `NetworkNamespace.run`. Every action compares with what is there first, so
applying a plan again after a crash at any point leads to the same network and leaves a running guest alone.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from edgevirt.api.launcher import Route
from edgevirt.network import nftables, tap
from edgevirt.network.binding import (
    Action,
    AddAddress,
    AddBridge,
    AddTap,
    ChecksumInSoftware,
    DisableIPv6,
    Enslave,
    Filter,
    FlushAddresses,
    PodLink,
    SetMAC,
    SetSysctl,
    SetUp,
    StopLearning,
)

_IFF_UP = 1
_RT_SCOPE_UNIVERSE = 0
_RT_TABLE_MAIN = 254
_RTPROT_KERNEL = 2
_UNSET_GATEWAY = "0.0.0.0"  # "on link" in a classless route


class LinkError(Exception):
    """The pod's network is not as it must be, or the kernel refused a change."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A NIC, and whether it is a port of a bridge, that is: no longer as CNI left it."""

    link: PodLink
    bridged: bool


def observe(name: str) -> Observation:
    """The NIC `name` as it is. Raises LinkError if there is none."""
    with IPRoute() as netlink:
        link = _link(netlink, name)
        if link is None:
            raise LinkError(f"the pod has no interface {name}; did its CNI plugin run?")
        index: int = link["index"]
        gateway, routes = _routes(netlink, index)
        pod = PodLink(
            name=name,
            mac=str(link.get("address")),
            mtu=int(link.get("mtu")),
            addresses=_addresses(netlink, index),
            gateway=gateway,
            routes=routes,
        )
        return Observation(pod, bridged=link.get("master") is not None)


def apply(actions: Iterable[Action]) -> None:
    """Bring the namespace to where `actions` say. Raises LinkError naming the action that failed."""
    with IPRoute() as netlink:
        for action in actions:
            try:
                _apply(action, netlink)
            except (NetlinkError, OSError, nftables.FilterError) as error:
                raise LinkError(f"could not apply {action}: {error}") from error


@functools.singledispatch
def _apply(action: object, netlink: Any) -> None:
    raise TypeError(f"no such action: {action!r}")


@_apply.register
def _(action: SetSysctl, netlink: Any) -> None:
    _set_sysctl(action.key, action.value)


@_apply.register
def _(action: DisableIPv6, netlink: Any) -> None:
    if Path("/proc/sys/net/ipv6").exists():
        _set_sysctl(f"net/ipv6/conf/{action.link}/disable_ipv6", "1")


@_apply.register
def _(action: FlushAddresses, netlink: Any) -> None:
    index = _index(netlink, action.link)
    if _addresses(netlink, index):
        netlink.flush_addr(index=index)


@_apply.register
def _(action: SetMAC, netlink: Any) -> None:
    link = _required(netlink, action.link)
    if link.get("address") != action.mac:
        netlink.link("set", index=link["index"], address=action.mac)


@_apply.register
def _(action: AddBridge, netlink: Any) -> None:
    if _link(netlink, action.link) is None:
        netlink.link("add", ifname=action.link, kind="bridge", br_stp_state=0, br_forward_delay=0)
    link = _required(netlink, action.link)
    if link.get("address") != action.mac or link.get("mtu") != action.mtu:
        netlink.link("set", index=link["index"], address=action.mac, mtu=action.mtu)


@_apply.register
def _(action: AddTap, netlink: Any) -> None:
    if _link(netlink, action.link) is None:
        tap.make_tap(action.link, uid=action.uid, gid=action.gid, multi_queue=action.multi_queue)
    link = _required(netlink, action.link)
    if link.get("mtu") != action.mtu:
        netlink.link("set", index=link["index"], mtu=action.mtu)


@_apply.register
def _(action: Enslave, netlink: Any) -> None:
    link = _required(netlink, action.link)
    bridge = _index(netlink, action.bridge)
    if link.get("master") != bridge:
        netlink.link("set", index=link["index"], master=bridge)


@_apply.register
def _(action: StopLearning, netlink: Any) -> None:
    netlink.brport("set", index=_index(netlink, action.link), learning=0)


@_apply.register
def _(action: AddAddress, netlink: Any) -> None:
    index = _index(netlink, action.link)
    wanted = ipaddress.ip_interface(action.address)
    present = {(message.get("address"), message["prefixlen"]) for message in netlink.get_addr(index=index)}
    if (str(wanted.ip), wanted.network.prefixlen) not in present:
        netlink.addr("add", index=index, address=str(wanted.ip), prefixlen=wanted.network.prefixlen)


@_apply.register
def _(action: ChecksumInSoftware, netlink: Any) -> None:
    tap.checksum_in_software(action.link)


@_apply.register
def _(action: Filter, netlink: Any) -> None:
    nftables.apply(action.ruleset)


@_apply.register
def _(action: SetUp, netlink: Any) -> None:
    link = _required(netlink, action.link)
    if not link["flags"] & _IFF_UP:
        netlink.link("set", index=link["index"], state="up")


def _set_sysctl(key: str, value: str) -> None:
    with open(f"/proc/sys/{key}", "r+", encoding="ascii") as file:
        if file.read().strip() != value:
            file.seek(0)
            file.write(value)


def _link(netlink: Any, name: str) -> Any:
    found = netlink.link_lookup(ifname=name)
    return netlink.link("get", index=found[0])[0] if found else None


def _required(netlink: Any, name: str) -> Any:
    link = _link(netlink, name)
    if link is None:
        raise LinkError(f"link {name} vanished while the pod's network was set up")
    return link


def _index(netlink: Any, name: str) -> int:
    return int(_required(netlink, name)["index"])


def _addresses(netlink: Any, index: int) -> tuple[str, ...]:
    """Global addresses of the link, IPv4 first."""
    found = [
        f"{message.get('address')}/{message['prefixlen']}"
        for message in netlink.get_addr(index=index)
        if message["scope"] == _RT_SCOPE_UNIVERSE
    ]
    return tuple(sorted(found, key=lambda cidr: ":" in cidr))


def _routes(netlink: Any, index: int) -> tuple[str, tuple[Route, ...]]:
    """The IPv4 default gateway behind the link, and the routes that don't follow from its address."""
    gateway = ""
    routes: list[Route] = []
    for message in netlink.get_routes(family=socket.AF_INET, table=_RT_TABLE_MAIN, oif=index):
        via = str(message.get("gateway") or "")
        destination = message.get("dst")
        if destination is None:
            gateway = gateway or via
        elif message["proto"] != _RTPROT_KERNEL:
            routes.append(
                Route(destination=f"{destination}/{message['dst_len']}", gateway=via or _UNSET_GATEWAY)
            )
    return gateway, tuple(routes)
