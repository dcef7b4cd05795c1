"""What the packet filter is told: targets of services, and the script that loads them."""

from __future__ import annotations

from typing import Any

import pytest

from edgevirt.api.core import Service, ServicePort, ServiceSpec
from edgevirt.api.discovery import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from edgevirt.api.meta import ObjectMeta
from edgevirt.engine.service_proxy.rules import Place, removal, script
from edgevirt.engine.service_proxy.targets import entries

pytestmark = pytest.mark.unit

KEY = ("n", "s")
PLACE = Place("br0", "10.1.0.0/24", "10.96.0.0/12")


def service(address: str = "10.96.0.5", port: int = 80, **spec: Any) -> Service:
    return Service(
        metadata=ObjectMeta(name="s", namespace="n"),
        spec=ServiceSpec(cluster_ip=address, ports=(ServicePort(port=port, protocol="TCP"),), **spec),
    )


def endpoint(address: str, node: str = "box", **conditions: bool) -> Endpoint:
    given = EndpointConditions(**conditions) if conditions else None
    return Endpoint(addresses=(address,), conditions=given, node_name=node)


def one_slice(*endpoints: Endpoint, kind: str = "IPv4") -> EndpointSlice:
    return EndpointSlice(
        address_type=kind, endpoints=endpoints, ports=(EndpointPort(port=8080, protocol="TCP"),)
    )


def targets(one: Service, *slices: EndpointSlice) -> list[str]:
    (entry,) = entries([one], {KEY: slices}, "box")
    return [address for address, _ in entry.targets]


def test_ready_endpoints_are_used_and_those_that_end_only_for_want_of_better() -> None:
    ready, waiting = endpoint("10.1.0.2", ready=True), endpoint("10.1.0.3", ready=False)
    ending = endpoint("10.1.0.4", ready=False, serving=True, terminating=True)
    untold = endpoint("10.1.0.5")
    assert targets(service(), one_slice(ready, waiting, ending, untold)) == ["10.1.0.2", "10.1.0.5"]
    assert targets(service(), one_slice(waiting, ending)) == ["10.1.0.4"]
    assert targets(service(), one_slice(waiting)) == []


def test_a_local_policy_keeps_traffic_on_the_node() -> None:
    near, far = endpoint("10.1.0.2"), endpoint("10.1.0.3", node="other")
    assert targets(service(internal_traffic_policy="Local"), one_slice(near, far)) == ["10.1.0.2"]
    (entry,) = entries([service(external_traffic_policy="Local")], {KEY: (one_slice(near, far),)}, "box")
    assert (len(entry.targets), len(entry.outside_targets)) == (2, 1)


def test_only_addresses_reach_the_packet_filter() -> None:
    evil = endpoint("10.1.0.2; flush ruleset")
    assert targets(service(), one_slice(evil)) == []
    assert targets(service(external_ips=("; drop",)), one_slice(endpoint("10.1.0.2"))) == ["10.1.0.2"]
    (entry,) = entries([service(external_ips=("; drop", "192.0.2.1"))], {}, "box")
    assert entry.addresses == ("10.96.0.5", "192.0.2.1")


def test_no_service_takes_what_is_the_machines_own() -> None:
    theirs = ("127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1")
    (entry,) = entries([service(port=6443, external_ips=theirs)], {}, "box")
    assert entry.addresses == ("10.96.0.5",)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.169.254", "224.0.0.1"])
def test_no_service_leads_to_the_machines_loopback_or_metadata(address: str) -> None:
    (entry,) = entries([service()], {KEY: (one_slice(endpoint(address)),)}, "box")
    assert entry.targets == entry.outside_targets == ()


def test_no_service_takes_the_address_of_another_service_or_pod() -> None:
    greedy = service(external_ips=("10.96.0.1", "10.1.0.77", "192.0.2.1"))
    loaded = script(PLACE, entries([greedy], {KEY: (one_slice(endpoint("10.1.0.2")),)}, "box"))
    assert "ip daddr 10.96.0.5 tcp dport 80 goto" in loaded
    assert "ip daddr 192.0.2.1 tcp dport 80 goto" in loaded
    assert "10.96.0.1 " not in loaded
    assert "10.1.0.77" not in loaded


def test_a_slice_with_an_impossible_port_does_not_spoil_the_rules_of_others() -> None:
    wrong = EndpointSlice(
        address_type="IPv4",
        endpoints=(endpoint("10.1.0.9"),),
        ports=(EndpointPort(port=70_000, protocol="TCP"),),
    )
    assert targets(service(), wrong, one_slice(endpoint("10.1.0.2"))) == ["10.1.0.2"]


@pytest.mark.parametrize("one", [service("None"), service(""), service(type="ExternalName")])
def test_services_without_an_address_have_no_rules(one: Service) -> None:
    assert entries([one], {}, "box") == ()


def test_the_script_replaces_the_table_as_a_whole() -> None:
    text = script(PLACE, ())
    assert text.startswith(removal("br0"))
    assert text.count("{") == text.count("}")
    assert "ip daddr 10.96.0.0/12 jump refuse" in text
    assert 'iifname "br0" ip daddr 127.0.0.0/8 drop' in text
    assert '    iifname "br0" jump services' in text
    assert 'iifname != "br0" ip daddr != 10.96.0.0/12 jump services' in text


def test_several_targets_are_chosen_at_random_or_by_the_client() -> None:
    slices = (one_slice(endpoint("10.1.0.2"), endpoint("10.1.0.3")),)
    random = script(PLACE, entries([service()], {KEY: slices}, "box"))
    assert "ip daddr 10.96.0.5 tcp dport 80 goto in_0" in random
    assert "numgen random mod 2 map { 0 : 10.1.0.2 . 8080, 1 : 10.1.0.3 . 8080 }" in random
    sticky = script(PLACE, entries([service(session_affinity="ClientIP")], {KEY: slices}, "box"))
    assert "jhash ip saddr mod 2" in sticky


def test_node_ports_and_the_api_servers_own_address_are_translated() -> None:
    ports = (ServicePort(port=443, protocol="TCP", node_port=30443),)
    one = Service(
        metadata=ObjectMeta(name="s", namespace="n"), spec=ServiceSpec(cluster_ip="10.96.0.1", ports=ports)
    )
    place = Place("br0", "10.1.0.0/24", "10.96.0.0/12", (("10.1.0.1", 8080), ("127.0.0.1", 6443)))
    text = script(place, entries([one], {KEY: (one_slice(endpoint("10.1.0.1")),)}, "box"))
    assert "dnat to 127.0.0.1:6443" in text
    assert "tcp dport 30443 goto out_0" in text
