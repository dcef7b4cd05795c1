"""From a pod's container to the OCI runtime's config.json (pure).

Whatever has to be looked up (image, user, environment, volumes, device numbers) comes in as `Inputs`; this
module decides only how it is written. No capability and no limit beyond our own is ever asked for, because
the runtime would fail.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from edgevirt.api.core import Container, Pod, SecurityContext, Volume, VolumeMount
from edgevirt.engine.kubelet import capabilities, resources, seccomp
from edgevirt.engine.kubelet.devices import DeviceNode
from edgevirt.engine.kubelet.users import User

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOFILE = 1 << 20
_MASKED = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
]
_READONLY = ["/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_DEFAULT_DEVICES = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2))


@dataclasses.dataclass(frozen=True, slots=True)
class Mount:
    """Something of the host at `target` in the container. `read_only_below`: and what is mounted in it."""

    source: str
    target: str
    read_only: bool = False
    propagation: str = "private"
    recursive: bool = False
    read_only_below: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """What this machine allows. `bounding`: our capabilities without CAP_; `nofile`: our hard limit."""

    bounding: frozenset[str]
    nofile: int
    oom_score_adj: int
    memory: int


@dataclasses.dataclass(frozen=True, slots=True)
class Inputs:
    """`namespaces` maps an OCI namespace type to the file to join; `masks` and `empties` are the host
    image's: unreadable directories, and places that start as an empty, writable tmpfs."""

    pod: Pod
    container: Container
    rootfs: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    user: User
    cgroup: str
    namespaces: Mapping[str, str]
    mounts: Sequence[Mount]
    devices: Sequence[DeviceNode]
    node: Node
    shm: str = ""
    memory_limit: int | None = None
    masks: Sequence[str] = ()
    empties: Sequence[str] = ()


def build(inputs: Inputs) -> dict[str, Any]:
    """The whole config.json."""
    security = inputs.container.security_context
    privileged = bool(security and security.privileged)
    return {
        "ociVersion": "1.0.2",
        "process": _process(inputs, security),
        "root": {
            "path": inputs.rootfs,
            "readonly": bool(security and security.read_only_root_filesystem),
        },
        "mounts": _mounts(inputs, privileged),
        "linux": _linux(inputs, security, privileged),
    }


def _process(inputs: Inputs, security: SecurityContext | None) -> dict[str, Any]:
    granted = capabilities.granted(security, inputs.node.bounding)
    escalation = True
    if security and security.allow_privilege_escalation is not None:
        escalation = security.allow_privilege_escalation
    terminal = bool(inputs.container.tty)
    env = {"PATH": PATH, **({"TERM": "xterm"} if terminal else {}), "HOME": inputs.user.home, **inputs.env}
    nofile = min(_NOFILE, inputs.node.nofile)
    score = resources.oom_score(inputs.pod, inputs.container, inputs.node.memory)
    return {
        "terminal": terminal,
        "user": {
            "uid": inputs.user.uid,
            "gid": inputs.user.gid,
            "additionalGids": [group for group in inputs.user.groups if group != inputs.user.gid],
        },
        "args": list(inputs.argv),
        "env": [f"{name}={value}" for name, value in env.items()],
        "cwd": inputs.cwd or "/",
        "capabilities": {kind: list(granted) for kind in ("bounding", "effective", "permitted")},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": nofile, "soft": nofile}],
        "noNewPrivileges": not escalation,
        # only CAP_SYS_RESOURCE may lower it
        "oomScoreAdj": score
        if "SYS_RESOURCE" in inputs.node.bounding
        else max(score, inputs.node.oom_score_adj),
    }


def _mounts(inputs: Inputs, privileged: bool) -> list[dict[str, Any]]:
    spec = inputs.pod.spec
    assert spec
    result: list[dict[str, Any]] = []
    targets = [mount.target for mount in inputs.mounts]
    for path in inputs.masks:
        inside = any(target.startswith(path.rstrip("/") + "/") for target in targets)
        options = ["nosuid", "nodev", "noexec", "mode=755", *([] if inside else ["ro"])]
        result.append({"destination": path, "type": "tmpfs", "source": "tmpfs", "options": options})
    for path in inputs.empties:
        mode = "1777" if path.endswith("tmp") else "755"
        options = ["nosuid", "nodev", f"mode={mode}"]
        result.append({"destination": path, "type": "tmpfs", "source": "tmpfs", "options": options})
    result += _system_mounts(inputs, privileged)
    for mount in sorted(inputs.mounts, key=lambda m: m.target.rstrip("/").count("/")):
        bind = "rbind" if mount.recursive or mount.propagation != "private" else "bind"
        options = [bind, f"r{mount.propagation}", _writable(mount)]
        result.append(
            {"destination": mount.target, "type": "bind", "source": mount.source, "options": options}
        )
    return result


def _writable(mount: Mount) -> str:
    return "rro" if mount.read_only_below else "ro" if mount.read_only else "rw"


