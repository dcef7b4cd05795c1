"""What an edgevirt instance has in the kernel and on disk, beyond its data: to be empty when nothing runs.

Every function reads the machine as it is; nothing asks edgevirt.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from live_instance import Instance

_CGROUPS = Path("/sys/fs/cgroup")


def traces(instance: Instance) -> list[str]:
    """Everything that is left of the instance after `edgevirt down`."""
    return sorted(
        {
            *_of_pods(instance),
            *_processes(instance, own=True),
            *(f"mount {point}" for point in _mounts(instance)),
            *(f"link {name}" for name in _links() if name == instance.bridge),
            *(f"nft table {name}" for name in _tables() if instance.bridge in name),
            *(f"control group {path}" for path in _cgroup_roots(instance)),
            *(f"pid file {path} is held" for path in instance.processes()),
        }
    )


def pod_traces(instance: Instance) -> list[str]:
    """Everything that is left of pods and guests while the instance itself runs."""
    mounts = [point for point in _mounts(instance) if "/pods/" in point or "/sandboxes/" in point]
    return sorted({*_of_pods(instance), *_processes(instance, own=False), *(f"mount {p}" for p in mounts)})


def _of_pods(instance: Instance) -> Iterator[str]:
    for name in _ports_of(instance.bridge):
        yield f"link {name}"
    for path in (instance.data / "cni/leases").glob("*/*.*.*.*"):
        yield f"address lease {path.name}"
    for pattern in ("pods/*", "images/holds/*/*", "images/tmp/*", "virt-handler/networks/*"):
        for path in instance.data.glob(pattern):
            yield f"file {path}"
    for pattern in ("kubelet/sandboxes/*", "kubelet/runtime/*"):
        for path in instance.run_dir.glob(pattern):
            yield f"file {path}"
    for root in _cgroup_roots(instance):
        for path in root.glob("*/"):
            yield f"control group {path}"


def _processes(instance: Instance, *, own: bool) -> Iterator[str]:
    """Processes in the instance's control groups or started with its root; `own`: its two processes too."""
    mine = set() if own else set(instance.processes().values())
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            groups = (directory / "cgroup").read_text()
            variables = (directory / "environ").read_bytes().split(b"\0")
            words = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        if int(directory.name) in mine or not words:
            continue
        ours = f"EDGEVIRT_ROOT={instance.root}".encode() in variables and "edgevirt.install" in words
        if f"/{instance.cgroup}/" in groups or ours or str(instance.root) in words:
            yield f"process {directory.name} ({words[:120]})"


def _mounts(instance: Instance) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in lines]
    return [point for point in points if point.startswith(f"{instance.root}/")]


def _links() -> list[str]:
    return [entry["ifname"] for entry in _json("ip", "-j", "link")]


def _ports_of(bridge: str) -> list[str]:
    return [entry["ifname"] for entry in _json("ip", "-j", "link") if entry.get("master") == bridge]


def _tables() -> list[str]:
    listed = _json("nft", "-j", "list", "tables")["nftables"]
    return [entry["table"]["name"] for entry in listed if "table" in entry]


def _json(*command: str) -> list[dict[str, str]]:
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def _cgroup_roots(instance: Instance) -> list[Path]:
    places = (_CGROUPS / instance.cgroup, *_CGROUPS.glob(f"*/{instance.cgroup}"))
    return [path for path in places if path.is_dir()]
