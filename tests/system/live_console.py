"""The guest's serial console through `edgevirt console`, and commands typed into the tiny guest's shell."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from types import TracebackType

from live_cluster import Namespace

from live_instance import EDGEVIRT


class Console:
    """An open `edgevirt console NAME` whose input and output are pipes."""

    def __init__(self, namespace: Namespace, name: str) -> None:
        self._process = subprocess.Popen(
            [str(EDGEVIRT), "console", name, "-n", namespace.name],
            env=namespace.cluster.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.text = ""

    def __enter__(self) -> Console:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def type(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def expect(self, pattern: str, seconds: float = 60.0) -> re.Match[str]:
        """Wait for `pattern` in what has come since the last match; the test fails if it doesn't come."""
        deadline = time.monotonic() + seconds
        stdout = self._process.stdout
        assert stdout is not None
        while True:
            found = re.search(pattern, self.text)
            if found is not None:
                self.text = self.text[found.end() :]
                return found
            ready, _, _ = select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {pattern!r} on the console in {seconds:.0f} s: {self.text!r}")
            data = os.read(stdout.fileno(), 65536)
            if not data:
                error = self._process.communicate()[1].decode()
                raise AssertionError(f"the console closed before {pattern!r}: {self.text!r} {error}")
            self.text = (self.text + data.decode(errors="replace")).replace("\r\n", "\n")

    def until_closed(self, seconds: float = 20.0) -> tuple[int, str]:
        """Wait until the command ends by itself; its exit code and what it said on stderr."""
        out, error = self._process.communicate(timeout=seconds)
        self.text += out.decode(errors="replace")
        return self._process.returncode, error.decode()

    def log_in(self, seconds: float = 90.0) -> None:
        """Get a shell of the tiny guest, waiting for its boot to end."""
        self.type("\n")
        if self.expect(r"login: |# ", seconds).group() == "login: ":
            self.type("root\n")
            self.expect("# ")

    def run(self, command: str, seconds: float = 30.0) -> str:
        """Output of `command` in the guest's shell. The test fails if it exits with anything but 0."""
        code, output = self.attempt(command, seconds)
        assert code == 0, f"{command!r} in the guest: exit code {code}: {output}"
        return output

    def attempt(self, command: str, seconds: float = 30.0) -> tuple[int, str]:
        """Exit code and output of `command`."""
        # The markers are typed in halves, so that the echo of the line does not look like its answer.
        self.type(f'echo "=BE""GIN="; {command}; echo "=EN""D= $?"\n')
        self.expect("=BEGIN=\n", seconds)
        found = self.expect(r"(?s)^(.*?)=END= (\d+)\n", seconds)
        return int(found.group(2)), found.group(1).strip()
