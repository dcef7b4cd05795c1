"""The process namespace that the containers of a pod share (`shareProcessNamespace`).

A process namespace lives as long as its first process. That is `sleep` here, run by the OCI runtime like a
container, with no privilege and nothing of the machine in sight but /usr: containers may look into each other
in such a pod, and so into it. It ignores SIGCHLD, which makes the kernel reap what other processes orphan.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from edgevirt.engine.kubelet import mounts, seccomp
from edgevirt.engine.kubelet.processes import Process
from edgevirt.engine.kubelet.services import Services

_CHILD = "sandbox"
_NOBODY = 65534
_COMMAND = ["/usr/bin/env", "--ignore-signal=CHLD", "sleep", "infinity"]
_FLAT = ("bin", "lib", "lib64")
"""Parts of the root that are links into /usr, where the loader is looked for."""


async def start(services: Services, uid: str, target: Path) -> None:
    """Start the first process and keep its namespace at the file `target`. StartFailed, OSError."""
    directory = services.pod_dir(uid) / _CHILD
    identifier = f"{uid}.{_CHILD}"
    await services.runtime.discard(identifier)
    await services.blocking(_prepare, directory, services.cgroup(uid).container_path(_CHILD))
    pid = await services.runtime.run_detached(identifier, directory)
    await services.blocking(_keep, pid, target)


def alive(services: Services, uid: str) -> bool:
    """Whether the first process runs."""
    try:
        return Process.of(int((services.pod_dir(uid) / _CHILD / "pid").read_text())) is not None
    except (OSError, ValueError):
        return False


def _keep(pid: int, target: Path) -> None:
    target.touch(mode=0o444)
    mounts.bind(f"/proc/{pid}/ns/pid", target)


def _prepare(directory: Path, cgroup: str) -> None:
    root = directory / "rootfs"
    for name in ("usr", "proc", "dev"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in _FLAT:
        link = root / name
        if not link.is_symlink():
            link.symlink_to(os.readlink(f"/{name}") if os.path.islink(f"/{name}") else f"usr/{name}")
    (directory / "config.json").write_text(json.dumps(_config(root, cgroup)))


def _config(root: Path, cgroup: str) -> dict[str, Any]:
    quiet = ["nosuid", "noexec", "nodev"]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": _NOBODY, "gid": _NOBODY},
            "args": _COMMAND,
            "env": ["PATH=/usr/bin"],
            "cwd": "/",
            "capabilities": {},
            "noNewPrivileges": True,
        },
        "root": {"path": str(root), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": quiet},
            {
                "destination": "/usr",
                "type": "bind",
                "source": "/usr",
                "options": ["bind", "rprivate", "ro", "nosuid", "nodev"],
            },
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")],
            "seccomp": seccomp.runtime_default(frozenset()),
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        },
    }
