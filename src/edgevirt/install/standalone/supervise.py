"""Starting and stopping the two processes, from the command line's side.

A process holds a lock on its pid file for as long as it lives, so "is it running" is a question to the
kernel and never a guess from a number in a file. It reports through a pipe when it can do its work, or why
it cannot; whoever starts it waits for that or for its end, whichever comes first.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from edgevirt.install.standalone.layout import ROOT_VARIABLE, Layout

CONTROL_PLANE = "control-plane"
NODE = "node"
MODULES = {
    CONTROL_PLANE: "edgevirt.install.standalone.control_plane",
    NODE: "edgevirt.install.standalone.node",
}
READY = b"ready\n"
_MAX_REPORT = 16 * 1024
_ENVIRONMENT = ("PATH", "HOME", "LANG", "http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY")


class ProcessError(Exception):
    """A process could not be started or stopped. The text says why and what to do."""


def pid_file(layout: Layout, name: str) -> Path:
    return layout.run / f"{name}.pid"


def running_pid(layout: Layout, name: str) -> int | None:
    """Pid of the process if it is alive, else None."""
    try:
        file = pid_file(layout, name).open("r+")
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = file.read().strip()
            return int(text) if text.isdecimal() else None
    return None


def start(layout: Layout, name: str, deadline: float) -> int:
    """Start the process and wait until it reports ready; returns its pid. `deadline` in seconds.

    Raises ProcessError with the process's own words if it ends or does not report in time; it is not left
    behind then.
    """
    reader, writer = os.pipe()
    log = layout.log_file(name).open("ab")
    environment = {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ}
    environment[ROOT_VARIABLE] = str(layout.root)
    try:
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
        log.close()
    try:
        report = _read_report(reader, deadline)
    finally:
        os.close(reader)
    if report == READY:
        return process.pid
    if report is None:
        _kill(process.pid)
        process.wait()
        where = layout.log_file(name)
        raise ProcessError(f"{name} was not ready after {deadline:.0f} s and was stopped; its log is {where}")
    code = process.wait()
    words = report.decode(errors="replace").strip()
    where = layout.log_file(name)
    raise ProcessError(words or f"{name} ended with exit code {code} before it was ready; its log is {where}")


def stop(layout: Layout, name: str, deadline: float) -> bool:
    """End the process with SIGTERM, after `deadline` seconds with SIGKILL. False if it was not running."""
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
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        ended, _, _ = select.select([descriptor], [], [], deadline)
        if not ended:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], 10)
    except ProcessLookupError:
        pass  # it ended by itself meanwhile
    finally:
        os.close(descriptor)
    return True


def _read_report(reader: int, deadline: float) -> bytes | None:
    """What the process said before it closed the pipe or said ready; None if it said nothing in time."""
    poller = select.poll()
    poller.register(reader, select.POLLIN | select.POLLHUP)
    report = b""
    while len(report) < _MAX_REPORT:
        if not poller.poll(deadline * 1000):
            return None
        part = os.read(reader, 4096)
        report += part
        if not part or report == READY:
            break
    return report


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Reporter:
    """The started process's side: holds its pid file and reports once."""

    def __init__(self, layout: Layout, name: str, descriptor: int | None) -> None:
        self._layout = layout
        self._name = name
        self._descriptor = descriptor
        self._file = pid_file(layout, name).open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            self.fail(f"{name} is running already; `edgevirt status` shows it")
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def ready(self) -> None:
        """Tell whoever waits that the work can begin."""
        self._say(READY)

    def fail(self, words: str) -> NoReturn:
        """Tell why it cannot, and end the process with exit code 1."""
        print(words, file=sys.stderr, flush=True)
        self._say(words.encode()[:_MAX_REPORT])
        raise SystemExit(1)

    def _say(self, words: bytes) -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.write(descriptor, words)
        except BrokenPipeError:
            pass  # nobody waits any more
        finally:
            os.close(descriptor)
