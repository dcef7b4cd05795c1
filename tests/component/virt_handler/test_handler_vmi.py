"""The VMI controller against launchers over real sockets and an API in memory, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fake_kube import KEY, NODE, POD_UID, VMI_UID, FakeKube
from fake_launcher import FakeLauncher

from edgevirt.api.launcher import (
    DomainState,
    Error,
    Event,
    GuestInterface,
    GuestOSInfo,
    Method,
    StateReason,
)
from edgevirt.kube.clock import FakeClock, Timer, settle, timestamp
from edgevirt.virt_handler.kvm_probe import KVMState, Verdict
from edgevirt.virt_handler.launcher_session import LauncherSession, Target
from edgevirt.virt_handler.pod_network import PodNetworks
from edgevirt.virt_handler.vmi_controller import NodeFacts, VMIController

pytestmark = pytest.mark.component

NO_KVM = Verdict(state=KVMState.PROBE_TIMED_OUT, message="a test guest did not finish")


class WatchedClock(FakeClock):
    """Tells when somebody sets a timer."""

    def __init__(self) -> None:
        super().__init__()
        self.timer_set = asyncio.Event()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        self.timer_set.set()
        return super().call_later(seconds, callback)


class Handler:
    """A virt-handler that can be killed and started again."""

    def __init__(self, kube: FakeKube, directory: Path) -> None:
        self.kube = kube
        self.clock = WatchedClock()
        self._woken = asyncio.Event()
        self.pods = directory / "pods"
        self.pods.mkdir()
        self.networks = PodNetworks(directory / "state")
        self._task: asyncio.Task[None] | None = None
        self.controller: VMIController | None = None

    @property
    def socket(self) -> Path:
        return self.pods / Target(str(self.pods), POD_UID, VMI_UID, KEY).socket

    def start(self) -> None:
        facts = NodeFacts(
            name=NODE, pods_dir=str(self.pods), verdict=NO_KVM, request_timeout=5, sync_timeout=5
        )
        kube: Any = self.kube
        self.controller = VMIController(kube, kube.vmis, kube.pods, self.networks, kube, facts, self.clock)
        enqueue = self.controller._controller.enqueue

        def wake(key: str) -> None:
            self._woken.set()
            enqueue(key)

        self.controller._controller.enqueue = wake  # type: ignore[method-assign]
        self._task = asyncio.create_task(self.controller.run())

    async def until_timer(self, seconds: float) -> None:
        """Wait until a timer is set that far ahead: the controller has seen what happened."""
        async with asyncio.timeout(10):
            while not any(abs(left - seconds) < 0.01 for left in self.clock.pending):
                await self.clock.timer_set.wait()
                self.clock.timer_set.clear()

    async def until_session(self, holds: Callable[[LauncherSession], bool]) -> None:
        """Wait until the launcher session of the VMI is as wanted."""
        assert self.controller is not None
        async with asyncio.timeout(10):
            while not any(holds(tracked.session) for tracked in self.controller._tracked.values()):
                await self._woken.wait()
                self._woken.clear()

    async def kill(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
def kube() -> FakeKube:
    return FakeKube()


@pytest.fixture
async def launcher() -> AsyncIterator[FakeLauncher]:
    launcher = FakeLauncher(VMI_UID)
    yield launcher
    await launcher.stop()


@pytest.fixture
async def handler(kube: FakeKube, tmp_path: Path) -> AsyncIterator[Handler]:
    handler = Handler(kube, tmp_path)
    handler.start()
    yield handler
    await handler.kill()


async def running(kube: FakeKube, handler: Handler, launcher: FakeLauncher, **spec: Any) -> None:
    await launcher.serve(handler.socket)
    kube.schedule(**spec)
    await kube.until_phase("Running")


async def test_a_start_is_one_status_write(kube: FakeKube, handler: Handler, launcher: FakeLauncher) -> None:
    await running(kube, handler, launcher)
    await settle()
    assert len(kube.writes) == 1
    assert kube.reasons == ["Started", "Created"] or kube.reasons == ["Created", "Started"]
    assert kube.conditions()["SoftwareEmulation"] == "KVMProbeTimedOut"
    assert launcher.calls == [Method.HELLO, Method.SUBSCRIBE, Method.SYNC]
    (sync,) = launcher.syncs
    assert not sync.use_kvm
    assert b'"uid":"vmi-1"' in bytes(sync.vmi)


async def test_the_agents_facts_are_one_more_write_even_if_they_come_in_pieces(
    kube: FakeKube, handler: Handler, launcher: FakeLauncher
) -> None:
    await running(kube, handler, launcher)
    launcher.become(agent_connected=True)
    await launcher.until_called(Method.SYNC)
    await settle(200)
    assert len(kube.writes) == 1
    nic = GuestInterface(interface_name="eth0", ip_addresses=("10.0.0.7",))
    launcher.become(guest_os_info=GuestOSInfo(id="debian"), interfaces=(nic,))
    await kube.until(lambda: len(kube.writes) == 2)
    assert "AgentConnected" in kube.conditions()
    assert set(kube.writes[1]) == {"conditions", "guestOSInfo", "interfaces"}


async def test_an_agent_that_tells_nothing_is_shown_after_two_seconds(
    kube: FakeKube, handler: Handler, launcher: FakeLauncher
) -> None:
    await running(kube, handler, launcher)
    launcher.become(agent_connected=True)
    await handler.until_timer(2.0)
    await handler.clock.advance(2.0)
    await kube.until(lambda: "AgentConnected" in kube.conditions())


async def test_a_restless_guest_does_not_wear_out_the_disk(
    kube: FakeKube, handler: Handler, launcher: FakeLauncher
) -> None:
    await running(kube, handler, launcher)
    info = GuestOSInfo(id="debian")
    launcher.become(agent_connected=True, guest_os_info=info)
    await kube.until(lambda: len(kube.writes) == 2)
    for number in range(20):
        nic = GuestInterface(interface_name="eth0", ip_addresses=(f"10.0.0.{number}",))
        launcher.become(interfaces=(nic,))
    await handler.until_session(lambda s: s.status is not None and s.status.interfaces == (nic,))
    await settle(100)
    assert len(kube.writes) == 2
    await handler.clock.advance(10.0)
    await kube.until(lambda: len(kube.writes) == 3)
    assert kube.writes[2]["interfaces"][0]["ipAddress"] == "10.0.0.19"


@pytest.mark.parametrize(
    ("reason", "phase", "why", "kind"),
    [
        (StateReason.SHUTDOWN, "Succeeded", "", "Normal"),
        (StateReason.CRASHED, "Failed", "GuestCrashed", "Warning"),
    ],
)
async def test_the_end_of_a_guest_is_told_and_its_launcher_released(
    reason: StateReason, phase: str, why: str, kind: str,
    kube: FakeKube, handler: Handler, launcher: FakeLauncher,
) -> None:  # fmt: skip
    await running(kube, handler, launcher)
    launcher.become(state=DomainState.SHUTOFF, reason=reason, message="signal 9")
    await kube.until_phase(phase)
    await launcher.until_called(Method.DELETE)
    await settle(100)
    assert kube.vmi.status is not None
    assert kube.vmi.status.reason == why
    assert (kind, "Stopped") in [(type_, reason) for type_, reason, _ in kube.events]
    assert kube.reasons[-1] == "Deleted"
    assert len(kube.writes) == 2
    kube.vmis.change("vm1", "ns", {"metadata": {"labels": {"touched": "later"}}})
    await settle(100)
    assert launcher.calls.count(Method.DELETE) == 1


async def test_deleting_asks_every_five_seconds_then_kills(
    kube: FakeKube, handler: Handler, launcher: FakeLauncher
) -> None:
    await running(kube, handler, launcher, terminationGracePeriodSeconds=12)
    deleted = {"metadata": {"deletionTimestamp": timestamp(handler.clock.now())}}
    kube.vmis.change("vm1", "ns", deleted)
    await launcher.until_called(Method.SHUTDOWN, 1)
    await handler.until_timer(5.0)
    await handler.clock.advance(5.0)
    await launcher.until_called(Method.SHUTDOWN, 2)
    await handler.until_timer(5.0)
    await handler.clock.advance(5.0)
    await launcher.until_called(Method.SHUTDOWN, 3)
    assert Method.KILL not in launcher.calls
    await handler.until_timer(2.0)
    await handler.clock.advance(2.0)
    await launcher.until_called(Method.KILL)
    launcher.become(state=DomainState.SHUTOFF, reason=StateReason.DESTROYED)
    await kube.until_phase("Failed")
    assert kube.vmi.status is not None
    assert kube.vmi.status.reason == "KilledAfterGracePeriod"
    assert kube.reasons.count("ShuttingDown") == 1


async def test_a_pod_that_is_deleted_shuts_its_guest_down_too(
    kube: FakeKube, handler: Handler, launcher: FakeLauncher
) -> None:
    await running(kube, handler, launcher)
    until = timestamp(handler.clock.now() + timedelta(seconds=60))
    going = {"metadata": {"deletionTimestamp": until, "deletionGracePeriodSeconds": 60}}
    kube.pods.change("launcher", "ns", going)
    await launcher.until_called(Method.SHUTDOWN)
    launcher.become(state=DomainState.SHUTOFF, reason=StateReason.SHUTDOWN)
    await kube.until_phase("Succeeded")


async def test_a_restarted_handler_finds_its_guest_and_leaves_it_alone(
    kube: FakeKube, handler: Handler, launcher: FakeLauncher
) -> None:
    await running(kube, handler, launcher)
    await handler.kill()
    launcher.calls.clear()
    handler.start()
    await launcher.until_called(Method.SUBSCRIBE)
    await settle(100)
    assert launcher.calls == [Method.HELLO, Method.SUBSCRIBE]
    assert len(kube.writes) == 1
    launcher.become(state=DomainState.SHUTOFF, reason=StateReason.SHUTDOWN)
    await kube.until_phase("Succeeded")


async def test_a_handler_killed_before_the_release_releases_after_its_restart(
    kube: FakeKube, handler: Handler, launcher: FakeLauncher
) -> None:
    launcher.become(state=DomainState.SHUTOFF, reason=StateReason.SHUTDOWN)
    await launcher.serve(handler.socket)
    kube.schedule(phase="Succeeded")
    await launcher.until_called(Method.DELETE)
    assert kube.writes == []


async def test_a_refused_vm_fails_with_the_launchers_words(
    kube: FakeKube, handler: Handler, launcher: FakeLauncher
) -> None:
    launcher.refuse = Error(reason="Invalid", message="disk bus 'floppy' is not supported")
    await launcher.serve(handler.socket)
    kube.schedule()
    await kube.until_phase("Failed")
    assert kube.vmi.status is not None
    assert kube.vmi.status.reason == "StartFailed"
    assert "SyncFailed" in kube.reasons
    assert any("floppy" in message for _, reason, message in kube.events if reason == "Stopped")


async def test_a_failing_start_is_shown_retried_and_forgotten(
    kube: FakeKube, handler: Handler, launcher: FakeLauncher
) -> None:
    launcher.refuse = Error(reason="LibvirtError", message="out of memory")
    await launcher.serve(handler.socket)
    kube.schedule()
    await kube.until(lambda: "Synchronized" in kube.conditions())
    await handler.until_timer(1.0)
    assert launcher.calls.count(Method.SYNC) == 1
    launcher.refuse = None
    await handler.clock.advance(1.0)
    await kube.until_phase("Running")
    assert "Synchronized" not in kube.conditions()


async def test_what_the_network_cannot_do_fails_the_vmi_by_name(
    kube: FakeKube, handler: Handler, launcher: FakeLauncher
) -> None:
    """The launcher shares this test's network, which must never be rewired, whatever the spec says."""
    await launcher.serve(handler.socket)
    kube.schedule(
        devices={"interfaces": [{"name": "default", "bridge": {}}]}, networks=[{"name": "default", "pod": {}}]
    )
    await kube.until(lambda: "Synchronized" in kube.conditions())
    assert any("node's own network" in message for _, _, message in kube.events)
    assert Method.SYNC not in launcher.calls


