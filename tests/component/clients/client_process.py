"""Running somebody else's client against the server under test, and reading what it prints while it runs."""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Object = dict[str, Any]

SECONDS = 60.0
"""What a command may take before it counts as hanging."""


def environment(kubeconfig: Path, home: Path) -> dict[str, str]:
    """What a user's shell gives to a client: a home and a kubeconfig in it, nothing of this process."""
    config = home / ".kube/config"
    if not config.exists():
        config.parent.mkdir(parents=True)
        shutil.copy(kubeconfig, config)
    return {
        "HOME": str(home),
        "KUBECONFIG": str(config),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
    }


class Client:
    """A program with an environment; `Kubectl` and `Helm` add what their command lines look like."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        self._command = [str(word) for word in command]
        self.environment = dict(environment)

    def run(
        self, *arguments: str | Path, stdin: str = "", seconds: float = SECONDS, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, *map(str, arguments)],
            env={**self.environment, **environment},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def __call__(
        self, *arguments: str | Path, stdin: str = "", seconds: float = SECONDS, **environment: str
    ) -> str:
        """What it prints; a test fails if the command does."""
        done = self.run(*arguments, stdin=stdin, seconds=seconds, **environment)
        assert done.returncode == 0, f"{self._line(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def fails(self, *arguments: str | Path, stdin: str = "", code: int = 1, **environment: str) -> str:
        """What it prints as error; a test fails if the command succeeds or ends with another code."""
        done = self.run(*arguments, stdin=stdin, **environment)
        assert done.returncode == code, f"{self._line(arguments)}: {done.stdout}{done.stderr}"
        return done.stderr

    @contextlib.contextmanager
    def started(self, *arguments: str | Path, stdin: bool = False, **environment: str) -> Iterator[Running]:
        """The command while it runs; it is ended with the block."""
        process = subprocess.Popen(
            [*self._command, *map(str, arguments)],
            env={**self.environment, **environment},
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield Running(process, self._line(arguments))
        finally:
            process.kill()
            process.communicate()

    def _line(self, arguments: Sequence[str | Path]) -> str:
        return " ".join([Path(self._command[0]).name, *map(str, arguments)])


class Running:
    """Collects the lines of a running command in a thread; `until` waits for one."""

    def __init__(self, process: subprocess.Popen[str], line: str) -> None:
        self.process = process
        self._what = line
        self._news: queue.Queue[str | None] = queue.Queue()
        self.seen: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def until(self, text: str, seconds: float = 30.0) -> str:
        """The first line not taken yet that has `text` in it; a test fails if none comes in time."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._news.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"{self._what}: no line with {text!r} in {self.seen}") from None
            self.seen.append(line)
            if text in line:
                return line

    def end(self, seconds: float = 30.0) -> int:
        """The exit code, once it ends by itself."""
        return self.process.wait(seconds)

    def rest(self, seconds: float = 30.0) -> list[str]:
        """All lines, once it has ended by itself."""
        self.end(seconds)
        while (line := self._news.get(timeout=seconds)) is not None:
            self.seen.append(line)
        return self.seen

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):  # closed when the block ended
            for line in self.process.stdout:
                self._news.put(line.rstrip("\n"))
        self._news.put(None)


class Kubectl(Client):
    """One kubectl in one namespace. `version` is its minor version, such as (1, 36)."""

    def __init__(self, program: Path, environment: Mapping[str, str], namespace: str) -> None:
        super().__init__((program, "--namespace", namespace), environment)
        self.version = tuple(map(int, program.name.rpartition("-")[2].split(".")))
        self.program = program
        self.namespace = namespace

    @property
    def modern(self) -> bool:
        """Younger than Debian's."""
        return self.version > (1, 20)

    def json(self, *arguments: str) -> Object:
        """An object or list as `get` shows it."""
        found: Object = json.loads(self("get", *arguments, "-o", "json"))
        return found

    def apply(self, *objects: Object) -> str:
        return self("apply", "-f", "-", stdin=documents(*objects))

    def create(self, *objects: Object) -> str:
        return self("create", "-f", "-", stdin=documents(*objects))


def documents(*objects: Object) -> str:
    """One stream, which kubectl takes for JSON since it begins with a brace."""
    return "\n".join(map(json.dumps, objects))


def columns(table: str) -> list[list[str]]:
    """The cells of a printed table, row by row; cells are parted by at least three blanks."""
    return [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in table.splitlines()]
