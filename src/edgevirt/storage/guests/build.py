"""Which guests can be built, and building one of them."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from edgevirt.storage.guests.debian import build_debian
from edgevirt.storage.guests.packages import FULL_KERNEL, refresh_lists_if_empty
from edgevirt.storage.guests.tiny import build_tiny
from edgevirt.storage.guests.tools import BuildError

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class GuestImage:
    name: str
    description: str
    memory: str
    """Guest memory it is comfortable with, as a Kubernetes quantity."""
    space_mib: int
    """Free disk space the build needs, with nothing cached."""
    make: Callable[[Path, Path, Path], None]
    """Called with the disk to make, the work directory and an empty directory of its own."""


def _tiny_pc(output: Path, work: Path, scratch: Path) -> None:
    build_tiny(output, work, scratch, FULL_KERNEL)


GUESTS = {
    guest.name: guest
    for guest in (
        GuestImage(
            "tiny", "busybox, guest agent and HTTP server; ready in seconds", "128Mi", 350, build_tiny
        ),
        GuestImage(
            "tiny-pc", "tiny with e1000, rtl8139, SATA and USB; slower to boot", "160Mi", 900, _tiny_pc
        ),
        GuestImage("debian", "Debian 12 with cloud-init and guest agent", "512Mi", 1400, build_debian),
    )
}


@contextlib.contextmanager
def built(name: str, work: Path, say: Say = lambda _: None) -> Iterator[Path]:
    """Build the guest `name` and lend its qcow2 disk; `work` keeps downloads for the next time.

    The disk is gone when the context ends. Builds in one work directory wait for each other until then;
    `say` is told in a few words what goes on. What an interrupted build left is removed by the next one.
    Raises BuildError for an unknown name, no root, too little space, a missing tool, or a failing step.
    """
    guest = GUESTS.get(name)
    if guest is None:
        raise BuildError(f"there is no guest '{name}' to build; known: {', '.join(sorted(GUESTS))}")
    if os.geteuid() != 0:
        raise BuildError(
            "building a guest needs root, because its files must belong to root: run it with sudo"
        )
    with _explained(work):
        work.mkdir(parents=True, exist_ok=True)
        lock = (work / "lock").open("w")
    with lock:
        _wait_for_turn(lock.fileno(), say)
        with _explained(work):
            scratch = _fresh_scratch(work)
        try:
            with _explained(work):
                _check_space(guest, work)
                say(f"Building {name} from Debian's packages")
                refresh_lists_if_empty()
                disk = scratch / f"{name}.qcow2"
                own = scratch / "own"
                own.mkdir()
                guest.make(disk, work, own)
                shutil.rmtree(own)
            yield disk
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def build(name: str, output: Path, work: Path) -> GuestImage:
    """Build the guest `name` as a qcow2 disk at `output`, which appears only when it is complete.

    The rest as `built` has it.
    """
    with built(name, work) as disk, _explained(output.parent):
        part = output.with_name(output.name + ".part")
        try:
            shutil.copyfile(disk, part)
            part.replace(output)
        finally:
            part.unlink(missing_ok=True)
    return GUESTS[name]


def _wait_for_turn(lock: int, say: Say) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Another build is going on; waiting for its end")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _fresh_scratch(work: Path) -> Path:
    """An empty directory; those of builds that were killed are removed."""
    parent = work / "scratch"
    shutil.rmtree(parent, ignore_errors=True)
    parent.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(dir=parent))


def _check_space(guest: GuestImage, work: Path) -> None:
    free = shutil.disk_usage(work).free >> 20
    if free < guest.space_mib:
        raise BuildError(
            f"building {guest.name} needs {guest.space_mib} MiB of free space in {work}, and {free} MiB are "
            "free: free some and build again"
        )


@contextlib.contextmanager
def _explained(where: Path) -> Iterator[None]:
    """Errors of the file system become errors of the build."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BuildError(f"the disk is full below {where}: free some space and build again") from error
        raise BuildError(f"{where} cannot be used: {error}") from error
