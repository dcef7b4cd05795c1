from __future__ import annotations

import pytest

from edgevirt.api.kubevirt.networks import (
    DHCPOptions,
    Interface,
    InterfaceBridge,
    InterfaceMasquerade,
    MultusNetwork,
    Network,
    PodNetwork,
)
from edgevirt.api.launcher import DHCPLease, Route
from edgevirt.network import binding, mac
from edgevirt.network.binding import PodLink, Resolver, UnsupportedBinding

pytestmark = pytest.mark.unit

POD = PodLink(
    name="eth0",
    mac="aa:bb:cc:00:11:22",
    mtu=1450,
    addresses=("10.244.0.7/24", "fd00::7/64"),
    gateway="10.244.0.1",
    routes=(Route(destination="10.96.0.0/12", gateway="10.244.0.1"),),
)
BRIDGED = Interface(name="default", bridge=InterfaceBridge())
POD_NETWORK = Network(name="default", pod=PodNetwork())


def plan(pod: PodLink = POD, interface: Interface = BRIDGED, **options: object) -> binding.LinkPlan:
    return binding.plan_bridge(pod, interface, binding.guest_mac(pod, interface), **options)  # type: ignore[arg-type]


def test_the_guest_gets_the_pods_mac_and_the_pods_address() -> None:
    link = plan(
        resolver=Resolver(("10.96.0.10",), ("ns.svc.cluster.local", "svc.cluster.local")), hostname="vm1"
    ).link
    assert (link.name, link.tap, link.mac, link.mtu) == ("default", "tap0", "aa:bb:cc:00:11:22", 1450)
    assert link.dhcp == DHCPLease(
        interface="k6t-eth0",
        server="169.254.75.10",
        mac="aa:bb:cc:00:11:22",
        address="10.244.0.7/24",
        gateway="10.244.0.1",
        routes=POD.routes,
        dns=("10.96.0.10",),
        search=("ns.svc.cluster.local", "svc.cluster.local"),
        domain="ns.svc.cluster.local",
        hostname="vm1",
        mtu=1450,
    )


def test_a_mac_in_the_spec_wins_over_the_pods() -> None:
    interface = Interface(name="default", bridge=InterfaceBridge(), mac_address="02-00-00-AA-BB-CC")
    link = plan(interface=interface).link
    assert link.mac == "02:00:00:aa:bb:cc"
    assert link.dhcp is not None
    assert link.dhcp.mac == link.mac


def test_the_pods_nic_gets_another_local_mac_and_always_the_same() -> None:
    first, second = plan(), plan()
    assert first == second
    given = next(a for a in first.actions if isinstance(a, binding.SetMAC))
    assert given.mac != POD.mac
    assert int(given.mac[:2], 16) & 3 == 2


def test_nothing_is_bridged_before_the_filter_stands() -> None:
    kinds = [type(action) for action in plan().actions]
    assert kinds.index(binding.Filter) < kinds.index(binding.Enslave)
    assert kinds.index(binding.FlushAddresses) < kinds.index(binding.Enslave)


def test_a_pod_without_ipv4_address_gets_no_dhcp() -> None:
    assert plan(PodLink(name="eth0", mac="aa:bb:cc:00:11:22", addresses=("fd00::7/64",))).link.dhcp is None


@pytest.mark.parametrize(
    ("search", "subdomain", "expected"),
    [
        ((), "", ""),
        (("a.b", "c.a.b"), "", "c.a.b"),
        (("a.b",), "sub", "sub.a.b"),
        (("sub.a.b",), "sub", "sub.a.b"),
        ((), "sub", ""),
    ],
)
def test_the_domain_is_the_most_specific_one_below_the_subdomain(
    search: tuple[str, ...], subdomain: str, expected: str
) -> None:
    assert binding.domain_name(search, subdomain) == expected


@pytest.mark.parametrize(
    ("interface", "network", "named"),
    [
        (
            Interface(name="n", masquerade=InterfaceMasquerade()),
            Network(name="n", pod=PodNetwork()),
            "masquerade",
        ),
        (Interface(name="n"), Network(name="n", pod=PodNetwork()), "bridge"),
        (BRIDGED, None, "spec.networks"),
        (BRIDGED, Network(name="default", multus=MultusNetwork(network_name="x")), "pod network"),
        (
            Interface(name="n", bridge=InterfaceBridge(), dhcp_options=DHCPOptions(boot_file_name="x")),
            POD_NETWORK,
            "dhcpOptions",
        ),
        (Interface(name="n", bridge=InterfaceBridge(), state="absent"), POD_NETWORK, "absent"),
    ],
)
def test_what_is_not_implemented_is_refused_by_name(
    interface: Interface, network: Network | None, named: str
) -> None:
    with pytest.raises(UnsupportedBinding, match=named):
        binding.require_supported(interface, network)


def test_a_bridged_pod_network_is_supported() -> None:
    binding.require_supported(BRIDGED, POD_NETWORK)


def test_a_broken_mac_is_refused_naming_the_interface() -> None:
    with pytest.raises(UnsupportedBinding, match=r"'default': macAddress '01:.*multicast"):
        binding.guest_mac(POD, Interface(name="default", mac_address="01:00:5e:00:00:01"))


@pytest.mark.parametrize("text", ["", "aa:bb:cc", "zz:bb:cc:00:11:22", "aa:bb:cc:00:11:22:33"])
def test_only_six_octets_are_a_mac(text: str) -> None:
    with pytest.raises(ValueError, match="not a MAC address"):
        mac.normalize(text)


def test_made_macs_are_local_and_unicast() -> None:
    assert mac.random_mac(lambda count: b"\xff" * count) == "fe:ff:ff:ff:ff:ff"
    assert mac.random_mac(lambda count: b"\x01" * count) == "02:01:01:01:01:01"
    assert mac.derived_mac("a", "b") != mac.derived_mac("a", "c")
    assert mac.derived_mac("ab") != mac.derived_mac("a", "b")
