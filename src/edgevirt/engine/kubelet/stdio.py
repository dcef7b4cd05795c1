"""Standard input and terminals of containers that ask for them, such that they outlive this process.

Input is a FIFO in the run's directory. A sleeping process, the keeper, has it open for writing too, so that
the container sees no end of input while nobody is attached; ending the keeper is how input ends. A terminal
is held by `script` of util-linux, which every Debian has: between the FIFO, the runtime and the log (250 kB).
Whoever attaches writes to the FIFO and reads the log; so attaching works across restarts of the kubelet.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from edgevirt.linux.readiness import writable

FIFO = "stdin"
KEEPER = "keeper"


class NoTerminal(Exception):
    """The program that holds terminals is not there; the message says what to install."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stdio:
    """What a container asks for. A terminal has an input even if nobody may write to it."""

    stdin: bool = False
    tty: bool = False

    @property
    def input(self) -> bool:
        return self.stdin or self.tty

    def prepare(self, directory: Path) -> None:
        """Make the FIFO in the run's directory. Raises NoTerminal."""
        if self.tty and not shutil.which("script"):
            raise NoTerminal("a terminal needs the program `script`; install util-linux (bsdutils)")
        if self.input:
            os.mkfifo(directory / FIFO, 0o600)

    def command(self, command: Sequence[str]) -> list[str]:
        """The runtime's command, on a terminal if one is asked for."""
        if not self.tty:
            return list(command)
        inner = f"exec {shlex.join(command)}"
        return ["script", "--quiet", "--return", "--flush", "--log-out", "/dev/null", "--command", inner]


NOTHING = Stdio()


@dataclasses.dataclass(frozen=True, slots=True)
class Console:
    """How to talk to a container that runs. `directory` is the run's, `leader` its first process.

    `once`: when the first client has said all, nobody will say more, so `end` is to be called.
    """

    directory: Path
    stdin: bool
    once: bool
    tty: bool
    leader: int | None
    end: Callable[[], None]


class Input:
    """The writing end of a container's input, for one client at a time or several."""

    def __init__(self, directory: Path) -> None:
        """OSError when the container has no input any more."""
        self._directory = directory
        self._fd = os.open(directory / FIFO, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)

    def close(self) -> None:
        os.close(self._fd)

    async def write(self, data: bytes) -> None:
        """Write all of it, as fast as the container reads."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                await writable(self._fd)


def end_input(directory: Path, known: frozenset[int]) -> None:
    """Nobody writes to the container's input any more. `known`: processes the keeper must be among.

    Idempotent; what was written before is still read.
    """
    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
        pid = int((directory / KEEPER).read_text())
        if pid in known:
            os.kill(pid, signal.SIGKILL)
