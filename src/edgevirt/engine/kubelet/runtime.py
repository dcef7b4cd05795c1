"""Running OCI bundles with crun or runc, so that exit codes survive a restart of this process.

Each container is run by `crun run` in the foreground, under a small shell (the shim) in its own session and
cgroup that writes the exit code to a file when the runtime returns. The shim first waits for a word on its
standard input: only after its pid is on record does it start the container, and if we die before, it ends by
itself. So there is never a container that nobody knows of.

crun refuses hybrid cgroups; it takes them in a mount namespace without the v2 mount. One thread of ours
owns such a namespace (a slave of the machine's, so unmounts reach it) and starts every runtime process.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from edgevirt.engine.kubelet import mounts
from edgevirt.engine.kubelet.cgroups import Hierarchies, detect
from edgevirt.engine.kubelet.processes import Process, ended
from edgevirt.engine.kubelet.spawning import spawned
from edgevirt.engine.kubelet.stdio import NOTHING, Stdio
from edgevirt.linux import inotify, namespaces

_SHIM = """read -r go || exit 1
log=$1; shift
"$@" >>"$log" 2>&1 </dev/null
code=$?
printf '%s\\n' "$code" >exit.tmp && mv -f exit.tmp exit
"""
_SHIM_WITH_INPUT = """read -r go || exit 1
log=$1; shift
sleep infinity <>stdin & keeper=$!
printf '%s\\n' "$keeper" >keeper
"$@" >>"$log" 2>&1 <stdin
code=$?
kill "$keeper"
printf '%s\\n' "$code" >exit.tmp && mv -f exit.tmp exit
"""
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "SHELL": "/bin/sh",  # what runs the command of a terminal
}
_MAX_OUTPUT = 16 * 1024
_MAX_MESSAGE = 1024


class RuntimeMissing(Exception):
    """Neither crun nor runc is installed."""


class StartFailed(Exception):
    """The runtime could not start the container; the message is the runtime's own."""


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a container. `directory` holds its bundle, `log` takes its output."""

    id: str
    directory: Path
    log: Path

    @property
    def child(self) -> str:
        """The name of the run's control group inside the pod's."""
        return f"{self.directory.parent.name}.{self.directory.name}"

    @property
    def rootfs(self) -> Path:
        return self.directory / "rootfs"

    @property
    def runtime_log(self) -> Path:
        return self.directory / "runtime.log"

    def exit_code(self) -> tuple[int, float] | None:
        """(code, Unix time of the end), or None when the container has not ended or nobody was there."""
        path = self.directory / "exit"
        try:
            return int(path.read_text()), path.stat().st_mtime
        except (FileNotFoundError, ValueError):
            return None

    def init(self) -> Process | None:
        """The container's first process, if the runtime got so far and it is alive."""
        try:
            return Process.of(int((self.directory / "pid").read_text()))
        except (FileNotFoundError, ValueError):
            return None

    def started(self) -> bool:
        return (self.directory / "pid").exists()


