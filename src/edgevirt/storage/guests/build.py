"""Which guests can be built, and building one of them."""

from __future__ import annotations

import dataclasses
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from edgevirt.storage.guests.debian import build_debian
from edgevirt.storage.guests.packages import refresh_lists_if_empty
from edgevirt.storage.guests.tiny import build_tiny
from edgevirt.storage.guests.tools import BuildError


@dataclasses.dataclass(frozen=True, slots=True)
class GuestImage:
    name: str
    description: str
    memory: str
    """Guest memory it is comfortable with, as a Kubernetes quantity."""
    make: Callable[[Path, Path], None]


GUESTS = {
    guest.name: guest
    for guest in (
        GuestImage("tiny", "busybox, guest agent and HTTP server; ready in seconds", "128Mi", build_tiny),
        GuestImage("debian", "Debian 12 with cloud-init and guest agent", "512Mi", build_debian),
    )
}


def build(name: str, output: Path, work: Path) -> GuestImage:
    """Build the guest `name` as a qcow2 disk at `output`; `work` keeps downloads for the next time.

    `output` appears only when it is complete. Two builds in one work directory wait for each other.
    Raises BuildError for an unknown name, a missing tool, no root, or a failing step.
    """
    guest = GUESTS.get(name)
    if guest is None:
        raise BuildError(f"there is no guest '{name}' to build; known: {', '.join(sorted(GUESTS))}")
    if os.geteuid() != 0:
        raise BuildError(
            "building a guest needs root, because its files must belong to root: run it with sudo"
        )
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refresh_lists_if_empty()
        part = output.with_name(output.name + ".part")
        guest.make(part, work)
        part.replace(output)
    return guest
