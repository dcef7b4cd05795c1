"""Cluster addresses and node ports: which are taken, and handing out free ones.

What is taken is what stored services say, followed in the store; what a write in flight has chosen is held
until it ends, so that no two writes choose the same. Chosen addresses come from the upper part of the range,
which leaves the lower part to people who name addresses themselves, as Kubernetes does it.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable, Iterable
from typing import Any

Json = dict[str, Any]

DEFAULT_SUBNET = "10.96.0.0/12"
NODE_PORTS = range(30000, 32768)
_ATTEMPTS = 64


class Taken(Exception):
    """Kubernetes' words for why the value cannot be had."""


class Pool:
    """Values that are taken by owners, for good (stored) or while a write lasts (held)."""

    def __init__(self) -> None:
        self._stored = _Owned()
        self._held = _Owned()

    def is_free(self, value: object, owner: str) -> bool:
        return all(taken.owners.get(value, owner) == owner for taken in (self._stored, self._held))

    def hold(self, value: object, owner: str) -> None:
        self._held.add(value, owner)

    def release(self, owner: str) -> None:
        """What the owner held is free again, unless it was stored meanwhile."""
        self._held.forget(owner)

    def store(self, owner: str, values: Iterable[object]) -> None:
        """`values` are all the owner has now."""
        self._stored.forget(owner)
        for value in values:
            self._stored.add(value, owner)


class _Owned:
    """Value -> owner, and back."""

    def __init__(self) -> None:
        self.owners: dict[object, str] = {}
        self._values: dict[str, list[object]] = {}

    def add(self, value: object, owner: str) -> None:
        self.owners[value] = owner
        self._values.setdefault(owner, []).append(value)

    def forget(self, owner: str) -> None:
        for value in self._values.pop(owner, ()):
            if self.owners.get(value) == owner:
                del self.owners[value]


class ServiceNetwork:
    """The addresses of `subnet` and the node ports; owners are uids of services."""

    def __init__(
        self,
        subnet: str = DEFAULT_SUBNET,
        node_ports: range = NODE_PORTS,
        random_below: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        self.subnet = ipaddress.ip_network(subnet)
        self.node_ports = node_ports
        self._random_below = random_below
        self._addresses = Pool()
        self._ports = Pool()

    @property
    def first(self) -> str:
        """The address of the service `kubernetes`."""
        return str(self.subnet[1])

    def stored(self, event: str, service: Json) -> None:
        """A service was stored or deleted (`event` is DELETED)."""
        uid, spec = service["metadata"]["uid"], service.get("spec") or {}
        gone = event == "DELETED"
        addresses = [] if gone else [ip for ip in spec.get("clusterIPs") or () if ip not in ("", "None")]
        self._addresses.store(uid, addresses)
        self._ports.store(uid, [] if gone else [(p, proto) for p, proto in ports_of(spec)])

    def release(self, uid: str) -> None:
        """The write of that service is over."""
        self._addresses.release(uid)
        self._ports.release(uid)

    def take_address(self, address: str, uid: str) -> None:
        """Hold an address the client named. Raises Taken."""
        try:
            wanted = ipaddress.ip_address(address)
        except ValueError:
            raise Taken(f"failed to allocate IP {address}: not a valid IP address") from None
        if wanted not in self.subnet or wanted in (self.subnet[0], self.subnet[-1]):
            raise Taken(
                f"failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. "
                f"The range of valid IPs is {self.subnet}"
            )
        if not self._addresses.is_free(str(wanted), uid):
            raise Taken(f"failed to allocate IP {address}: provided IP is already allocated")
        self._addresses.hold(str(wanted), uid)

    def choose_address(self, uid: str) -> str:
        """Hold a free address. Raises Taken when there is none."""
        size = self.subnet.num_addresses - 2
        kept = min(max(16, size // 16), 256) if size > 32 else 0
        for low, span in ((kept, size - kept), (0, size)):
            for offset in self._tries(span):
                address = str(self.subnet[1 + low + offset])
                if self._addresses.is_free(address, uid):
                    self._addresses.hold(address, uid)
                    return address
        raise Taken("failed to allocate a serviceIP: range is full")

    def _tries(self, span: int) -> Iterable[int]:
        """A few random places, then everything in order from a random one."""
        if span <= 0:
            return
        for _ in range(_ATTEMPTS):
            yield self._random_below(span)
        start = self._random_below(span)
        if span <= 1 << 16:
            yield from (place % span for place in range(start, start + span))

    def take_port(self, port: int, protocol: str, uid: str) -> None:
        """Hold a node port the client named. Raises Taken."""
        if port not in self.node_ports:
            first, last = self.node_ports.start, self.node_ports.stop - 1
            raise Taken(
                f"provided port is not in the valid range. The range of valid ports is {first}-{last}"
            )
        if not self._ports.is_free((port, protocol), uid):
            raise Taken("provided port is already allocated")
        self._ports.hold((port, protocol), uid)

    def choose_port(self, protocol: str, uid: str) -> int:
        """Hold a node port that is free. Raises Taken when there is none."""
        for offset in self._tries(len(self.node_ports)):
            port = self.node_ports[offset]
            if self._ports.is_free((port, protocol), uid):
                self._ports.hold((port, protocol), uid)
                return port
        raise Taken("failed to allocate a nodePort: range is full")


def ports_of(spec: Json) -> list[tuple[int, str]]:
    """(node port, protocol) of each port that has one."""
    return [
        (port["nodePort"], port.get("protocol") or "TCP")
        for port in spec.get("ports") or ()
        if port.get("nodePort")
    ]
