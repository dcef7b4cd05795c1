"""Ports of the machine that belong to containers (`hostPort`): who has which, and the rules that lead there.

One nftables table of the node, replaced as a whole, holds the rules of all pods; it stays while no kubelet
runs. A pod gets its ports when it is admitted and gives them back when it is released; so does a pod in the
machine's own network, which needs no rules. With a network of the administrator's own, its plugins do the
forwarding, if they say they can.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edgevirt.api.core import Pod
from edgevirt.engine.kubelet.settings import CniSettings
from edgevirt.linux import nft

_LOOPBACK = "127.0.0.0/8"
_ANY = ("", "0.0.0.0", "::")
_PROTOCOLS = ("tcp", "udp", "sctp")


class HostPortError(Exception):
    """The rules could not be set; the message says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class HostPort:
    """A port of the machine, on `address` or ("") on all of its own, and the container's behind it."""

    address: str
    protocol: str
    port: int
    target: int

    def clashes(self, other: HostPort) -> bool:
        """Whether both cannot be had."""
        same = self.address == other.address or "" in (self.address, other.address)
        return same and (self.protocol, self.port) == (other.protocol, other.port)


def ports_of(pod: Pod) -> tuple[HostPort, ...]:
    """What the pod's long-running containers ask for."""
    spec = pod.spec
    if spec is None:
        return ()
    sidecars = (container for container in spec.init_containers if container.restart_policy == "Always")
    return tuple(
        HostPort(
            "" if port.host_ip in _ANY else port.host_ip,
            (port.protocol or "TCP").lower(),
            port.host_port,
            port.container_port or port.host_port,
        )
        for container in (*spec.containers, *sidecars)
        for port in container.ports
        if port.host_port
    )


def plugin_mappings(pod: Pod) -> list[dict[str, Any]]:
    """The ports as network plugins with the capability `portMappings` want them."""
    if pod.spec is None or pod.spec.host_network:
        return []
    return [
        {
            "hostPort": port.port,
            "containerPort": port.target,
            "protocol": port.protocol,
            **({"hostIP": port.address} if port.address else {}),
        }
        for port in ports_of(pod)
    ]


class HostPorts:
    """The ports of one node. Methods may be called from any thread; those that load rules block."""

    def __init__(self, settings: CniSettings) -> None:
        self._settings = settings
        self._claims: dict[str, tuple[HostPort, ...]] = {}
        self._targets: dict[str, str] = {}
        self._lock = threading.Lock()

    def claim(self, uid: str, ports: Sequence[HostPort]) -> bool:
        """Give the pod its ports; False, and nothing, when another one has some of them."""
        with self._lock:
            taken = [port for owner, held in self._claims.items() if owner != uid for port in held]
            if any(port.clashes(other) for port in ports for other in taken):
                return False
            if ports:
                self._claims[uid] = tuple(ports)
            return True

    def adopt(self, uid: str, ports: Sequence[HostPort], addresses: Sequence[str]) -> None:
        """A pod of an earlier kubelet: its rules are in the kernel already, if it has any."""
        with self._lock:
            if ports:
                self._claims[uid] = tuple(ports)
                if addresses:
                    self._targets[uid] = addresses[0]

    def open(self, uid: str, address: str) -> None:
        """Lead what arrives at the pod's ports to its address. HostPortError, OSError."""
        with self._lock:
            if uid in self._claims and self._settings.conf_dir is None:
                self._targets[uid] = address
                self._load()
                self._allow_loopback()

    def release(self, uid: str) -> None:
        """The pod has no ports any more. Idempotent; HostPortError."""
        with self._lock:
            known = self._claims.pop(uid, None)
            if self._targets.pop(uid, None) is not None and known:
                self._load()

    def unclaim(self, uid: str) -> None:
        """Forget what a pod claimed that never got so far as to have rules. Does not block."""
        with self._lock:
            if uid not in self._targets:
                self._claims.pop(uid, None)

    def _load(self) -> None:
        rules = [
            (port, self._targets[uid])
            for uid, ports in sorted(self._claims.items())
            if uid in self._targets
            for port in ports
        ]
        try:
            nft.load(script(self._settings.bridge, self._settings.subnet, rules))
        except nft.NftError as error:
            raise HostPortError(f"the rules of host ports could not be set: {error}") from error

    def _allow_loopback(self) -> None:
        """Let the machine reach the ports through its loopback; the bridge is there by now."""
        if ipaddress.ip_network(self._settings.subnet).version == 4:
            Path("/proc/sys/net/ipv4/conf", self._settings.bridge, "route_localnet").write_text("1\n")


def table(bridge: str) -> str:
    return f"edgevirt-hostports-{bridge}"


def script(bridge: str, subnet: str, rules: Iterable[tuple[HostPort, str]]) -> str:
    """The whole rule set, with each port's pod address; loading it replaces what was there. Pure."""
    version = ipaddress.ip_network(subnet).version
    family = "ip" if version == 4 else "ip6"
    removal = f"add table {family} {table(bridge)}\ndelete table {family} {table(bridge)}\n"
    lines = [_rule(family, port, address) for port, address in rules if _expressible(port, version)]
    if not lines:
        return removal
    chains = {
        "ports": lines,
        "prerouting": [
            "type nat hook prerouting priority dstnat - 1; policy accept;",
            "fib daddr type local jump ports",
        ],
        "output": [
            "type nat hook output priority -101; policy accept;",
            "fib daddr type local jump ports",
        ],
        # whoever reaches a pod by way of the machine must not see the answer come from elsewhere
        "postrouting": [
            "type nat hook postrouting priority srcnat; policy accept;",
            f'ct status dnat {family} saddr {subnet} oifname "{bridge}" masquerade',
            *([f'ct status dnat ip saddr {_LOOPBACK} oifname "{bridge}" masquerade'] if version == 4 else []),
        ],
    }
    if version == 4:  # loopback is routable on the bridge for these ports alone
        chains["guard"] = [
            "type filter hook prerouting priority raw; policy accept;",
            f'iifname "{bridge}" ip daddr {_LOOPBACK} drop',
        ]
    body = "".join(
        f" chain {name} {{\n" + "".join(f"  {line}\n" for line in rules_) + " }\n"
        for name, rules_ in chains.items()
    )
    return f"{removal}table {family} {table(bridge)} {{\n{body}}}\n"


def _expressible(port: HostPort, version: int) -> bool:
    """Whether a rule of this family can say it. What a pod wrote must never become words of the script, and
    one rule that cannot be loaded would keep those of all other pods out."""
    if not (0 < port.port < 65536 and 0 < port.target < 65536 and port.protocol in _PROTOCOLS):
        return False
    try:
        return not port.address or ipaddress.ip_address(port.address).version == version
    except ValueError:
        return False


def _rule(family: str, port: HostPort, address: str) -> str:
    where = f"{family} daddr {port.address} " if port.address else ""
    target = f"[{address}]" if ":" in address else address
    return f"{where}{port.protocol} dport {port.port} dnat to {target}:{port.target}"
