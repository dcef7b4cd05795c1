"""Guests on one bridge hear only their own pod's DHCP server, and nobody hears theirs."""

from __future__ import annotations

import secrets
import socket
import struct
import subprocess
import time
from collections.abc import Iterator

import pytest
from live_cluster import Namespace
from live_console import Console
from live_machines import address, instance_spec, machine

from live_instance import Instance

pytestmark = pytest.mark.system

ETH_P_ALL = 0x0003
ARP = 0x0806
IPV4 = 0x0800
BROADCAST = b"\xff" * 6
DHCP_PORTS = {67, 68}


class Port:
    """A port of the bridge that hears whatever the bridge floods."""

    def __init__(self, bridge: str) -> None:
        self._name = f"evt{secrets.token_hex(4)}"
        peer = f"{self._name}p"
        _ip("link", "add", self._name, "type", "veth", "peer", "name", peer)
        _ip("link", "set", peer, "master", bridge, "up")
        _ip("link", "set", self._name, "up")
        # No protocol yet: until it is bound the socket would hear every link of the machine.
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.bind((self._name, ETH_P_ALL))
        self.mac = self.socket.getsockname()[4]
        self.frames: list[bytes] = []

    def close(self) -> None:
        self.socket.close()
        _ip("link", "del", self._name)

    def send(self, frame: bytes) -> None:
        self.socket.send(frame)

    def until_arp_reply(self, who: str, seconds: float = 10.0) -> None:
        """Take frames until `who` answers our ARP request: all frames sent to it before have arrived."""
        deadline = time.monotonic() + seconds
        while True:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            frame = self.socket.recv(65536)
            if frame[6:12] == self.mac:
                continue
            self.frames.append(frame)
            kind = struct.unpack_from("!H", frame, 12)[0]
            if kind == ARP and frame[20:22] == b"\x00\x02" and frame[28:32] == socket.inet_aton(who):
                return


@pytest.fixture
def port(namespace: Namespace, instance: Instance) -> Iterator[Port]:
    """Two guests, `left` and `right`, on the bridge, and a port beside them."""
    for name in ("left", "right"):
        namespace.apply(machine(name, instance_spec(namespace.cluster.image, grace=0)))
    for name in ("left", "right"):
        namespace.until_ready("vmi", name)
    listener = Port(instance.bridge)
    try:
        yield listener
    finally:
        listener.close()


def test_each_guest_gets_its_own_lease_and_dhcp_stays_in_its_pod(namespace: Namespace, port: Port) -> None:
    addresses = {name: address(namespace.get("vmi", name)) for name in ("left", "right")}
    for name, mine in addresses.items():
        with Console(namespace, name) as console:
            console.log_in()
            lease = console.run("udhcpc -f -n -q -t 5 -T 2 -i eth0 -s /bin/true 2>&1")
            assert f"lease of {mine} obtained" in lease
            assert f"inet {mine}/" in console.run("ip -4 -o addr show dev eth0")

    # Whoever asks on the bridge gets no answer; the ARP reply shows that the question has arrived.
    port.send(_discover(port.mac))
    for who in addresses.values():
        port.send(_arp_request(port.mac, who))
        port.until_arp_reply(who)
    assert [frame.hex() for frame in port.frames if _is_dhcp(frame)] == []


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _is_dhcp(frame: bytes) -> bool:
    if struct.unpack_from("!H", frame, 12)[0] != IPV4 or frame[23] != socket.IPPROTO_UDP:
        return False
    header = (frame[14] & 15) * 4
    return bool(DHCP_PORTS & set(struct.unpack_from("!HH", frame, 14 + header)))


def _arp_request(mac: bytes, who: str) -> bytes:
    asked = struct.pack("!HHBBH6s4s6s4s", 1, IPV4, 6, 4, 1, mac, bytes(4), bytes(6), socket.inet_aton(who))
    return BROADCAST + mac + struct.pack("!H", ARP) + asked


def _discover(mac: bytes) -> bytes:
    """A DHCPDISCOVER as a machine without address broadcasts it."""
    bootp = struct.pack("!BBBBIHH4s4s4s4s16s", 1, 1, 6, 0, 7, 0, 0x8000, *([bytes(4)] * 4), mac)
    options = b"\x63\x82\x53\x63\x35\x01\x01\xff"
    message = bootp + bytes(192) + options
    udp = struct.pack("!HHHH", 68, 67, 8 + len(message), 0) + message
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:]
    return BROADCAST + mac + struct.pack("!H", IPV4) + head + udp