def _system_mounts(inputs: Inputs, privileged: bool) -> list[dict[str, Any]]:
    spec = inputs.pod.spec
    assert spec
    sys_options = ["nosuid", "noexec", "nodev", "rw" if privileged else "ro"]
    result = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {
            "destination": "/dev/mqueue",
            "type": "mqueue",
            "source": "mqueue",
            "options": ["nosuid", "noexec", "nodev"],
        },
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": sys_options},
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", "rw" if privileged else "ro"],
        },
    ]
    if spec.host_pid:
        result[0] = {
            "destination": "/proc",
            "type": "bind",
            "source": "/proc",
            "options": ["rbind", "rprivate"],
        }
    if spec.host_network:  # a sysfs instance shows the network namespace of whoever mounts it
        result[4] = {
            "destination": "/sys",
            "type": "bind",
            "source": "/sys",
            "options": ["rbind", "rprivate", "rw" if privileged else "ro"],
        }
        del result[5]
    if inputs.shm:
        result.append(
            {"destination": "/dev/shm", "type": "bind", "source": inputs.shm, "options": ["bind", "rprivate"]}
        )
    return result


def _linux(inputs: Inputs, security: SecurityContext | None, privileged: bool) -> dict[str, Any]:
    spec = inputs.pod.spec
    assert spec
    namespaces: list[dict[str, str]] = [{"type": "mount"}]
    if not spec.host_pid and "pid" not in inputs.namespaces:
        namespaces.append({"type": "pid"})
    namespaces += [{"type": kind, "path": path} for kind, path in inputs.namespaces.items()]
    linux: dict[str, Any] = {
        "cgroupsPath": inputs.cgroup,
        "namespaces": namespaces,
        "resources": _resources(inputs, privileged),
        "devices": [
            {
                "path": device.path,
                "type": device.kind,
                "major": device.major,
                "minor": device.minor,
                "fileMode": 0o666,
                "uid": 0,
                "gid": 0,
            }
            for device in inputs.devices
        ],
    }
    unmasked = privileged or bool(security and security.proc_mount == "Unmasked")
    if not unmasked:
        linux["maskedPaths"] = list(_MASKED)
        linux["readonlyPaths"] = list(_READONLY)
    if _seccomp_profile(inputs.pod, security) == "RuntimeDefault" and not privileged:
        linux["seccomp"] = seccomp.runtime_default(capabilities.granted(security, inputs.node.bounding))
    if any(mount.propagation in ("shared", "slave") for mount in inputs.mounts):
        shared = any(mount.propagation == "shared" for mount in inputs.mounts)
        linux["rootfsPropagation"] = "rshared" if shared else "rslave"
    return linux


def _seccomp_profile(pod: Pod, security: SecurityContext | None) -> str:
    if security and security.seccomp_profile:
        return security.seccomp_profile.type
    general = pod.spec.security_context if pod.spec else None
    return general.seccomp_profile.type if general and general.seccomp_profile else "Unconfined"


def _resources(inputs: Inputs, privileged: bool) -> dict[str, Any]:
    limits = resources.of_container(inputs.container.resources)
    cpu: dict[str, Any] = {"shares": limits.cpu_shares}
    if limits.cpu_quota is not None:
        cpu |= {"quota": limits.cpu_quota, "period": resources.CPU_PERIOD}
    result: dict[str, Any] = {"cpu": cpu, "devices": _device_rules(inputs, privileged)}
    if inputs.memory_limit is not None:
        result["memory"] = {"limit": inputs.memory_limit}
    if pages := list(resources.hugepages(inputs.container.resources)):
        result["hugepageLimits"] = [{"pageSize": size, "limit": limit} for size, limit in pages]
    return result


def _device_rules(inputs: Inputs, privileged: bool) -> list[dict[str, Any]]:
    if privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    rules += [
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
        for major, minor in _DEFAULT_DEVICES
    ]
    rules.append({"allow": True, "type": "c", "major": 136, "access": "rwm"})  # terminals of devpts
    rules += [
        {"allow": True, "type": d.kind, "major": d.major, "minor": d.minor, "access": "rwm"}
        for d in inputs.devices
    ]
    return rules


_PROPAGATION = {"": "private", "None": "private", "HostToContainer": "slave", "Bidirectional": "shared"}


def volume_mount(mount: VolumeMount, source: str, volume: Volume, *, read_only: bool) -> Mount:
    """How a volumeMount is mounted; `read_only` if the volume itself is."""
    recursive = volume.host_path is not None or mount.mount_propagation not in ("", "None")
    return Mount(
        source=source,
        target=mount.mount_path,
        read_only=read_only or bool(mount.read_only),
        propagation=_PROPAGATION.get(mount.mount_propagation, "private"),
        recursive=recursive,
        read_only_below=bool(mount.read_only) and mount.recursive_read_only in ("Enabled", "IfPossible"),
    )
