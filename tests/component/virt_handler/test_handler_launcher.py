from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fake_launcher import FakeLauncher

from edgevirt.api.launcher import MAX_FRAME, DomainState, Error, Event, GuestInterface, Method, SyncRequest
from edgevirt.kube.clock import SystemClock
from edgevirt.virt_handler.launcher_client import LauncherRefused, LauncherUnavailable
from edgevirt.virt_handler.launcher_session import LauncherSession, Target

pytestmark = pytest.mark.component


class Watched:
    """A running session whose changes can be awaited."""

    def __init__(self, pods: Path) -> None:
        self.target = Target(str(pods), "pod-1", "vmi-1", "ns/vm1")
        self.path = pods / self.target.socket
        self.events: list[Event] = []
        self._changed = asyncio.Event()
        self.session = LauncherSession(
            self.target, SystemClock(), self._changed.set, self.events.append, request_timeout=2.0
        )
        self.task = asyncio.create_task(self.session.run())

    async def until(self, condition: str) -> None:
        """Wait until a Python expression over `s`, the session, holds."""
        async with asyncio.timeout(10):
            while not eval(condition, {"s": self.session, "DomainState": DomainState}):
                await self._changed.wait()
                self._changed.clear()


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    watched.task.cancel()
    await asyncio.gather(watched.task, return_exceptions=True)


@pytest.fixture
async def launcher() -> AsyncIterator[FakeLauncher]:
    launcher = FakeLauncher("vmi-1")
    yield launcher
    await launcher.stop()


async def test_a_session_waits_for_the_socket_then_knows_the_domain(
    watched: Watched, launcher: FakeLauncher
) -> None:
    assert watched.session.lost_since is not None
    await launcher.serve(watched.path)
    await watched.until("s.connected")
    assert watched.session.lost_since is None
    assert watched.session.status is not None
    assert watched.session.status.state is DomainState.NO_STATE
    assert launcher.calls == [Method.HELLO, Method.SUBSCRIBE]


async def test_status_changes_and_events_arrive(watched: Watched, launcher: FakeLauncher) -> None:
    await launcher.serve(watched.path)
    await watched.until("s.connected")
    launcher.push(Event(kind="KubeEvent", type="Warning", reason="IOerror", message="disk full"))
    launcher.start()
    await watched.until("s.status.state is DomainState.RUNNING")
    assert [(event.reason, event.message) for event in watched.events] == [("IOerror", "disk full")]


async def test_a_sync_delivers_the_new_status(watched: Watched, launcher: FakeLauncher) -> None:
    await launcher.serve(watched.path)
    await watched.until("s.connected")
    await watched.session.client.sync(SyncRequest(vmi=b"{}"), 2.0)  # type: ignore[arg-type]
    assert watched.session.status is not None
    assert watched.session.status.state is DomainState.RUNNING


async def test_a_killed_launcher_is_lost_and_found_again(watched: Watched, launcher: FakeLauncher) -> None:
    await launcher.serve(watched.path)
    await watched.until("s.connected")
    await launcher.stop()
    await watched.until("not s.connected and s.lost_since is not None")
    assert watched.session.fault
    again = FakeLauncher("vmi-1")
    again.start()
    await again.serve(watched.path)
    try:
        await watched.until("s.connected")
        assert watched.session.status is not None
        assert watched.session.status.state is DomainState.RUNNING
    finally:
        await again.stop()


async def test_an_error_answer_is_raised_with_its_reason(watched: Watched, launcher: FakeLauncher) -> None:
    await launcher.serve(watched.path)
    await watched.until("s.connected")
    launcher.refuse = Error(reason="Invalid", message="no such bus")
    with pytest.raises(LauncherRefused, match="no such bus") as caught:
        await watched.session.client.order(Method.KILL, 2.0)
    assert caught.value.permanent


async def test_a_launcher_that_does_not_answer_meets_the_deadline(
    watched: Watched, launcher: FakeLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await launcher.serve(watched.path)
    await watched.until("s.connected")
    monkeypatch.setattr(launcher, "_answer", lambda request: None)
    with pytest.raises(LauncherUnavailable, match=r"did not answer Ping within 0\.1 s"):
        await watched.session.client.order(Method.PING, 0.1)
    assert watched.session.connected


@pytest.mark.parametrize(
    "attack",
    [
        (MAX_FRAME + 1).to_bytes(4, "big"),
        (7).to_bytes(4, "big") + b"not JSON"[:7],
        (2).to_bytes(4, "big") + b"{}",
        (33).to_bytes(4, "big") + b'{"response":{"id":99}}           ',
        (40).to_bytes(4, "big") + b'{"event":{"kind":1}}                    ',
        (55).to_bytes(4, "big") + b'{"event":{"kind":"Domain","status":{"uid":"another"}}} ',
    ],
    ids=["too long", "no JSON", "empty", "never asked", "wrong type", "another VM"],
)
async def test_a_hostile_frame_ends_only_this_connection(
    attack: bytes, watched: Watched, launcher: FakeLauncher
) -> None:
    await launcher.serve(watched.path)
    await watched.until("s.connected")
    launcher.raw(attack)
    await launcher.until_called(Method.SUBSCRIBE, times=2)
    await watched.until("s.connected")
    assert not watched.task.done()


async def test_what_a_launcher_says_is_bounded(watched: Watched, launcher: FakeLauncher) -> None:
    await launcher.serve(watched.path)
    await watched.until("s.connected")
    launcher.become(state=DomainState.RUNNING, interfaces=(GuestInterface(interface_name="x" * 99),) * 999)
    await watched.until("s.status.state is DomainState.RUNNING")
    assert watched.session.status is not None
    assert len(watched.session.status.interfaces) == 32
    assert len(watched.session.status.interfaces[0].interface_name) == 63


async def test_a_launcher_of_another_version_is_not_spoken_to(
    watched: Watched, launcher: FakeLauncher
) -> None:
    launcher.version = 2
    await launcher.serve(watched.path)
    await watched.until("s.incompatible")
    assert "version 2" in watched.session.fault
    assert Method.SUBSCRIBE not in launcher.calls


async def test_a_link_in_place_of_the_socket_is_not_followed(
    watched: Watched, launcher: FakeLauncher, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere" / "sock"
    await launcher.serve(elsewhere)
    watched.path.parent.mkdir(parents=True)
    watched.path.symlink_to(elsewhere)
    await watched.until("'link' in s.fault")
    assert launcher.calls == []
