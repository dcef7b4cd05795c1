"""Real pods' networks: namespaces, veth pairs, a node bridge, taps, nft rules and busybox's DHCP client."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgevirt.api.kubevirt.networks import Interface, InterfaceBridge
from edgevirt.api.launcher import DHCPLease
from edgevirt.network import binding, links
from edgevirt.network.binding import LinkPlan, Resolver
from edgevirt.network.dhcp import DHCPServer
from edgevirt.network.namespace import NamespaceError, NetworkNamespace

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]

RUN = secrets.token_hex(3)


def ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, f"ip {arguments}: {done.stderr}"
    return done.stdout


def inside(namespace: str, *command: str) -> str:
    """The output of `command` run in a network namespace."""
    return ip("netns", "exec", namespace, *command)


@dataclass(frozen=True)
class Pod:
    """A pod as CNI leaves it: eth0 with an address, on the node's bridge."""

    name: str
    address: str

    def ip(self, *arguments: str) -> str:
        return ip("-n", self.name, *arguments)

    @property
    def path(self) -> str:
        return f"/run/netns/{self.name}"


@dataclass
class Node:
    name: str
    pods: list[Pod]

    def add_pod(self) -> Pod:
        number = len(self.pods) + 2
        pod = Pod(f"ev{RUN}p{number}", f"10.199.7.{number}")
        ip("netns", "add", pod.name)
        self.pods.append(pod)
        port = f"v{RUN}{number}"
        ip("link", "add", port, "netns", self.name, "type", "veth", "peer", "name", "eth0", "netns", pod.name)
        ip("-n", self.name, "link", "set", port, "master", "cni0", "up")
        pod.ip("link", "set", "lo", "up")
        pod.ip("link", "set", "eth0", "mtu", "1400", "up")
        pod.ip("addr", "add", f"{pod.address}/24", "dev", "eth0")
        pod.ip("route", "add", "default", "via", "10.199.7.1")
        pod.ip("route", "add", "10.96.0.0/12", "via", "10.199.7.1")
        return pod


@pytest.fixture
def node() -> Iterator[Node]:
    name = f"ev{RUN}node"
    ip("netns", "add", name)
    node = Node(name, [])
    try:
        ip("-n", name, "link", "add", "cni0", "type", "bridge")
        ip("-n", name, "addr", "add", "10.199.7.1/24", "dev", "cni0")
        ip("-n", name, "link", "set", "cni0", "up")
        yield node
    finally:
        for each in [*(pod.name for pod in node.pods), name]:
            subprocess.run(["ip", "netns", "del", each], timeout=20, check=False)


async def wire(pod: Pod) -> LinkPlan:
    interface = Interface(name="default", bridge=InterfaceBridge())
    with NetworkNamespace.of_path(pod.path) as namespace:
        seen = await namespace.run(lambda: links.observe("eth0"), 10)
        assert not seen.bridged
        plan = binding.plan_bridge(
            seen.link,
            interface,
            seen.link.mac,
            resolver=Resolver(("10.96.0.10",), ("ns.svc.cluster.local",)),
            hostname="vm1",
        )
        await namespace.run(lambda: links.apply(plan.actions), 20)
        return plan


def give_guest_a_nic(pod: Pod, plan: LinkPlan) -> None:
    """What QEMU would do, with a veth in place of the tap, whose other end is the guest's NIC."""
    guest = f"{pod.name}g"
    ip("netns", "add", guest)
    pod.ip("link", "set", plan.link.tap, "down")
    pod.ip("link", "del", plan.link.tap)
    pod.ip("link", "add", plan.link.tap, "type", "veth", "peer", "name", "eth0", "netns", guest)
    pod.ip("link", "set", plan.link.tap, "master", "k6t-eth0", "up")
    ip("-n", guest, "link", "set", "eth0", "address", plan.link.mac)
    ip("-n", guest, "link", "set", "eth0", "up")


@pytest.fixture
def guests(node: Node) -> Iterator[Callable[[Pod, LinkPlan], str]]:
    made: list[str] = []

    def make(pod: Pod, plan: LinkPlan) -> str:
        made.append(f"{pod.name}g")
        give_guest_a_nic(pod, plan)
        return made[-1]

    yield make
    for guest in made:
        subprocess.run(["ip", "netns", "del", guest], timeout=20, check=False)


class ServerThread:
    """A DHCP server inside a pod, as virt-launcher runs it."""

    def __init__(self, pod: Pod, lease: DHCPLease) -> None:
        self._pod, self._lease = pod, lease
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> ServerThread:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._task is not None
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(10)

    def _run(self) -> None:
        from edgevirt.network import namespace

        fd = os.open(self._pod.path, os.O_RDONLY)
        namespace._enter(fd)
        os.close(fd)
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        listening = asyncio.Event()
        self._task = asyncio.create_task(DHCPServer(self._lease).serve(listening))
        await listening.wait()
        self._ready.set()
        try:
            await self._task
        except asyncio.CancelledError:
            pass


SCRIPT = '#!/bin/busybox sh\n[ "$1" = bound ] && env > "$OUT"\nexit 0\n'


