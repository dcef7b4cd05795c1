"""The near end of a terminal that a command of the tests runs on."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios

from edgevirt.linux.readiness import readable


def resize(fd: int, rows: int, columns: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


async def until(fd: int, text: bytes) -> bytes:
    """All that was said up to `text`."""
    seen = b""
    async with asyncio.timeout(20):
        while text not in seen:
            await readable(fd)
            try:
                seen += os.read(fd, 4096)
            except OSError as error:  # the other end was closed
                raise AssertionError(f"{text!r} was not said: {seen!r}") from error
    return seen
