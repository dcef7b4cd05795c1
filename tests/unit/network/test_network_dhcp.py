from __future__ import annotations

import socket
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.api.launcher import DHCPLease, Route
from edgevirt.network import dhcp_message
from edgevirt.network.dhcp import LEASE_SECONDS, DHCPServer, answer
from edgevirt.network.dhcp_message import Kind, MalformedMessage, Message, Operation, Option

pytestmark = pytest.mark.unit

GUEST = bytes.fromhex("020000123456")
LEASE = DHCPLease(
    interface="k6t-eth0",
    server="169.254.75.10",
    mac="02:00:00:12:34:56",
    address="10.244.0.7/24",
    gateway="10.244.0.1",
    routes=(Route(destination="10.96.0.0/12", gateway="10.244.0.1"),),
    dns=("10.96.0.10", "fd00::10"),
    search=("ns.svc.cluster.local",),
    domain="ns.svc.cluster.local",
    hostname="vm1",
    mtu=1450,
)


def ask(kind: Kind, client: bytes = GUEST, **fields: object) -> Message:
    options = {int(Option.MESSAGE_TYPE): bytes((kind,)), **fields.pop("options", {})}  # type: ignore[dict-item]
    return Message(Operation.REQUEST, 0xCAFE, client, options=options, **fields)  # type: ignore[arg-type]


def ip(text: str) -> bytes:
    return socket.inet_aton(text)


def test_a_discover_is_offered_the_pods_address_with_all_options() -> None:
    offer = answer(LEASE, ask(Kind.DISCOVER))
    assert offer is not None
    assert (offer.kind, offer.transaction, offer.client) == (Kind.OFFER, 0xCAFE, GUEST)
    assert offer.your_address == ip("10.244.0.7")
    assert offer.options == {
        Option.MESSAGE_TYPE: b"\x02",
        Option.SERVER: ip("169.254.75.10"),
        Option.LEASE_SECONDS: struct.pack("!I", LEASE_SECONDS),
        Option.SUBNET_MASK: ip("255.255.255.0"),
        Option.ROUTER: ip("10.244.0.1"),
        Option.DNS: ip("10.96.0.10"),
        Option.HOSTNAME: b"vm1",
        Option.DOMAIN: b"ns.svc.cluster.local",
        Option.MTU: struct.pack("!H", 1450),
        Option.CLASSLESS_ROUTES: b"\x0c\x0a\x60" + ip("10.244.0.1") + b"\x00" + ip("10.244.0.1"),
        Option.DOMAIN_SEARCH: b"\x02ns\x03svc\x07cluster\x05local\x00",
    }


def test_the_lease_lasts_999_days() -> None:
    assert LEASE_SECONDS == 999 * 86400


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (ask(Kind.REQUEST, options={Option.REQUESTED_ADDRESS: ip("10.244.0.7")}), Kind.ACK),
        (ask(Kind.REQUEST, client_address=ip("10.244.0.7")), Kind.ACK),
        (ask(Kind.REQUEST), Kind.ACK),
        (ask(Kind.REQUEST, options={Option.REQUESTED_ADDRESS: ip("10.244.0.8")}), Kind.NAK),
        (ask(Kind.REQUEST, client_address=ip("192.168.1.1")), Kind.NAK),
        (ask(Kind.REQUEST, options={Option.SERVER: ip("10.0.0.1")}), None),
        (ask(Kind.INFORM, client_address=ip("10.244.0.7")), Kind.ACK),
        (ask(Kind.RELEASE), None),
        (ask(Kind.DECLINE), None),
        (ask(Kind.DISCOVER, client=b"\x02\0\0\0\0\1"), None),
        (ask(Kind.DISCOVER, relay=ip("10.0.0.1")), None),
        (Message(Operation.REPLY, 1, GUEST, options={53: b"\x01"}), None),
        (Message(Operation.REQUEST, 1, GUEST), None),
    ],
)
def test_what_is_answered(request_: Message, expected: Kind | None) -> None:
    reply = answer(LEASE, request_)
    assert (reply.kind if reply is not None else None) == expected


