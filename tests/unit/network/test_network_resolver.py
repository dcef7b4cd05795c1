from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.network import nftables, resolver

pytestmark = pytest.mark.unit


def test_servers_and_domains_are_read_in_their_order() -> None:
    found = resolver.parse(
        b"# made by hand\nnameserver 10.96.0.10\nnameserver 10.96.0.11\n"
        b"search ns.svc.cluster.local svc.cluster.local.\noptions ndots:5\n"
    )
    assert found.servers == ("10.96.0.10", "10.96.0.11")
    assert found.search == ("ns.svc.cluster.local", "svc.cluster.local")


def test_servers_a_guest_cannot_use_are_dropped() -> None:
    found = resolver.parse(b"nameserver 127.0.0.53\nnameserver ::1\nnameserver x\nnameserver 1.1.1.1\n")
    assert found.servers == ("1.1.1.1",)


def test_a_hostile_file_stays_small() -> None:
    found = resolver.parse(b"nameserver 9.9.9.9\n" * 1000 + b"search " + b"a.example " * 3000)
    assert len(found.servers) == 8
    assert len(found.search) <= 32


@given(st.binary(max_size=2000))
def test_anything_can_be_parsed(content: bytes) -> None:
    found = resolver.parse(content)
    assert all(len(domain) <= 253 for domain in found.search)


def test_the_filter_names_its_links_and_closes_braces_on_lines_of_their_own() -> None:
    rules = nftables.bridge_isolation(uplink="eth0", tap="tap0", server="169.254.75.10")
    assert 'oifname "eth0" ether type ip udp dport 67 drop' in rules
    assert 'iifname "tap0" ether type ip udp sport 67 drop' in rules
    assert all(line.strip() == "}" for line in rules.splitlines() if "}" in line and "{" not in line)
