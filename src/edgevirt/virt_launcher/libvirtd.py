"""Keeps the private libvirtd running.

Guests are not its children (libvirt detaches QEMU, which then belongs to the pod's monitor), so libvirtd may
die at any time without their noticing; its successor finds them again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from typing import Final

from edgevirt.virt_launcher.daemon import DaemonPaths, LibvirtdFailed, spawn, tail

_SHORT_LIFE: Final = 10.0
_MOST_SHORT_LIVES: Final = 5
_LONGEST_PAUSE: Final = 2.0
_END_SECONDS: Final = 5.0

_log = logging.getLogger("edgevirt.virt_launcher")


class Libvirtd:
    """Keeps libvirtd running. `spawn`ing the first one is the caller's, so that it can happen early."""

    def __init__(self, paths: DaemonPaths, listening: socket.socket, pid: int) -> None:
        self._paths = paths
        self._listening = listening
        self._pid = pid
        self._ended = False

    @property
    def pid(self) -> int:
        return self._pid

    async def run(self) -> None:
        """Restart libvirtd whenever it ends, until cancelled; then end it.

        Raises `LibvirtdFailed` if it ends soon after its start several times in a row.
        """
        loop = asyncio.get_running_loop()
        short_lives = 0
        try:
            while True:
                started = loop.time()
                code = await _exit_of(self._pid)
                self._ended = True
                short_lives = short_lives + 1 if loop.time() - started < _SHORT_LIFE else 0
                _log.error("libvirtd ended, restarting it", extra={"code": code, "in_a_row": short_lives})
                if short_lives >= _MOST_SHORT_LIVES:
                    raise LibvirtdFailed(f"libvirtd keeps ending (code {code}): {self.last_words()}")
                if short_lives > 1:
                    await asyncio.sleep(min(0.1 * 2**short_lives, _LONGEST_PAUSE))
                self._pid = spawn(self._paths, self._listening)
                self._ended = False
        finally:
            await self._end()

    def kill(self) -> None:
        """End a libvirtd that no longer answers; `run` starts a new one."""
        if not self._ended:
            os.kill(self._pid, signal.SIGKILL)

    def last_words(self) -> str:
        """The end of libvirtd's log, for messages."""
        return tail(self._paths.log, 2048) or tail(self._paths.output, 2048) or "no reason given"

    async def _end(self) -> None:
        if self._ended:
            return
        for which in (signal.SIGTERM, signal.SIGKILL):
            os.kill(self._pid, which)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await _exit_of(self._pid)
                    self._ended = True
                    return


async def _exit_of(pid: int) -> int:
    """The exit code of our child `pid`, reaped; negative for a signal. Cancelling leaves the child alone."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    descriptor = os.pidfd_open(pid)
    loop.add_reader(descriptor, _note, ended)
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    _, status = os.waitpid(pid, 0)  # noqa: ASYNC222  # it has ended: this only reaps it
    return os.waitstatus_to_exitcode(status)


def _note(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
