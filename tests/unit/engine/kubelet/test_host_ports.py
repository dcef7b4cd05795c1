"""Who has which port of the machine, and the rules that lead there."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from edgevirt.api.core import Pod
from edgevirt.engine.kubelet.host_ports import HostPort, HostPorts, plugin_mappings, ports_of, script
from edgevirt.engine.kubelet.settings import CniSettings

pytestmark = pytest.mark.unit

WEB = HostPort("", "tcp", 8080, 80)


def pod(*ports: dict[str, Any], **spec: Any) -> Pod:
    containers = [{"name": "a", "ports": list(ports)}]
    return msgspec.convert({"metadata": {"name": "p"}, "spec": {"containers": containers, **spec}}, Pod)


def test_ports_are_read_with_their_defaults() -> None:
    assert ports_of(pod({"containerPort": 80})) == ()
    assert ports_of(pod({"containerPort": 80, "hostPort": 8080, "hostIP": "0.0.0.0"})) == (WEB,)
    one = pod({"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "192.0.2.1"})
    assert ports_of(one) == (HostPort("192.0.2.1", "udp", 53, 53),)


def test_plugins_are_told_of_ports_unless_the_pod_is_in_the_machines_network() -> None:
    port = {"containerPort": 80, "hostPort": 8080}
    assert plugin_mappings(pod(port)) == [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
    assert plugin_mappings(pod(port, hostNetwork=True)) == []


@pytest.mark.parametrize(
    ("other", "clash"),
    [
        (HostPort("", "tcp", 8080, 1), True),
        (HostPort("192.0.2.1", "tcp", 8080, 1), True),
        (HostPort("", "udp", 8080, 1), False),
        (HostPort("", "tcp", 8081, 80), False),
    ],
)
def test_a_port_is_given_once(other: HostPort, clash: bool) -> None:
    ports = HostPorts(CniSettings())
    assert ports.claim("one", [WEB])
    assert ports.claim("two", [other]) is not clash
    ports.unclaim("one")
    assert ports.claim("two", [other])


def test_addresses_of_different_kinds_do_not_clash() -> None:
    first, second = HostPort("192.0.2.1", "tcp", 80, 80), HostPort("192.0.2.2", "tcp", 80, 80)
    for one, other in itertools.permutations((first, second)):
        assert not one.clashes(other)


def test_rules_lead_to_the_pods_and_nothing_is_left_without_ports() -> None:
    names = HostPort("192.0.2.1", "udp", 53, 5353)
    text = script("br0", "10.88.0.0/16", [(WEB, "10.88.0.5"), (names, "10.88.0.6")])
    assert "tcp dport 8080 dnat to 10.88.0.5:80" in text
    assert "ip daddr 192.0.2.1 udp dport 53 dnat to 10.88.0.6:5353" in text
    assert text.startswith("add table ip edgevirt-hostports-br0\ndelete table ip edgevirt-hostports-br0\n")
    assert script("br0", "10.88.0.0/16", []).splitlines() == [
        "add table ip edgevirt-hostports-br0",
        "delete table ip edgevirt-hostports-br0",
    ]


def test_six_is_spoken_on_a_network_of_six() -> None:
    text = script("br0", "fd00::/64", [(WEB, "fd00::5")])
    assert "tcp dport 8080 dnat to [fd00::5]:80" in text
    assert "127.0.0.0" not in text


@pytest.mark.parametrize(
    "bad",
    [
        HostPort(
            "192.0.2.1 accept; } chain x { type filter hook input priority 0; policy drop;", "tcp", 80, 80
        ),
        HostPort('192.0.2.1"\ninclude "/etc/shadow', "tcp", 80, 80),
        HostPort("fd00::1", "tcp", 80, 80),
        HostPort("", "tcp", 80, 70_000),
        HostPort("", "tcp dport 1 accept; ip daddr 0.0.0.0/0 udp", 80, 80),
    ],
)
def test_what_a_pod_writes_never_becomes_words_of_the_rules(bad: HostPort) -> None:
    good = (WEB, "10.42.0.5")
    assert script("b", "10.42.0.0/24", [(bad, "10.42.0.6"), good]) == script("b", "10.42.0.0/24", [good])
