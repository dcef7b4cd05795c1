"""Keeps the log of the serial console from filling the node's disk.

QEMU appends whatever the guest prints, without limit. The log is opened for appending, so cutting it to
nothing is safe at any time; what it held last is kept beside it as `<log>.old`. A guest can exceed the limit
by what it prints between two looks.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

LIMIT: Final = 4 << 20
KEPT: Final = 1 << 20
LOOK_SECONDS: Final = 10.0


async def keep_short(log: Path) -> None:
    """Look at the log every few seconds until cancelled; reads and writes at most `KEPT` bytes each time."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        cut(log)


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
