from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgevirt.virt_handler import safe_open
from edgevirt.virt_handler.appearance import once_present
from edgevirt.virt_handler.safe_open import UnsafePath

pytestmark = pytest.mark.component


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    made: list[socket.socket] = []
    yield made
    for each in made:
        each.close()


def listen(path: Path, listeners: list[socket.socket]) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen(16)
    listeners.append(server)
    return server


def test_a_socket_below_the_directory_is_connected(tmp_path: Path, listeners: list[socket.socket]) -> None:
    (tmp_path / "a").mkdir()
    server = listen(tmp_path / "a" / "sock", listeners)
    with safe_open.connect(str(tmp_path), "a/sock") as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"hello")
            assert accepted.recv(5) == b"hello"


@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "/etc/passwd", "a/up/secret"])
def test_nothing_outside_is_reached(path: str, tmp_path: Path, listeners: list[socket.socket]) -> None:
    listen(tmp_path / "secret", listeners)
    inside = tmp_path / "inside"
    (inside / "a").mkdir(parents=True)
    (inside / "a" / "up").symlink_to("../..")
    with pytest.raises(UnsafePath):
        safe_open.connect(str(inside), path)


def test_a_link_in_place_of_the_socket_is_refused(tmp_path: Path, listeners: list[socket.socket]) -> None:
    listen(tmp_path / "secret", listeners)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "sock").symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafePath):
        safe_open.connect(str(tmp_path / "in"), "sock")


def test_a_link_to_another_socket_in_the_same_directory_is_refused_too(
    tmp_path: Path, listeners: list[socket.socket]
) -> None:
    listen(tmp_path / "other", listeners)
    (tmp_path / "sock").symlink_to("other")
    with pytest.raises(UnsafePath):
        safe_open.connect(str(tmp_path), "sock")