async def test_a_launcher_that_never_comes_fails_its_vmi_after_three_minutes(
    kube: FakeKube, handler: Handler
) -> None:
    kube.schedule()
    await handler.until_timer(180.0)
    await handler.clock.advance(180.0)
    await kube.until_phase("Failed")
    assert kube.vmi.status is not None
    assert kube.vmi.status.reason == "LauncherUnresponsive"


async def test_a_pod_that_is_gone_ends_its_vmi(
    kube: FakeKube, handler: Handler, launcher: FakeLauncher
) -> None:
    await running(kube, handler, launcher)
    kube.pods.remove("launcher", "ns")
    await kube.until_phase("Failed")
    assert kube.vmi.status is not None
    assert kube.vmi.status.reason == "LauncherEnded"


async def test_a_conflicting_write_is_made_again(
    kube: FakeKube, handler: Handler, launcher: FakeLauncher
) -> None:
    kube.conflicts = 1
    await launcher.serve(handler.socket)
    kube.schedule()
    async with asyncio.timeout(10):
        while kube.phase != "Running":
            await asyncio.sleep(0)
            await handler.clock.advance(0.1)
    assert len(kube.writes) == 1


async def test_a_pod_that_is_not_owned_by_the_vmi_is_never_dialled(
    kube: FakeKube, handler: Handler, launcher: FakeLauncher
) -> None:
    await launcher.serve(handler.socket)
    kube.schedule()
    await handler.kill()
    launcher.calls.clear()
    kube.pods.change("launcher", "ns", {"metadata": {"ownerReferences": [], "labels": {"a": VMI_UID}}})
    handler.start()
    await settle(100)
    assert launcher.calls == []


