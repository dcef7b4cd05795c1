"""The rule set of the service proxy as one nftables script. Pure.

One table per instance, replaced as a whole, so that it is never half right. Packets to a service are sent on
to one of its targets, chosen at random or by the client's address; packets to a cluster address that no
service has, or whose service has nobody to answer, are refused at once instead of timing out. A client that
reaches a pod through the same bridge, or the node through its loopback, must not see the answer come from
elsewhere, so such connections are masqueraded: a pod then sees the node as its client.
nft 1.0.6 wants each closing brace on a line of its own.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Sequence

from edgevirt.engine.service_proxy.targets import Entry, Target

LOOPBACK = "127.0.0.0/8"


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where the rules are for. `api_server`: (published endpoint, where it really listens)."""

    bridge: str
    pod_subnet: str
    service_subnet: str
    api_server: tuple[Target, Target] | None = None


def table(bridge: str) -> str:
    return f"edgevirt-services-{bridge}"


def removal(bridge: str) -> str:
    """A script that removes the table, whether it is there or not."""
    return f"add table ip {table(bridge)}\ndelete table ip {table(bridge)}\n"


def script(place: Place, entries: Sequence[Entry]) -> str:
    """The whole rule set; loading it replaces what was there before."""
    chains: list[str] = []
    inside: list[str] = []
    outside: list[str] = []
    for number, entry in enumerate(entries):
        _entry(place, entry, number, chains, inside, outside)
    subnet = place.service_subnet
    return (
        removal(place.bridge)
        + f"table ip {table(place.bridge)} {{\n"
        + "".join(chains)
        + _chain("services", inside)
        + _chain("nodeports", outside)
        + _chain(
            "prerouting",
            [
                "type nat hook prerouting priority dstnat; policy accept;",
                # Cluster addresses of another instance on this machine are its own pods' business.
                f'iifname "{place.bridge}" jump services',
                f'iifname != "{place.bridge}" ip daddr != {subnet} jump services',
                f"ip daddr != {LOOPBACK} fib daddr type local jump nodeports",
            ],
        )
        + _chain(
            "output",
            [
                "type nat hook output priority -100; policy accept;",
                "jump services",
                "fib daddr type local jump nodeports",
            ],
        )
        + _chain(
            "postrouting",
            [
                "type nat hook postrouting priority srcnat; policy accept;",
                f'ct status dnat ip saddr {place.pod_subnet} oifname "{place.bridge}" masquerade',
                f'ct status dnat ip saddr {LOOPBACK} oifname "{place.bridge}" masquerade',
            ],
        )
        + _chain(
            "guard",
            [
                "type filter hook prerouting priority raw; policy accept;",
                # Loopback is routable on the bridge for the API server alone, and only by way of a service.
                f'iifname "{place.bridge}" ip daddr {LOOPBACK} drop',
            ],
        )
        + "".join(
            _chain(
                f"refuse_{hook}",
                [
                    f"type filter hook {hook} priority filter; policy accept;",
                    f"ip daddr {subnet} jump refuse",
                ],
            )
            for hook in ("forward", "output")
        )
        + _chain(
            "refuse", ["meta l4proto tcp reject with tcp reset", "reject with icmp type port-unreachable"]
        )
        + "}\n"
    )


def _chain(name: str, lines: Sequence[str]) -> str:
    return f"  chain {name} {{\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"


def _entry(
    place: Place, entry: Entry, number: int, chains: list[str], inside: list[str], outside: list[str]
) -> None:
    if entry.targets:
        chains.append(_chain(f"in_{number}", [_choose(place, entry.targets, entry.sticky)]))
        inside.extend(
            f"ip daddr {address} {entry.protocol} dport {entry.port} goto in_{number}"
            for address in _own_addresses(place, entry)
        )
    if entry.node_port and entry.outside_targets:
        chains.append(_chain(f"out_{number}", [_choose(place, entry.outside_targets, entry.sticky)]))
        outside.append(f"{entry.protocol} dport {entry.node_port} goto out_{number}")


def _own_addresses(place: Place, entry: Entry) -> list[str]:
    """The cluster address, which comes first, and external ones that are really outside.

    Otherwise a service could take the traffic of other services and pods (CVE-2020-8554).
    """
    inside = [ipaddress.ip_network(subnet) for subnet in (place.service_subnet, place.pod_subnet)]
    first, *others = entry.addresses
    return [first, *(one for one in others if not any(ipaddress.ip_address(one) in net for net in inside))]


def _choose(place: Place, targets: Sequence[Target], sticky: bool) -> str:
    real = [_real(place, target) for target in targets]
    if len(real) == 1:
        address, port = real[0]
        return f"meta l4proto {{ tcp, udp, sctp }} dnat to {address}:{port}"
    by = f"jhash ip saddr mod {len(real)}" if sticky else f"numgen random mod {len(real)}"
    choices = ", ".join(f"{index} : {address} . {port}" for index, (address, port) in enumerate(real))
    return f"meta l4proto {{ tcp, udp, sctp }} dnat to {by} map {{ {choices} }}"


def _real(place: Place, target: Target) -> Target:
    if place.api_server is not None and target == place.api_server[0]:
        return place.api_server[1]
    return target
