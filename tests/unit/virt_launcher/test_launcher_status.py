"""libvirt's numbers, the agent's answers and the board."""

from __future__ import annotations

import asyncio
from typing import Any

import libvirt
import pytest

from edgevirt.api.launcher import DomainState, GuestInterface, GuestLink, StateReason
from edgevirt.virt_launcher import agent
from edgevirt.virt_launcher.board import StatusBoard
from edgevirt.virt_launcher.guest import next_agent_pause, without_command
from edgevirt.virt_launcher.status import agent_connected, machine_type, state_of

pytestmark = pytest.mark.unit


_STATES = [
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED, "Running", "Unknown"),
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR, "Paused", "PausedIOError"),
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER, "Paused", "PausedUser"),
    (libvirt.VIR_DOMAIN_SHUTDOWN, 0, "ShuttingDown", "Unknown"),
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN, "Shutoff", "Shutdown"),
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED, "Shutoff", "Destroyed"),
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, "Shutoff", "Crashed"),
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_FAILED, "Shutoff", "Failed"),
    (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED, "Crashed", "Panicked"),
    (99, 99, "NoState", "Unknown"),
]


@pytest.mark.parametrize(("state", "reason", "name", "reason_name"), _STATES)
def test_libvirts_state_has_kubevirts_name(state: int, reason: int, name: str, reason_name: str) -> None:
    assert state_of(state, reason) == (DomainState(name), StateReason(reason_name))


def test_live_xml_tells_agent_and_machine() -> None:
    xml = (
        "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>"
        "<target type='virtio' name='org.qemu.guest_agent.0' state='{}'/>"
    )
    assert machine_type(xml) == "pc-q35-7.2"
    assert agent_connected(xml.format("connected"))
    assert not agent_connected(xml.format("disconnected"))
    assert machine_type("<os/>") == ""


LINKS = (GuestLink(name="default", tap="tap0", mac="02:00:00:00:00:01"),)


def test_guests_addresses_are_matched_to_the_nic_by_mac() -> None:
    answer = {
        "lo": {"hwaddr": "00:00:00:00:00:00", "addrs": [{"addr": "127.0.0.1"}]},
        "enp1s0": {
            "hwaddr": "02:00:00:00:00:01",
            "addrs": [{"addr": "fe80::1"}, {"addr": "fd00::1"}, {"addr": "10.0.2.2", "prefix": 24}],
        },
        "docker0": {"hwaddr": "02:42:00:00:00:01", "addrs": None},
    }
    assert agent.interfaces(LINKS, answer) == (
        GuestInterface(
            name="default",
            mac="02:00:00:00:00:01",
            interface_name="enp1s0",
            ip_addresses=("10.0.2.2", "fd00::1", "fe80::1"),
        ),
        GuestInterface(mac="02:42:00:00:00:01", interface_name="docker0"),
    )


def test_silent_guest_leaves_the_nics_that_are_known() -> None:
    assert agent.interfaces(LINKS, {}) == (GuestInterface(name="default", mac="02:00:00:00:00:01"),)


def test_hostile_answers_are_cut_to_size() -> None:
    many: dict[str, Any] = {
        f"eth{number}": {
            "hwaddr": f"m{number}" + "x" * 10_000,
            "addrs": [{"addr": f"10.0.{number}.{host}"} for host in range(200)]
            + [{"addr": "<script>"}, None, 7],
        }
        for number in range(500)
    }
    found = agent.interfaces((), {"odd": 7, **many})
    assert len(found) == agent.MOST_INTERFACES - 1
    assert max(len(interface.ip_addresses) for interface in found) == agent.MOST_ADDRESSES
    assert max(len(interface.mac) for interface in found) == agent.LONGEST_TEXT
    info = agent.os_info({"os.id": "x" * 5000, "os.name": "a\x1b[31mb", "os.machine": 7})
    assert info is not None
    assert (len(info.id), info.name, info.machine) == (agent.LONGEST_TEXT, "a[31mb", "")
    assert agent.os_info({"os.id": 3}) is None


def test_agent_is_asked_ever_more_rarely() -> None:
    pauses = [1.0]
    while pauses[-1] != next_agent_pause(pauses[-1]):
        pauses.append(next_agent_pause(pauses[-1]))
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 120]


async def test_slow_subscriber_gets_the_last_status_and_every_record() -> None:
    board = StatusBoard("u")
    subscription = board.subscribe()
    assert subscription.skip_current().state is DomainState.NO_STATE
    board.update(state=DomainState.RUNNING)
    board.update(state=DomainState.SHUTOFF)
    board.record("Warning", "IOerror", "disk x")
    assert (await subscription.next()).reason == "IOerror"
    last = await subscription.next()
    assert last.status is not None
    assert last.status.state is DomainState.SHUTOFF
    waiting = asyncio.ensure_future(subscription.next())
    await asyncio.sleep(0)
    board.update(state=DomainState.SHUTOFF)  # nothing changes, nothing is told
    await asyncio.sleep(0)
    assert not waiting.done()
    board.update(message="more")
    assert (await waiting).status == board.status


async def test_subscriber_that_left_is_forgotten() -> None:
    board = StatusBoard("u")
    subscription = board.subscribe()
    board.unsubscribe(subscription)
    board.record("Normal", "x", "y")
    await_next = asyncio.ensure_future(subscription.next())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (await await_next).kind == "Domain"  # what it was never told, and not the record


def test_the_reason_of_a_crash_is_not_buried_under_qemus_command_line() -> None:
    log = (
        '-device \'{"cut": "off"}\' \\\n-sandbox on \\\n-msg timestamp=on\n'
        "2026-01-01T00:00:00Z qemu-system-x86_64: terminating\n"
    )
    assert without_command(log) == "2026-01-01T00:00:00Z qemu-system-x86_64: terminating"
    assert without_command("-sandbox on \\\n-msg timestamp=on\n") == ""
    assert without_command("qemu says this\nand that\n") == "qemu says this\nand that"