async def test_a_vmi_of_another_node_is_left_alone(
    kube: FakeKube, handler: Handler, launcher: FakeLauncher
) -> None:
    await launcher.serve(handler.socket)
    kube.schedule(phase="Scheduling")
    kube.vmis.change("vm1", "ns", {"status": {"phase": "Scheduled", "nodeName": "n2"}})
    await settle(100)
    assert launcher.calls == []


async def test_the_console_finds_running_guests_only(
    kube: FakeKube, handler: Handler, launcher: FakeLauncher
) -> None:
    assert handler.controller is not None
    assert handler.controller.pod_uid_of("ns", "vm1") is None
    await running(kube, handler, launcher)
    assert handler.controller.pod_uid_of("ns", "vm1") == (POD_UID, VMI_UID)
    assert handler.controller.pod_uid_of("ns", "other") is None


async def test_a_launchers_events_are_recorded_on_its_vmi(
    kube: FakeKube, handler: Handler, launcher: FakeLauncher
) -> None:
    await running(kube, handler, launcher)
    launcher.push(Event(kind="KubeEvent", type="Warning", reason="IOerror", message="disk full"))
    launcher.become(agent_connected=True, guest_os_info=GuestOSInfo(id="x"))
    await kube.until(lambda: len(kube.writes) == 2)
    assert ("Warning", "IOerror", "disk full") in kube.events


