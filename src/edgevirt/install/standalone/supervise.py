"""Starting and stopping the two processes, from the command line's side.

A process holds a lock on its pid file for as long as it lives, so "is it running, and which one is it" is a
question to the kernel and never a guess from a number in a file. It reports through a pipe when it can do its
work, or why it cannot; whoever starts it waits for that or for its end, whichever comes first. A process
whose starter vanishes before that ends by itself, so that a killed `edgevirt up` leaves nothing half ready.

The command and the process it asks about may be of different versions, when a running box is upgraded. What
holds between them for good: the POSIX lock says that the process lives and which one it is; the file holds
its pid, then words of which each says one thing; words that a reader does not know mean nothing to it.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

from edgevirt.install.standalone.layout import ROOT_VARIABLE, Layout

CONTROL_PLANE = "control-plane"
NODE = "node"
MODULES = {
    CONTROL_PLANE: "edgevirt.install.standalone.control_plane",
    NODE: "edgevirt.install.standalone.node",
}
READY = b"ready\n"
_MAX_REPORT = 16 * 1024
_KILL_SECONDS = 10.0
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where the processes look for programs, whatever the PATH of who starts them."""
_ENVIRONMENT = (
    "HOME",
    "LANG",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)
# struct flock of fcntl(2), the same on every 64-bit Linux: type, whence, start, length, pid.
_FLOCK = struct.Struct("hhqqi0q")


class ProcessError(Exception):
    """A process could not be started or stopped. The text says why and what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Running:
    """A process that is alive. `ready`: it has reported that it can do its work."""

    pid: int
    ready: bool


def pid_file(layout: Layout, name: str) -> Path:
    return layout.run / f"{name}.pid"


def running(layout: Layout, name: str) -> Running | None:
    """The process if it is alive, else None. What a pid file says without its lock being held is ignored."""
    path = pid_file(layout, name)
    try:
        with path.open("rb") as file:
            asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, asked))
            text = file.read(64)
    except (FileNotFoundError, IsADirectoryError):
        return None
    if kind == fcntl.F_UNLCK:
        return None
    return Running(pid, ready=says_ready(text, pid))


def running_pid(layout: Layout, name: str) -> int | None:
    """Pid of the process if it is alive, else None."""
    found = running(layout, name)
    return None if found is None else found.pid


def start(layout: Layout, name: str, deadline: float) -> int:
    """Start the process and wait until it reports ready; returns its pid. `deadline` in seconds.

    Raises ProcessError with the process's own words if it ends or does not report in time, and OSError; it is
    not left behind then.
    """
    environment = {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ}
    environment |= {"PATH": SEARCH_PATH, ROOT_VARIABLE: str(layout.root)}
    reader, writer = os.pipe()
    try:
        try:
            with layout.log_file(name).open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", MODULES[name], "--report-fd", str(writer)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    cwd="/",
                    pass_fds=(writer,),
                    start_new_session=True,
                )
        finally:
            os.close(writer)
        try:
            report = _read_report(reader, deadline)
        except BaseException:
            _end(process)
            raise
    finally:
        os.close(reader)
    if report == READY:
        # It lives on after this command; nobody is to wait for it here.
        process.returncode = 0
        return process.pid
    where = layout.log_file(name)
    if report is None:
        _end(process)
        raise ProcessError(f"{name} was not ready after {deadline:.0f} s and was stopped; its log is {where}")
    code = _end(process)
    words = report.decode(errors="replace").strip()
    raise ProcessError(words or f"{name} ended with exit code {code} before it was ready; its log is {where}")


def stop(layout: Layout, name: str, deadline: float) -> bool:
    """End the process with SIGTERM, after `deadline` seconds with SIGKILL. False if it was not running.

    Raises ProcessError if the kernel cannot end it.
    """
    pid = running_pid(layout, name)
    if pid is None:
        return False
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        # The lock is asked again: the pid may have been reused between reading and opening it.
        if running_pid(layout, name) != pid:
            return False
        for number, seconds in ((signal.SIGTERM, deadline), (signal.SIGKILL, _KILL_SECONDS)):
            signal.pidfd_send_signal(descriptor, number)
            ended, _, _ = select.select([descriptor], [], [], seconds)
            if ended:
                return True
    except ProcessLookupError:
        return True  # it ended by itself meanwhile
    finally:
        os.close(descriptor)
    raise ProcessError(f"{name} (pid {pid}) does not end even when killed; the kernel log may say why: dmesg")


def _read_report(reader: int, deadline: float) -> bytes | None:
    """What the process said before it closed the pipe or said ready; None if it said nothing in time."""
    poller = select.poll()
    poller.register(reader, select.POLLIN | select.POLLHUP)
    until = time.monotonic() + deadline
    report = b""
    while len(report) < _MAX_REPORT:
        if not poller.poll(max(0.0, until - time.monotonic()) * 1000):
            return None
        part = os.read(reader, 4096)
        report += part
        if not part or report == READY:
            break
    return report


def _end(process: subprocess.Popen[bytes]) -> int:
    """End a process that did not become ready, gently first: it may have children to end."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_KILL_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def says_ready(text: bytes, pid: int) -> bool:
    """Whether a pid file's text is of this process and says that it can do its work."""
    said, *words = text.split() or [b""]
    return said == str(pid).encode() and b"ready" in words