def test_a_nak_carries_no_address_and_no_configuration() -> None:
    reply = answer(LEASE, ask(Kind.REQUEST, client_address=ip("192.168.1.1")))
    assert reply is not None
    assert reply.your_address == ip("0.0.0.0")
    assert set(reply.options) == {Option.MESSAGE_TYPE, Option.SERVER}


def test_an_inform_is_answered_without_address_and_lease() -> None:
    reply = answer(LEASE, ask(Kind.INFORM, client_address=ip("10.244.0.7")))
    assert reply is not None
    assert reply.your_address == ip("0.0.0.0")
    assert Option.LEASE_SECONDS not in reply.options
    assert Option.DNS in reply.options


def test_a_message_survives_encoding() -> None:
    offer = answer(LEASE, ask(Kind.DISCOVER))
    assert offer is not None
    wire = dhcp_message.encode(offer)
    assert len(wire) >= 300
    assert dhcp_message.decode(wire) == offer


def test_a_value_longer_than_255_bytes_is_split_and_joined() -> None:
    message = Message(Operation.REPLY, 1, GUEST, options={121: bytes(300)})
    assert dhcp_message.decode(dhcp_message.encode(message)).options[121] == bytes(300)


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([("0.0.0.0/0", "10.0.0.1")], "000a000001"),
        ([("10.0.0.0/8", "10.0.0.1")], "080a0a000001"),
        ([("10.17.0.0/16", "10.0.0.1")], "100a110a000001"),
        ([("10.27.129.0/25", "10.0.0.1")], "190a1b81000a000001"),
        ([("10.229.0.128/25", "10.0.0.1")], "190ae500800a000001"),
        ([("169.254.1.1/32", "0.0.0.0")], "20a9fe010100000000"),
    ],
)
def test_classless_routes_carry_only_significant_octets(routes: list[tuple[str, str]], expected: str) -> None:
    assert dhcp_message.encode_routes(routes).hex() == expected


def test_the_search_list_holds_whole_names_within_255_bytes() -> None:
    value = dhcp_message.encode_search(["a" * 63 + ".example"] * 10 + ["bäd", "x..y"])
    assert len(value) <= 255
    assert value.count(b"\x07example\x00") == 3
    assert dhcp_message.encode_search(["bäd", "x..y", "ok"]) == b"\x02ok\x00"


@given(st.binary(max_size=1600))
def test_garbage_is_refused_and_nothing_else(data: bytes) -> None:
    try:
        dhcp_message.decode(data)
    except MalformedMessage:
        pass


@given(st.binary(max_size=600), st.integers(0, 255))
def test_garbage_options_behind_a_good_header_raise_nothing_else(tail: bytes, kind: int) -> None:
    head = dhcp_message.encode(ask(Kind.DISCOVER))[:240] + bytes((53, 1, kind))
    try:
        message = dhcp_message.decode(head + tail)
    except MalformedMessage:
        return
    reply = answer(LEASE, message)
    assert reply is None or dhcp_message.decode(dhcp_message.encode(reply)) == reply


@pytest.mark.parametrize("lease", [{"address": "10.0.0.300/24"}, {"mac": "02:00"}, {"gateway": "x"}])
def test_a_lease_that_cannot_be_offered_is_refused_at_once(lease: dict[str, str]) -> None:
    fields = {"interface": "k6t-eth0", "server": "169.254.75.10", "mac": LEASE.mac, "address": "10.0.0.1/24"}
    with pytest.raises(ValueError):
        DHCPServer(DHCPLease(**(fields | lease)))


def test_the_server_needs_nothing_but_the_standard_library_and_the_protocol() -> None:
    code = (
        "import sys; import edgevirt.network.dhcp; "
        "bad = ('pyroute2', 'aiohttp', 'cryptography', 'edgevirt.kube', 'yaml'); "
        "print([m for m in bad if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "[]"
