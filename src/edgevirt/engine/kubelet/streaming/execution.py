"""Running a command in a container for a client, with its streams.

The runtime's `exec` joins the container's namespaces and control group and stays as the command's parent; its
exit code is the command's. The command does not outlive the client: its session is hung up on, and killed if
that does not end it. Processes that made a session of their own are daemons and stay, in the container.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from edgevirt.engine.kubelet.cgroups import PodCgroup
from edgevirt.engine.kubelet.processes import Process, ended
from edgevirt.engine.kubelet.runtime import Attempt, Runtime
from edgevirt.engine.kubelet.streaming.pipes import chunks, write_all
from edgevirt.engine.kubelet.streaming.remote import Remote, Sink, Source
from edgevirt.engine.kubelet.streaming.request import Options
from edgevirt.engine.kubelet.streaming.terminal import SizeReader, resize_of
from edgevirt.engine.kubelet.streaming.verdict import Verdict

_HANGUP_SECONDS = 2.0
"""What a command gets to clean up after its client has left."""
_START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is run."""

    runtime: Runtime
    attempt: Attempt
    group: PodCgroup


async def execute(place: Place, options: Options, remote: Remote) -> Verdict:
    """Run the command until it ends, or end it when the client leaves. Raises OSError."""
    directory = Path(tempfile.mkdtemp(prefix="exec-", dir=place.attempt.directory))
    try:
        async with _Run(place, options, directory).started() as run:
            return await run.serve(remote)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@dataclass(slots=True)
class _Ends:
    """Our ends of the command's streams; None for one that nobody asked for."""

    stdin: int | None
    stdout: int | None
    stderr: int | None


class _Run:
    def __init__(self, place: Place, options: Options, directory: Path) -> None:
        self._place = place
        self._options = options
        self._directory = directory
        self._log = directory / "log"
        self._pid_file = directory / "pid"
        self._leader: int | None = None
        self._session: int | None = None
        self._process: subprocess.Popen[bytes]
        self._ends: _Ends

    @contextlib.asynccontextmanager
    async def started(self) -> AsyncIterator[_Run]:
        ours, theirs = _terminal() if self._options.tty else _pipes(self._options)
        self._ends = ours
        try:
            try:
                self._process = await self._place.runtime.spawn_exec(
                    self._place.attempt,
                    self._directory,
                    self._options.command,
                    tty=self._options.tty,
                    stdio=(theirs.stdin, theirs.stdout, theirs.stderr),
                )
            finally:
                _close(theirs)
            try:
                yield self
            finally:
                await self._end()
        finally:
            _close(ours)

    async def serve(self, remote: Remote) -> Verdict:
        over = asyncio.Event()
        outputs = [(self._ends.stdout, remote.stdout), (self._ends.stderr, remote.stderr)]
        async with asyncio.TaskGroup() as tasks:
            inputs = [
                tasks.create_task(self._feed(remote.stdin)),
                tasks.create_task(self._resize(remote.resize)),
            ]
            copies = [
                tasks.create_task(_copy(fd, sink, over, remote.gone))
                for fd, sink in outputs
                if fd is not None and sink is not None
            ]
            process = tasks.create_task(self._wait())
            leaving = tasks.create_task(remote.gone.wait())
            await asyncio.wait({process, leaving}, return_when=asyncio.FIRST_COMPLETED)
            over.set()
            delivered = tasks.create_task(_all(copies))
            await asyncio.wait({delivered, leaving}, return_when=asyncio.FIRST_COMPLETED)
            for task in (*inputs, *copies, process, leaving, delivered):
                task.cancel()
        return self._verdict()

    def _verdict(self) -> Verdict:
        code = self._process.poll()
        if code is None:
            return Verdict(137, self._options.command)  # nobody is there to hear it
        if code and not self._pid_file.exists():
            return Verdict(failure=self._place.runtime.complaint(self._log))
        return Verdict(code if code >= 0 else 128 - code, self._options.command)

    async def _wait(self) -> None:
        process = Process.of(self._process.pid)
        if process is not None:
            await ended(process)
        self._process.wait()  # it is a zombie by now

    async def _feed(self, stdin: Source | None) -> None:
        """Hand on what the client types; what nobody reads any more is dropped, so that the rest goes on."""
        fd = self._ends.stdin
        if stdin is None or fd is None:
            return
        listening = True
        while data := await stdin.read():
            if listening:
                try:
                    await write_all(fd, data)
                except OSError:
                    listening = False
        if not self._options.tty:
            self._ends.stdin = None
            os.close(fd)

    async def _resize(self, source: Source | None) -> None:
        """Note the command's session when there is one; from then on its terminal can be resized."""
        await self._note_session()
        if source is None or self._leader is None:
            return
        reader = SizeReader()
        while data := await source.read():
            for size in reader.feed(data):
                resize_of(self._leader, size)

    async def _note_session(self) -> None:
        if await self._place.runtime.appears(self._pid_file, timeout=_START_SECONDS):
            self._leader = int(self._pid_file.read_text())
            with contextlib.suppress(ProcessLookupError):
                self._session = os.getsid(self._leader)

    async def _end(self) -> None:
        """Nothing of the command is left afterwards."""
        if self._process.poll() is not None:
            return
        if self._session is None:
            await self._note_session()
        _close(self._ends)
        self._signal(signal.SIGHUP)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HANGUP_SECONDS):
                await self._wait()
        self._signal(signal.SIGKILL)
        if self._process.poll() is None:
            try:
                async with asyncio.timeout(_HANGUP_SECONDS):
                    await self._wait()
            except TimeoutError:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        """To every process of the command's session that is in the container."""
        for pid in self._place.group.processes(self._place.attempt.child):
            with contextlib.suppress(OSError):
                if os.getsid(pid) == self._session:
                    os.kill(pid, number)


async def _copy(fd: int, sink: Sink, over: asyncio.Event, gone: asyncio.Event) -> None:
    try:
        async for data in chunks(fd, over):
            await sink.write(data)
    except ConnectionError:
        gone.set()


async def _all(tasks: list[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks)


def _pipes(options: Options) -> tuple[_Ends, _Ends]:
    """(our ends, the command's ends)."""
    ours, theirs = _Ends(None, None, None), _Ends(None, None, None)
    if options.stdin:
        theirs.stdin, ours.stdin = os.pipe()
    if options.stdout:
        ours.stdout, theirs.stdout = os.pipe()
    if options.stderr:
        ours.stderr, theirs.stderr = os.pipe()
    for fd in (ours.stdin, ours.stdout, ours.stderr):
        if fd is not None:
            os.set_blocking(fd, False)
    return ours, theirs


def _terminal() -> tuple[_Ends, _Ends]:
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    return _Ends(os.dup(master), master, None), _Ends(slave, os.dup(slave), os.dup(slave))


def _close(ends: _Ends) -> None:
    for name in ("stdin", "stdout", "stderr"):
        fd = getattr(ends, name)
        if fd is not None:
            setattr(ends, name, None)
            os.close(fd)
