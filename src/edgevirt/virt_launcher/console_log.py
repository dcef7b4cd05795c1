"""Keeps the log of the serial console from filling the node's disk.

QEMU appends whatever the guest prints, without limit. The log is opened for appending, so cutting it to
nothing is safe at any time; what it held last is kept beside it as `<log>.old`. The kernel tells when the
guest has printed something, so a silent guest costs nothing; one that never stops is looked at every
`PAUSE_SECONDS` and may exceed the limit by what it prints between two looks.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from edgevirt.linux.inotify import IN_MODIFY, IN_ONESHOT, Watcher

LIMIT: Final = 4 << 20
KEPT: Final = 1 << 20
PAUSE_SECONDS: Final = 10.0


async def keep_short(log: Path, pause: float = PAUSE_SECONDS) -> None:
    """Cut the log whenever it has grown too long, until cancelled. Makes its directory if there is none yet.

    Reads and writes at most `KEPT` bytes each time, and looks at most once in `pause` seconds.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = asyncio.Event()
    with Watcher() as watcher:
        while True:
            # The next one only: a busy guest writes far more often than anybody needs to look.
            watcher.add(log.parent, IN_MODIFY | IN_ONESHOT, lambda _: written.set())
            cut(log)  # what was written before the watch began
            await written.wait()
            written.clear()
            cut(log)
            await asyncio.sleep(pause)  # not waiting for anything: the guest sets the pace otherwise


def cut(log: Path) -> bool:
    """Cut the log if it is longer than `LIMIT`, keeping its last `KEPT` bytes beside it; True if it was."""
    try:
        descriptor = os.open(log, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        size = os.fstat(descriptor).st_size
        if size <= LIMIT:
            return False
        log.with_name(f"{log.name}.old").write_bytes(os.pread(descriptor, KEPT, size - KEPT))
        os.ftruncate(descriptor, 0)
        return True
    finally:
        os.close(descriptor)