class Runtime:
    """Starts, ends and enters containers. One per kubelet."""

    def __init__(self, program: Path, root: Path, hierarchies: Hierarchies | None = None) -> None:
        """`root`: the runtime's own state directory, on a tmpfs."""
        self.program = program
        self.name = program.name
        self._root = root
        self._hierarchies = hierarchies or detect()
        self._watcher: inotify.Watcher | None = None
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        private = self.name == "crun" and self._hierarchies.hybrid
        self._spawner = concurrent.futures.ThreadPoolExecutor(
            1, thread_name_prefix="oci", initializer=self._enter_private_mounts if private else None
        )

    @staticmethod
    def find(wanted: str = "") -> Path:
        """The runtime to use: `wanted`, else crun, else runc. RuntimeMissing says what to install."""
        for name in (wanted,) if wanted else ("crun", "runc"):
            if path := shutil.which(name, path=_ENVIRONMENT["PATH"]):
                return Path(path)
        raise RuntimeMissing(f"no OCI runtime: {wanted or 'neither crun nor runc'} found; install crun")

    def close(self) -> None:
        """Stop starting containers. Those that run, run on."""
        if self._watcher:
            self._watcher.close()
        self._spawner.shutdown(wait=True)

    async def run(
        self,
        attempt: Attempt,
        on_shim: Callable[[Process], None],
        *,
        stdio: Stdio = NOTHING,
        timeout: float = 60.0,
    ) -> tuple[Process, Process | None]:
        """Start the bundle in `attempt.directory`, where `stdio` is prepared; returns (shim, init).

        `on_shim` is called with the waiting shim before the container starts: record it there, and watch
        the shim from then on even if this is cancelled, for the container may start all the same. `init` is
        None when the container has already ended. StartFailed when the runtime refuses.
        """
        loop = asyncio.get_running_loop()
        watcher = self._watcher = self._watcher or inotify.Watcher()
        changed = asyncio.Event()
        handle = watcher.add(
            attempt.directory, inotify.IN_CLOSE_WRITE | inotify.IN_MOVED_TO, lambda _: changed.set()
        )
        reader, writer = os.pipe()
        try:
            spawning = loop.run_in_executor(self._spawner, self._spawn, attempt, reader, stdio)
            try:
                shim = Process.of(await asyncio.shield(spawning))
            except asyncio.CancelledError:
                await asyncio.wait([spawning])  # the thread hands `reader` on: not to be closed before
                if spawning.exception() is None and (stray := Process.of(spawning.result())):
                    on_shim(stray)  # it ends by itself, and somebody has to notice
                raise
            if shim is None:
                raise StartFailed("the shim ended at once")
            on_shim(shim)
            os.write(writer, b"go\n")
            async with asyncio.timeout(timeout):
                await _started(attempt, changed)
        except TimeoutError as error:
            raise StartFailed(f"{self.name} did not start the container within {timeout:.0f} s") from error
        finally:
            os.close(reader)
            os.close(writer)
            watcher.remove(handle)
        if not _pid_written(attempt):
            raise StartFailed(self.complaint(attempt.runtime_log))
        return shim, attempt.init()

    async def begun(self, attempt: Attempt, *, timeout: float) -> bool:
        """Wait until a run that an earlier kubelet began has its first process, or is over already.

        False after `timeout` seconds.
        """
        changed = asyncio.Event()
        try:
            with inotify.Watcher() as watcher:
                watcher.add(
                    attempt.directory, inotify.IN_CLOSE_WRITE | inotify.IN_MOVED_TO, lambda _: changed.set()
                )
                async with asyncio.timeout(timeout):
                    await _started(attempt, changed)
        except (TimeoutError, FileNotFoundError):
            return False
        return True

    async def appears(self, file: Path, *, timeout: float) -> bool:
        """Wait until the runtime has written `file`; False after `timeout` seconds."""
        changed = asyncio.Event()
        try:
            with inotify.Watcher() as watcher:
                watcher.add(
                    file.parent, inotify.IN_CLOSE_WRITE | inotify.IN_MOVED_TO, lambda _: changed.set()
                )
                async with asyncio.timeout(timeout):
                    while not file.exists() or not file.read_text().strip():
                        changed.clear()
                        await changed.wait()
        except (TimeoutError, FileNotFoundError):
            return False
        return True

    def complaint(self, log: Path) -> str:
        """What the runtime wrote to a log of its own."""
        messages = []
        with contextlib.suppress(OSError, ValueError), log.open() as file:
            for line in file.read(_MAX_OUTPUT).splitlines():
                entry = json.loads(line)
                if entry.get("level") == "error":
                    messages.append(str(entry.get("msg")))
        return "; ".join(messages)[:_MAX_MESSAGE] or f"{self.name} gave no reason"

    async def execute(
        self, attempt: Attempt, argv: Sequence[str], *, timeout: float | None
    ) -> tuple[int | None, bytes]:
        """Run `argv` inside the container: (exit code, output up to 16 KiB); code None after `timeout` s."""
        loop = asyncio.get_running_loop()
        command = [*self._base(attempt.directory / "exec.log"), "exec", attempt.id, *argv]
        process = await spawned(self._spawner, lambda: self._popen_piped(command))
        assert process.stdout
        os.set_blocking(process.stdout.fileno(), False)
        output = bytearray()
        seen = Process.of(process.pid)

        def take() -> None:
            assert process.stdout
            if chunk := process.stdout.read(_MAX_OUTPUT):
                output.extend(chunk[: _MAX_OUTPUT - len(output)])
            elif chunk == b"":
                loop.remove_reader(process.stdout)

        loop.add_reader(process.stdout, take)
        try:
            async with asyncio.timeout(timeout):
                if seen is not None:
                    await ended(seen)
            take()
            return process.wait(), bytes(output)
        except TimeoutError:
            return None, bytes(output)
        finally:
            loop.remove_reader(process.stdout)
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            process.stdout.close()

    async def spawn_exec(
        self,
        attempt: Attempt,
        directory: Path,
        argv: Sequence[str],
        *,
        tty: bool,
        stdio: tuple[int | None, int | None, int | None],
    ) -> subprocess.Popen[bytes]:
        """Start `argv` inside the container as its own process runs, on these descriptors (None: nothing).

        The process returned is the runtime's, in a session of its own; it ends with the command's exit code.
        In `directory`, `pid` gets the command's pid and `log` the runtime's complaints. With `tty` the
        descriptors are a terminal, which becomes a raw one: the command has another of the container's own.
        """
        process = json.loads((attempt.directory / "config.json").read_text())["process"]
        process |= {"args": list(argv), "terminal": tty}
        if tty and not any(variable.startswith("TERM=") for variable in process["env"]):
            process["env"] = [*process["env"], "TERM=xterm"]
        document = directory / "process.json"
        document.write_text(json.dumps(process))
        command = [*self._base(directory / "log"), "exec", "--process", str(document)]
        command += ["--pid-file", str(directory / "pid"), attempt.id]
        return await spawned(self._spawner, lambda: self._popen_on(command, stdio))

    async def run_detached(self, identifier: str, directory: Path) -> int:
        """Run the bundle in `directory` without anybody waiting for it; returns its pid. StartFailed."""
        log = directory / "runtime.log"
        command = [*self._base(log), "run", "--detach", "--bundle", str(directory)]
        command += ["--pid-file", str(directory / "pid"), identifier]
        loop = asyncio.get_running_loop()
        code = await loop.run_in_executor(self._spawner, self._call, command)
        if code != 0:
            raise StartFailed(self.complaint(log))
        return int((directory / "pid").read_text())

    async def discard(self, container_id: str) -> None:
        """Remove what the runtime remembers of a container whose shim was killed. Idempotent."""
        if not (self._root / container_id).exists():
            return
        loop = asyncio.get_running_loop()
        command = [*self._base(Path("/dev/null")), "delete", "--force", container_id]
        await loop.run_in_executor(self._spawner, self._call, command)
        shutil.rmtree(self._root / container_id, ignore_errors=True)

    def known(self) -> frozenset[str]:
        """Ids of the containers in the runtime's state directory."""
        return frozenset(entry.name for entry in self._root.iterdir() if entry.is_dir())

    def _base(self, log: Path) -> list[str]:
        manager = ["--cgroup-manager", "cgroupfs"] if self.name == "crun" else []
        return [
            str(self.program),
            *manager,
            "--root",
            str(self._root),
            "--log",
            str(log),
            "--log-format",
            "json",
        ]

    def _spawn(self, attempt: Attempt, stdin: int, stdio: Stdio) -> int:
        command = [
            *self._base(attempt.runtime_log),
            "run",
            "--bundle",
            str(attempt.directory),
            "--pid-file",
            str(attempt.directory / "pid"),
            attempt.id,
        ]
        shim = _SHIM_WITH_INPUT if stdio.input else _SHIM
        process = subprocess.Popen(
            ["/bin/sh", "-c", shim, "edgevirt-shim", str(attempt.log), *stdio.command(command)],
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=attempt.directory,
            env=_ENVIRONMENT,
            start_new_session=True,
        )
        process.returncode = 0  # it outlives us: the pidfd watcher reaps it, not this object
        return process.pid

    def _popen_on(
        self, command: list[str], stdio: tuple[int | None, int | None, int | None]
    ) -> subprocess.Popen[bytes]:
        stdin, stdout, stderr = (subprocess.DEVNULL if fd is None else fd for fd in stdio)
        return subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr, env=_ENVIRONMENT, start_new_session=True
        )

    def _popen_piped(self, command: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_ENVIRONMENT,
            start_new_session=True,
            bufsize=0,
        )

    def _call(self, command: list[str]) -> int:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            timeout=30,
            check=False,
        ).returncode

    def _enter_private_mounts(self) -> None:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mounts.mount("none", "/", "", mounts.MS_REC | mounts.MS_SLAVE)
        assert self._hierarchies.unified
        mounts.unmount(self._hierarchies.unified)


async def _started(attempt: Attempt, changed: asyncio.Event) -> None:
    """`changed` is set whenever the attempt's directory changes."""
    while not _pid_written(attempt) and attempt.exit_code() is None:
        changed.clear()
        await changed.wait()


def _pid_written(attempt: Attempt) -> bool:
    try:
        return bool((attempt.directory / "pid").read_text().strip())
    except FileNotFoundError:
        return False
