"""Control groups of pods, on v1, hybrid and v2 hierarchies alike.

A pod owns `<prefix>/pod<uid>` in every hierarchy; its containers lie below, created by the runtime, beside
`shim`, which holds the small processes that wait for the containers. They must not live in the node agent's
own group: a service manager that stops the agent kills its whole group, and the containers must live on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from edgevirt.engine.kubelet import mounts

SHIM = "shim"
_PAGE = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class Hierarchies:
    """Where hierarchies are mounted. `controllers`: v1 controller -> directory; `named`: name=systemd;
    `unified`: the v2 tree, alone (`controllers` empty) or beside v1 (hybrid)."""

    controllers: dict[str, Path]
    named: Path | None
    unified: Path | None

    @property
    def hybrid(self) -> bool:
        return bool(self.controllers) and self.unified is not None

    @property
    def v2(self) -> bool:
        return not self.controllers and self.unified is not None

    def roots(self) -> tuple[Path, ...]:
        """Every hierarchy's root directory, each once."""
        every = [*self.controllers.values(), self.named, self.unified]
        return tuple(dict.fromkeys(path for path in every if path is not None))


_V1 = (
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
    "hugetlb",
    "net_cls",
    "rdma",
)


def detect(table: tuple[mounts.MountEntry, ...] | None = None) -> Hierarchies:
    """Read the mount table (injectable for tests)."""
    controllers: dict[str, Path] = {}
    named: Path | None = None
    unified: Path | None = None
    for entry in mounts.table() if table is None else table:
        if entry.fs_type == "cgroup2":
            unified = unified or Path(entry.point)
        elif entry.fs_type == "cgroup":
            options = entry.options.split(",")
            for name in _V1:
                if name in options:
                    controllers.setdefault(name, Path(entry.point))
            if "name=systemd" in options:
                named = named or Path(entry.point)
    return Hierarchies(controllers, named, unified)