@pytest.mark.parametrize("kind", ["file", "directory", "fifo"])
def test_what_is_no_socket_is_refused_without_being_opened(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "sock"
    if kind == "file":
        target.write_bytes(b"")
    elif kind == "directory":
        target.mkdir()
    else:
        os.mkfifo(target)  # opening it for reading would block
    with pytest.raises(UnsafePath, match="not a socket"):
        safe_open.connect(str(tmp_path), "sock")


def test_missing_and_dead_sockets_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        safe_open.connect(str(tmp_path), "sock")
    with pytest.raises(FileNotFoundError):
        safe_open.connect(str(tmp_path), "no/such/sock")
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(str(tmp_path / "sock"))
    dead.close()
    with pytest.raises(ConnectionRefusedError):
        safe_open.connect(str(tmp_path), "sock")


def test_no_descriptor_is_leaked_whatever_happens(tmp_path: Path, listeners: list[socket.socket]) -> None:
    listen(tmp_path / "sock", listeners)
    (tmp_path / "link").symlink_to("sock")
    (tmp_path / "file").write_bytes(b"x")
    before = os.listdir("/proc/self/fd")
    for name in ("sock", "link", "file", "missing", "../x"):
        try:
            safe_open.connect(str(tmp_path), name).close()
        except (UnsafePath, OSError):
            pass
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("what", ["name", "directory"])
def test_an_attacker_who_swaps_the_path_all_the_time_never_wins(
    what: str, tmp_path: Path, listeners: list[socket.socket]
) -> None:
    """Names and directories are exchanged with links to a forbidden socket as fast as another thread can."""
    forbidden = tmp_path / "host"
    forbidden.mkdir()
    trap = listen(forbidden / "sock", listeners)
    trap.setblocking(False)
    root = tmp_path / "pods"
    (root / "real").mkdir(parents=True)
    good = listen(root / "real" / "sock", listeners)
    good.setblocking(False)
    if what == "name":
        evil = root / "real" / "evil"
        evil.symlink_to(forbidden / "sock")
        pair, path = (root / "real" / "sock", evil), "real/sock"
    else:
        evil = root / "evil"
        evil.symlink_to(forbidden)
        pair, path = (root / "real", evil), "real/sock"
    stop = threading.Event()
    rounds = 0

    def swap() -> None:
        nonlocal rounds
        spare = pair[0].with_name("spare")
        while not stop.is_set():
            os.rename(pair[0], spare)
            os.rename(pair[1], pair[0])
            os.rename(pair[0], pair[1])
            os.rename(spare, pair[0])
            rounds += 1

    attacker = threading.Thread(target=swap)
    attacker.start()
    connected = refused = 0
    try:
        while (connected < 50 or refused < 50) and connected + refused < 50_000:
            try:
                safe_open.connect(str(root), path).close()
                connected += 1
                good.accept()[0].close()
            except UnsafePath:
                refused += 1
            except FileNotFoundError:
                pass
            with pytest.raises(BlockingIOError):
                trap.accept()
    finally:
        stop.set()
        attacker.join()
    assert rounds > 0
    assert connected >= 50
    assert refused >= 50


def test_a_file_is_read_as_seen_from_its_own_root(tmp_path: Path) -> None:
    """A link to an absolute path leads to the pod's file, not to the node's."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "resolv.conf").write_bytes(b"nameserver 192.0.2.1\n")
    (tmp_path / "etc" / "resolv.conf").symlink_to("/run/resolv.conf")
    assert safe_open.read_file_in_root(str(tmp_path), "etc/resolv.conf", 100) == b"nameserver 192.0.2.1\n"
    assert safe_open.read_file_in_root(str(tmp_path), "etc/resolv.conf", 10) == b"nameserver"


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UnsafePath, match="not a regular file"):
        safe_open.read_file_in_root(str(tmp_path), "fifo", 10)


# Waiting


async def test_a_socket_that_appears_later_is_found_whatever_was_missing(
    tmp_path: Path, listeners: list[socket.socket]
) -> None:
    waiting = asyncio.create_task(
        once_present(str(tmp_path), "a/b/sock", lambda: safe_open.connect(str(tmp_path), "a/b/sock"))
    )
    for step in (lambda: (tmp_path / "a").mkdir(), lambda: (tmp_path / "a" / "b").mkdir()):
        await asyncio.sleep(0)
        step()
        assert not waiting.done()
    hidden = tmp_path / "a" / "b" / "hidden"
    listen(hidden, listeners)
    await asyncio.sleep(0)
    hidden.rename(tmp_path / "a" / "b" / "sock")
    async with asyncio.timeout(5):
        (await waiting).close()


async def test_a_whole_tree_moved_in_at_once_is_found(tmp_path: Path, listeners: list[socket.socket]) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "made" / "b").mkdir(parents=True)
    listen(tmp_path / "made" / "b" / "sock", listeners)
    root = str(tmp_path / "root")
    waiting = asyncio.create_task(once_present(root, "a/b/sock", lambda: safe_open.connect(root, "a/b/sock")))
    await asyncio.sleep(0)
    (tmp_path / "made").rename(tmp_path / "root" / "a")
    async with asyncio.timeout(5):
        (await waiting).close()


async def test_waiting_can_be_cancelled_and_leaves_nothing_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    waiting = asyncio.create_task(
        once_present(str(tmp_path), "a/sock", lambda: safe_open.connect(str(tmp_path), "a/sock"))
    )
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert os.listdir("/proc/self/fd") == before


async def test_an_attack_on_the_way_ends_the_wait(tmp_path: Path) -> None:
    waiting = asyncio.create_task(
        once_present(str(tmp_path), "a/sock", lambda: safe_open.connect(str(tmp_path), "a/sock"))
    )
    await asyncio.sleep(0)
    (tmp_path / "a").symlink_to("/etc")
    async with asyncio.timeout(5):
        with pytest.raises(UnsafePath):
            await waiting
