"""When the launcher ends and with which code, on a guest that does as the test says."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from edgevirt.api.launcher import DomainState, StateReason
from edgevirt.virt_launcher.board import StatusBoard
from edgevirt.virt_launcher.errors import RequestFailed
from edgevirt.virt_launcher.guest import Guest
from edgevirt.virt_launcher.lifetime import Patience, live

pytestmark = pytest.mark.unit
SHORT = Patience(start=0.05, grace=0.2, ask_again=0.05, acknowledge=0.05, acknowledge_terminating=0.05)
LONG = Patience(start=30, grace=30, acknowledge=30, acknowledge_terminating=30)


class FakeGuest:
    def __init__(self, board: StatusBoard, *, powers_off_after: int | None = None) -> None:
        self.started, self.ended, self.deleted = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.asked: list[str] = []
        self.refused = ""
        self._board = board
        self._powers_off_after = powers_off_after

    def refuse_start(self, why: str) -> None:
        self.refused = why

    async def shutdown(self) -> None:
        self.asked.append("shutdown")
        if self._powers_off_after is not None and len(self.asked) > self._powers_off_after:
            self.end(StateReason.SHUTDOWN)
        elif self._powers_off_after is None:
            raise RequestFailed("LibvirtError", "the guest agent is not there")

    async def kill(self) -> None:
        self.asked.append("kill")
        self.end(StateReason.DESTROYED)

    def end(self, reason: StateReason) -> None:
        self._board.update(state=DomainState.SHUTOFF, reason=reason)
        self.ended.set()


def setup(powers_off_after: int | None = None) -> tuple[FakeGuest, StatusBoard, asyncio.Event]:
    board = StatusBoard("u")
    return FakeGuest(board, powers_off_after=powers_off_after), board, asyncio.Event()


async def run(guest: FakeGuest, board: StatusBoard, terminate: asyncio.Event, patience: Patience) -> int:
    async with asyncio.timeout(5):
        return await live(cast(Guest, guest), board, terminate, patience)


async def test_launcher_that_never_gets_a_vm_fails() -> None:
    assert await run(*setup(), SHORT) == 1


async def test_terminated_launcher_without_vm_ends_well_and_starts_none() -> None:
    guest, board, terminate = setup()
    terminate.set()
    assert await run(guest, board, terminate, LONG) == 0
    assert guest.refused


async def test_deleted_vm_ends_the_launcher() -> None:
    guest, board, terminate = setup()
    guest.started.set()
    guest.deleted.set()
    assert await run(guest, board, terminate, LONG) == 0


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (StateReason.SHUTDOWN, 0),
        (StateReason.DESTROYED, 0),
        (StateReason.CRASHED, 1),
        (StateReason.FAILED, 1),
    ],
)
async def test_end_nobody_took_note_of_shows_in_the_exit_code(reason: StateReason, code: int) -> None:
    guest, board, terminate = setup()
    guest.started.set()
    guest.end(reason)
    assert await run(guest, board, terminate, SHORT) == code


async def test_crash_that_was_taken_note_of_ends_well() -> None:
    guest, board, terminate = setup()
    guest.started.set()
    guest.end(StateReason.CRASHED)
    guest.deleted.set()
    assert await run(guest, board, terminate, LONG) == 0


async def test_terminated_pod_asks_its_guest_until_it_powers_off() -> None:
    guest, board, terminate = setup(powers_off_after=2)
    guest.started.set()
    terminate.set()
    assert (
        await run(guest, board, terminate, Patience(30, 30, ask_again=0.01, acknowledge_terminating=0.01))
        == 0
    )
    assert guest.asked == ["shutdown"] * 3


async def test_guest_that_does_not_power_off_is_killed_after_the_grace() -> None:
    guest, board, terminate = setup()
    guest.started.set()
    terminate.set()
    assert await run(guest, board, terminate, SHORT) == 0
    assert guest.asked[0] == "shutdown"
    assert guest.asked[-1] == "kill"
    assert guest.asked.count("kill") == 1


async def test_no_grace_means_killed_at_once() -> None:
    guest, board, terminate = setup()
    guest.started.set()
    terminate.set()
    await run(guest, board, terminate, Patience(30, 0, acknowledge_terminating=0.01))
    assert guest.asked == ["kill"]