def lease_of(guest: str, directory: Path) -> dict[str, str] | None:
    """What busybox's udhcpc was given in the guest's namespace; None if nobody answered."""
    script, out = directory / "script", directory / f"{guest}.env"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    done = subprocess.run(
        [*("ip", "netns", "exec", guest, "busybox", "udhcpc", "-i", "eth0", "-s", str(script)),
         *("-n", "-q", "-f", "-t", "3", "-T", "1"),
         *("-O", "121", "-O", "119", "-O", "26", "-O", "15", "-O", "12")],
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "OUT": str(out)},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        return None
    return dict(line.split("=", 1) for line in out.read_text().splitlines() if "=" in line)


async def test_a_guest_gets_the_pods_address_by_dhcp_and_reaches_the_gateway(
    node: Node, guests: Callable[[Pod, LinkPlan], str], tmp_path: Path
) -> None:
    pod = node.add_pod()
    before = pod.ip("link", "show", "eth0")
    plan = await wire(pod)
    lease = plan.link.dhcp
    assert lease is not None
    guest = guests(pod, plan)
    assert plan.link.mac in before
    assert plan.link.mac not in pod.ip("link", "show", "eth0")
    with ServerThread(pod, lease):
        got = await asyncio.to_thread(lease_of, guest, tmp_path)
    assert got is not None
    assert got["ip"] == pod.address
    assert got["subnet"] == "255.255.255.0"
    assert got["router"] == "10.199.7.1"
    assert got["dns"] == "10.96.0.10"
    assert got["hostname"] == "vm1"
    assert got["domain"] == "ns.svc.cluster.local"
    assert got["search"] == "ns.svc.cluster.local"
    assert got["mtu"] == "1400"
    assert got["lease"] == str(999 * 86400)
    assert got["staticroutes"] == "10.96.0.0/12 10.199.7.1 0.0.0.0/0 10.199.7.1"
    ip("-n", guest, "addr", "add", f"{pod.address}/24", "dev", "eth0")
    inside(guest, "busybox", "ping", "-c", "1", "-W", "3", "10.199.7.1")


async def test_dhcp_does_not_leak_between_pods(
    node: Node, guests: Callable[[Pod, LinkPlan], str], tmp_path: Path
) -> None:
    """The foreign server answers this guest's MAC; only the filter keeps its answer out."""
    mine, other = node.add_pod(), node.add_pod()
    plan, foreign = await wire(mine), await wire(other)
    guest = guests(mine, plan)
    assert foreign.link.dhcp is not None
    rogue = DHCPLease(
        interface="k6t-eth0", server="169.254.75.10", mac=plan.link.mac, address="10.199.7.200/24"
    )
    with ServerThread(other, rogue):
        assert await asyncio.to_thread(lease_of, guest, tmp_path) is None


def configuration(pod: Pod) -> list[tuple[object, ...]]:
    """Everything of a pod's links that somebody set; not the operational state, which settles later."""
    return [
        (*(link.get(key) for key in ("ifindex", "ifname", "address", "mtu", "master")), "UP" in link["flags"],
         [(address["local"], address["prefixlen"]) for address in link["addr_info"]])
        for link in json.loads(pod.ip("-json", "addr"))
    ]  # fmt: skip


async def test_wiring_twice_changes_nothing_and_keeps_the_tap(node: Node) -> None:
    pod = node.add_pod()
    plan = await wire(pod)
    before = configuration(pod)
    with NetworkNamespace.of_path(pod.path) as namespace:
        seen = await namespace.run(lambda: links.observe("eth0"), 10)
        await namespace.run(lambda: links.apply(plan.actions), 20)
    assert seen.bridged
    assert seen.link.addresses == ()
    assert configuration(pod) == before


async def test_the_pod_is_prepared_for_an_unprivileged_launcher(node: Node) -> None:
    pod = node.add_pod()
    await wire(pod)
    assert inside(pod.name, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start").strip() == "67"
    tap = "/sys/class/net/tap0"
    assert inside(pod.name, "cat", f"{tap}/owner", f"{tap}/group").split() == ["107", "107"]
    assert "inet6" not in pod.ip("addr", "show", "k6t-eth0")
    assert "169.254.75.10/32" in pod.ip("addr", "show", "k6t-eth0")


async def test_an_interface_that_is_missing_is_named(node: Node) -> None:
    pod = node.add_pod()
    with (
        NetworkNamespace.of_path(pod.path) as namespace,
        pytest.raises(links.LinkError, match="no interface eth7"),
    ):
        await namespace.run(lambda: links.observe("eth7"), 10)


async def test_the_nodes_own_network_is_never_entered() -> None:
    with pytest.raises(NamespaceError, match="node's own network"):
        NetworkNamespace.of_path("/proc/self/ns/net")


async def test_a_visit_leaves_our_own_threads_where_they_were(node: Node) -> None:
    pod = node.add_pod()
    here = os.readlink("/proc/self/ns/net")
    with NetworkNamespace.of_path(pod.path) as namespace:
        there = await namespace.run(lambda: os.readlink("/proc/thread-self/ns/net"), 10)
    assert there != here
    assert os.readlink("/proc/thread-self/ns/net") == here
    assert await asyncio.to_thread(os.readlink, "/proc/thread-self/ns/net") == here


async def test_a_visit_that_takes_too_long_times_out(node: Node) -> None:
    pod = node.add_pod()
    release = threading.Event()
    with NetworkNamespace.of_path(pod.path) as namespace, pytest.raises(TimeoutError):
        await namespace.run(lambda: release.wait(10), 0.05)
    release.set()
