"""Processes that are not our children: named by pid and start time, awaited by pidfd.

A pid alone may be reused while a kubelet is down; together with the start time it names one process for as
long as the machine runs.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import signal

from edgevirt.linux.readiness import readable


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    """`start` is the start time in clock ticks since boot, from /proc/<pid>/stat."""

    pid: int
    start: int

    @staticmethod
    def of(pid: int) -> Process | None:
        """The live process `pid`, or None when it is gone or a zombie."""
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            return None
        if fields[0] in (b"Z", b"X"):
            return None
        return Process(pid, int(fields[19]))

    def alive(self) -> bool:
        return Process.of(self.pid) == self

    def send(self, number: int) -> bool:
        """Send a signal to exactly this process; False when it is gone."""
        fd = self.open()
        if fd is None:
            return False
        try:
            signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)
        return True

    def open(self) -> int | None:
        """A pidfd of exactly this process, or None when it is gone."""
        try:
            fd = os.pidfd_open(self.pid)
        except OSError as error:
            if error.errno in (errno.ESRCH, errno.EINVAL):
                return None
            raise
        if not self.alive():
            os.close(fd)
            return None
        return fd

    async def ended(self) -> None:
        """Return when the process has ended (at once if it already has). Children are reaped."""
        fd = self.open()
        if fd is not None:
            try:
                await readable(fd)
            finally:
                os.close(fd)
        try:
            os.waitpid(self.pid, os.WNOHANG)  # noqa: ASYNC222  # does not block
        except ChildProcessError:
            pass  # not ours: we are its second kubelet


async def ended(process: Process) -> None:
    """Return when `process` has ended, without reaping it: that is for whoever started it."""
    fd = process.open()
    if fd is None:
        return
    try:
        await readable(fd)
    finally:
        os.close(fd)


def boot_id() -> str:
    """Changes with every boot of the machine: what was recorded under another one is gone."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