# With a real pod network


@contextlib.asynccontextmanager
async def pod_with_launcher(socket: Path) -> AsyncIterator[Callable[..., str]]:
    """A network namespace with a CNI-like eth0, and a launcher process that lives in it."""
    name = f"ev{secrets.token_hex(4)}"

    def ip(*arguments: str) -> str:
        command = ["ip", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout

    def in_pod(*arguments: str) -> str:
        return ip("-n", name, *arguments)

    ip("netns", "add", name)
    try:
        in_pod("link", "add", "eth0", "type", "veth", "peer", "name", "node0")
        in_pod("addr", "add", "10.198.3.7/24", "dev", "eth0")
        in_pod("link", "set", "eth0", "up")
        in_pod("route", "add", "default", "via", "10.198.3.1")
        script = Path(__file__).with_name("fake_launcher.py")
        process = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", name, sys.executable, str(script), VMI_UID, str(socket)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert await asyncio.wait_for(process.stdout.readline(), 20) == b"ready\n"
            yield in_pod
        finally:
            process.stdin.close()
            await asyncio.wait_for(process.wait(), 20)
    finally:
        ip("netns", "del", name)


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
async def test_a_guest_is_bridged_into_its_pods_network_and_found_again_after_a_restart(
    kube: FakeKube, handler: Handler
) -> None:
    interfaces = {"interfaces": [{"name": "default", "bridge": {}}]}
    async with pod_with_launcher(handler.socket) as in_pod:
        kube.schedule(devices=interfaces, networks=[{"name": "default", "pod": {}}])
        await kube.until_phase("Running")
        (nic,) = kube.writes[0]["interfaces"]
        assert (nic["ipAddress"], nic["podInterfaceName"]) == ("10.198.3.7", "eth0")
        assert "master k6t-eth0" in in_pod("link", "show", "tap0")
        assert nic["mac"] not in in_pod("link", "show", "eth0")
        wired = in_pod("addr")
        (link,) = handler.networks.known(POD_UID)
        assert link.dhcp is not None
        assert link.dhcp.gateway == "10.198.3.1"
        await handler.kill()
        handler.start()
        await handler.until_session(lambda session: session.connected)
        await settle(50)
        assert in_pod("addr") == wired
        assert handler.networks.known(POD_UID) == (link,)
        assert len(kube.writes) == 1
        kube.vmis.remove("vm1", "ns")
        await settle(50)
        assert handler.networks.known(POD_UID) == ()