class PodCgroup:
    """The group of one pod. `path` is its path inside each hierarchy ("/edgevirt/pod<uid>")."""

    def __init__(self, hierarchies: Hierarchies, prefix: str, pod_uid: str) -> None:
        self._hierarchies = hierarchies
        self.path = f"/{prefix.strip('/')}/pod{pod_uid}"

    def container_path(self, child: str) -> str:
        """Where the runtime puts container `child`. On v1 a level below `child`, which stays ours."""
        return f"{self.path}/{child}" if self._hierarchies.v2 else f"{self.path}/{child}/c"

    def runtime_limit(self, memory: int) -> int:
        """The memory limit to give to the runtime for a container limited to `memory`.

        On v1 a page more than the limit that `create_container` sets one level up: so it is always our
        level that runs out, and the kernel tells us about it after the runtime's level is gone.
        """
        return memory if self._hierarchies.v2 else memory + _PAGE

    def create_container(self, child: str, memory: int | None) -> None:
        """Prepare the group of container `child` with its memory limit (bytes). Idempotent."""
        root = self._hierarchies.controllers.get("memory")
        if memory is not None and root is not None:
            directory = self._directory(root, child)
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "memory.limit_in_bytes").write_text(str(memory))

    def remove_container(self, child: str) -> None:
        """Remove the group of a container that has ended; what is still busy stays for `remove`."""
        for root in self._hierarchies.roots():
            base = self._directory(root, child)
            for directory in (*_subdirectories(base), base):
                with contextlib.suppress(OSError):
                    directory.rmdir()

    def memory_directory(self, child: str) -> Path | None:
        """The v1 memory group of container `child`; None on v2."""
        root = self._hierarchies.controllers.get("memory")
        return self._directory(root, child) if root else None

    def create(self) -> None:
        """Make the shim's group where processes are tracked; the runtime makes the rest."""
        for root in self._tracking_roots():
            self._directory(root, SHIM).mkdir(parents=True, exist_ok=True)

    def adopt_shim(self, pid: int) -> None:
        """Move process `pid` into the shim's group."""
        for root in self._tracking_roots():
            (self._directory(root, SHIM) / "cgroup.procs").write_text(str(pid))

    def processes(self, child: str = "") -> frozenset[int]:
        """The pids in the pod (or in its container `child`), found in every hierarchy. Shims excluded."""
        found: set[int] = set()
        for root in self._hierarchies.roots():
            base = self._directory(root, child)
            for directory in (base, *_subdirectories(base)):
                if directory == self._directory(root, SHIM):
                    continue
                found.update(_pids(directory))
        return frozenset(found)

    def kill(self, child: str = "") -> int:
        """SIGKILL every process of the pod or of one container; returns how many were there."""
        pids = self.processes(child)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)

    def shims(self) -> frozenset[int]:
        """The pids of the shims and of the runtimes they run."""
        return frozenset(pid for root in self._tracking_roots() for pid in _pids(self._directory(root, SHIM)))

    def kill_shims(self) -> None:
        """SIGKILL shims and runtimes, so that no more container starts. Exit codes are lost by it."""
        for pid in self.shims():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def oom_kills(self) -> int:
        """How often the kernel killed a process of the pod for lack of memory; v2 only, else 0."""
        if not self._hierarchies.v2 or self._hierarchies.unified is None:
            return 0
        with contextlib.suppress(OSError):
            for line in (
                (self._directory(self._hierarchies.unified, "") / "memory.events").read_text().splitlines()
            ):
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value)
        return 0

    def set_limits(self, *, cpu_shares: int, memory: int | None, cpu_quota: int | None) -> None:
        """Limits of the whole pod: shares, bytes, microseconds per 100 ms; None leaves them unlimited."""
        if self._hierarchies.v2:
            assert self._hierarchies.unified
            self._v2_limits(self._hierarchies.unified, cpu_shares, memory, cpu_quota)
            return
        if cpu := self._hierarchies.controllers.get("cpu"):
            directory = self._directory(cpu, "")
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "cpu.shares").write_text(str(max(cpu_shares, 2)))
            if cpu_quota is not None:
                (directory / "cpu.cfs_period_us").write_text("100000")
                (directory / "cpu.cfs_quota_us").write_text(str(cpu_quota))
        if memory is not None and (root := self._hierarchies.controllers.get("memory")):
            directory = self._directory(root, "")
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "memory.limit_in_bytes").write_text(str(memory))

    def _v2_limits(self, root: Path, cpu_shares: int, memory: int | None, cpu_quota: int | None) -> None:
        directory = self._directory(root, "")
        directory.mkdir(parents=True, exist_ok=True)
        available = (root / "cgroup.controllers").read_text().split()
        wanted = " ".join(
            f"+{name}" for name in ("cpu", "memory", "pids", "cpuset", "io") if name in available
        )
        parents = [
            root,
            *reversed([p for p in directory.parents if p != root and root in p.parents]),
            directory,
        ]
        for parent in parents:
            (parent / "cgroup.subtree_control").write_text(wanted)
        (directory / "cpu.weight").write_text(str(weight_of_shares(cpu_shares)))
        if memory is not None:
            (directory / "memory.max").write_text(str(memory))
        if cpu_quota is not None:
            (directory / "cpu.max").write_text(f"{cpu_quota} 100000")

    def remove(self) -> bool:
        """Remove the pod's groups; False while a process is still in one of them."""
        done = True
        for root in self._hierarchies.roots():
            base = self._directory(root, "")
            for directory in (*_subdirectories(base), base):
                try:
                    directory.rmdir()
                except FileNotFoundError:
                    continue
                except OSError as error:
                    if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                        raise
                    done = False
        return done

    def _tracking_roots(self) -> tuple[Path, ...]:
        """Hierarchies by which a service manager finds the processes of a service."""
        return tuple(
            path for path in (self._hierarchies.named, self._hierarchies.unified) if path is not None
        )

    def _directory(self, root: Path, child: str) -> Path:
        return root / self.path.lstrip("/") / child


def pod_uids(hierarchies: Hierarchies, prefix: str) -> frozenset[str]:
    """The uids of pods that have a group anywhere."""
    found: set[str] = set()
    for root in hierarchies.roots():
        with contextlib.suppress(OSError):
            found.update(
                entry.name.removeprefix("pod")
                for entry in (root / prefix.strip("/")).iterdir()
                if entry.name.startswith("pod") and entry.is_dir()
            )
    return frozenset(found)


def remove_prefix(hierarchies: Hierarchies, prefix: str) -> None:
    """Remove the (empty) parent group of all pods; it stays where pods are left."""
    for root in hierarchies.roots():
        with contextlib.suppress(OSError):
            (root / prefix.strip("/")).rmdir()


def weight_of_shares(shares: int) -> int:
    """v2's cpu.weight for v1's cpu.shares, the mapping every runtime uses."""
    return 1 + ((min(max(shares, 2), 262144) - 2) * 9999) // 262142


def _subdirectories(base: Path) -> Iterator[Path]:
    """Every directory below `base`, deepest first."""
    try:
        entries = [entry.path for entry in os.scandir(base) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for entry in entries:
        yield from _subdirectories(Path(entry))
        yield Path(entry)


def _pids(directory: Path) -> tuple[int, ...]:
    try:
        return tuple(int(line) for line in (directory / "cgroup.procs").read_text().split())
    except OSError:
        return ()
