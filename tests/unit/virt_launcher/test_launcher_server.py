"""The protocol server on a real unix socket, with a guest that only notes what it is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from edgevirt.api.launcher import MAX_FRAME, DomainState, DomainStatus, SyncRequest
from edgevirt.virt_launcher import server as module
from edgevirt.virt_launcher.board import StatusBoard
from edgevirt.virt_launcher.errors import invalid
from edgevirt.virt_launcher.guest import Guest
from edgevirt.virt_launcher.server import Server

pytestmark = pytest.mark.unit


class FakeGuest:
    def __init__(self, board: StatusBoard) -> None:
        self.board = board
        self.hold = asyncio.Event()
        self.asked: list[str] = []

    async def sync(self, request: SyncRequest) -> DomainStatus:
        self.asked.append("sync")
        await self.hold.wait()
        if bytes(request.vmi) == b"null":
            raise invalid("spec.domain: nothing to run")
        return self.board.status

    async def shutdown(self) -> DomainStatus:
        raise ZeroDivisionError("a mistake")

    async def kill(self) -> DomainStatus:
        self.asked.append("kill")
        self.board.update(state=DomainState.SHUTOFF)
        return self.board.status

    async def delete(self) -> DomainStatus:
        return self.board.status


@pytest.fixture
def short_dir() -> Any:
    with tempfile.TemporaryDirectory(prefix="s-") as name:  # socket paths have at most 108 bytes
        yield Path(name)


class Peer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, id: int, method: str, params: object = None) -> None:
        self.send_raw(json.dumps({"id": id, "method": method, "params": params}).encode())

    def send_raw(self, data: bytes) -> None:
        self.writer.write(struct.pack(">I", len(data)) + data)

    async def frame(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            (length,) = struct.unpack(">I", await self.reader.readexactly(4))
            return cast(dict[str, Any], json.loads(await self.reader.readexactly(length)))

    async def closed(self) -> bool:
        async with asyncio.timeout(5):
            return await self.reader.read() == b""


@contextlib.asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[tuple[FakeGuest, Server]]:
    board = StatusBoard("uid-1")
    guest = FakeGuest(board)
    server = Server(directory, cast(Guest, guest), board)
    ready = asyncio.Event()
    task = asyncio.create_task(server.serve(ready))
    await ready.wait()
    assert {path.name for path in directory.iterdir()} == {"launcher-sock"}
    try:
        yield guest, server
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert not list(directory.iterdir())


@contextlib.asynccontextmanager
async def connected(directory: Path) -> AsyncIterator[Peer]:
    peer = Peer(*await asyncio.open_unix_connection(directory / "launcher-sock"))
    try:
        yield peer
    finally:
        peer.writer.close()


async def test_answers_carry_the_id_of_their_request(short_dir: Path) -> None:
    async with serving(short_dir), connected(short_dir) as peer:
        peer.send(7, "Ping")
        assert await peer.frame() == {"response": {"id": 7, "result": None}}
        peer.send(8, "Hello", {"version": 1})
        assert await peer.frame() == {"response": {"id": 8, "result": {"version": 1, "launcher": "edgevirt"}}}
        peer.send(9, "GetDomain")
        assert await peer.frame() == {"response": {"id": 9, "result": {"uid": "uid-1"}}}


async def test_kill_overtakes_a_start_that_hangs(short_dir: Path) -> None:
    async with serving(short_dir) as (guest, _), connected(short_dir) as peer:
        peer.send(1, "SyncVirtualMachine", {"vmi": {}})
        peer.send(2, "KillVirtualMachine")
        assert (await peer.frame())["response"]["id"] == 2
        guest.hold.set()
        assert (await peer.frame())["response"]["id"] == 1
        assert guest.asked == ["sync", "kill"]


async def test_subscriber_hears_of_changes_until_it_leaves(short_dir: Path) -> None:
    async with serving(short_dir) as (guest, _), connected(short_dir) as peer:
        peer.send(1, "Subscribe")
        assert await peer.frame() == {"response": {"id": 1, "result": {"uid": "uid-1"}}}
        guest.board.update(state=DomainState.RUNNING)
        event = (await peer.frame())["event"]
        assert (event["kind"], event["status"]["state"]) == ("Domain", "Running")
        guest.board.record("Warning", "IOerror", "disk")
        assert (await peer.frame())["event"]["reason"] == "IOerror"
        peer.send(2, "Subscribe")
        assert (await peer.frame())["response"]["error"]["reason"] == "Conflict"


async def test_errors_have_a_reason_and_words(short_dir: Path) -> None:
    async with serving(short_dir) as (guest, _), connected(short_dir) as peer:
        guest.hold.set()
        peer.send(1, "SyncVirtualMachine", {"vmi": None})
        error = {"reason": "Invalid", "message": "spec.domain: nothing to run"}
        assert (await peer.frame())["response"]["error"] == error
        peer.send(2, "SyncVirtualMachine", {"links": 3})
        assert (await peer.frame())["response"]["error"]["reason"] == "Invalid"
        peer.send(3, "ShutdownVirtualMachine")
        assert (await peer.frame())["response"]["error"] == {"reason": "Internal", "message": "a mistake"}


@pytest.mark.parametrize("data", [b"{}", b"not json", b'{"id":1,"method":"Explode"}'])
async def test_what_is_no_request_ends_the_connection(short_dir: Path, data: bytes) -> None:
    async with serving(short_dir), connected(short_dir) as peer:
        peer.send_raw(data)
        assert await peer.closed()


async def test_frame_that_is_too_long_is_not_read(short_dir: Path) -> None:
    async with serving(short_dir), connected(short_dir) as peer:
        peer.writer.write(struct.pack(">I", MAX_FRAME + 1))
        assert await peer.closed()


async def test_strangers_are_turned_away(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "peer_uid", lambda _: os.geteuid() + 1)
    async with serving(short_dir), connected(short_dir) as peer:
        assert await peer.closed()


async def test_drain_waits_for_answers_on_their_way(short_dir: Path) -> None:
    async with serving(short_dir) as (guest, server), connected(short_dir) as peer:
        peer.send(1, "SyncVirtualMachine", {"vmi": {}})
        peer.send(2, "Ping")
        await peer.frame()
        draining = asyncio.ensure_future(server.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        guest.hold.set()
        await draining
        assert (await peer.frame())["response"]["id"] == 1
