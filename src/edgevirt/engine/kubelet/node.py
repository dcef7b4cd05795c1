"""The Node object: registered once, described when something changes, kept alive by a lease."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgevirt.api import resources
from edgevirt.api.core import Node
from edgevirt.engine.kubelet import processes
from edgevirt.engine.kubelet.devices import DeviceRegistry
from edgevirt.engine.kubelet.settings import Settings
from edgevirt.kube.client import Client, PatchType
from edgevirt.kube.clock import Clock, micro_timestamp, timestamp
from edgevirt.kube.errors import AlreadyExists, KubeError, NotFound

log = logging.getLogger("edgevirt.kubelet")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_LEASES = "kube-node-lease"
_MEMORY_FLOOR = 100 << 20
_DISK_FLOOR = 0.05
_PIDS_FLOOR = 0.05


def architecture() -> str:
    """This machine's architecture as Kubernetes names it."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def labels(settings: Settings) -> dict[str, str]:
    """The labels every node has, and the configured ones."""
    arch = architecture()
    return {
        "kubernetes.io/arch": arch,
        "kubernetes.io/os": "linux",
        "kubernetes.io/hostname": settings.node_name,
        "beta.kubernetes.io/arch": arch,
        "beta.kubernetes.io/os": "linux",
        **dict(settings.node_labels),
    }


def amounts(settings: Settings, devices: DeviceRegistry) -> tuple[dict[str, str], dict[str, str]]:
    """(capacity, allocatable)."""
    cpus = os.cpu_count() or 1
    memory = memory_bytes()
    disk = os.statvfs(settings.root_dir)
    storage = disk.f_blocks * disk.f_frsize
    shared = {"pods": str(settings.max_pods), **hugepages(), **devices.capacity()}
    capacity = {"cpu": str(cpus), "memory": f"{memory >> 10}Ki", "ephemeral-storage": f"{storage >> 10}Ki"}
    free = {
        "cpu": f"{cpus * 1000 - settings.reserved_millicores}m"
        if settings.reserved_millicores
        else str(cpus),
        "memory": f"{max(memory - settings.reserved_memory, 0) >> 10}Ki",
        "ephemeral-storage": str(int(storage * 0.9)),
    }
    return {**capacity, **shared}, {**free, **shared}


def hugepages(root: Path = Path("/sys/kernel/mm/hugepages")) -> dict[str, str]:
    """Reserved huge pages as resources, "hugepages-2Mi"."""
    result = {}
    for entry in sorted(root.glob("hugepages-*kB")):
        size = int(entry.name.removeprefix("hugepages-").removesuffix("kB")) << 10
        with contextlib.suppress(OSError, ValueError):
            count = int((entry / "nr_hugepages").read_text())
            unit = f"{size >> 30}Gi" if size >= 1 << 30 else f"{size >> 20}Mi"
            if size >= 1 << 20:
                result[f"hugepages-{unit}"] = str(count * size)
    return result


def pressures(settings: Settings) -> dict[str, tuple[bool, str, str]]:
    """Condition type -> (true, reason, message)."""
    disk = os.statvfs(settings.root_dir)
    full = disk.f_bavail < disk.f_blocks * _DISK_FLOOR
    available = _meminfo("MemAvailable")
    pids = len([name for name in os.listdir("/proc") if name.isdigit()])
    limit = int(Path("/proc/sys/kernel/pid_max").read_text())
    crowded = pids > limit * (1 - _PIDS_FLOOR)
    short = available < _MEMORY_FLOOR
    return {
        "MemoryPressure": (short, "KubeletHasInsufficientMemory", "less than 100 MiB of memory is available")
        if short
        else (False, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        "DiskPressure": (full, "KubeletHasDiskPressure", f"the disk of {settings.root_dir} is over 95 % full")
        if full
        else (False, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        "PIDPressure": (crowded, "KubeletHasInsufficientPID", "nearly all process ids are in use")
        if crowded
        else (False, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    }


def info(settings: Settings, runtime_version: str) -> dict[str, str]:
    """status.nodeInfo."""
    return {
        "machineID": _read("/etc/machine-id"),
        "systemUUID": _read("/sys/class/dmi/id/product_uuid") or _read("/etc/machine-id"),
        "bootID": processes.boot_id(),
        "kernelVersion": platform.release(),
        "osImage": _os_release(),
        "containerRuntimeVersion": runtime_version,
        "kubeletVersion": settings.version,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": architecture(),
    }


class NodeReporter:
    """Keeps this node's object and lease current until cancelled."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        devices: DeviceRegistry,
        clock: Clock,
        runtime_version: str,
        images: Callable[[], list[dict[str, Any]]],
    ) -> None:
        self._settings = settings
        self._client = client
        self._devices = devices
        self._clock = clock
        self._runtime_version = runtime_version
        self._images = images
        self._changed = asyncio.Event()
        self._last: dict[str, Any] = {}
        self._since: dict[str, tuple[bool, str]] = {}
        self._uid = ""
        devices.on_change(self._changed.set)

    async def register(self) -> None:
        """Create or adopt the Node and report Ready; retries until the API server answers."""
        delay = 0.2
        while True:
            try:
                await self._ensure()
                await self._status(force=True)
                return
            except KubeError as error:
                log.warning(
                    "node not registered, trying again", extra={"node": self._name, "error": str(error)}
                )
            await self._clock.sleep(delay)
            delay = min(delay * 2, 5.0)

    def notice(self) -> None:
        """Something the status tells may have changed (an image, a device)."""
        self._changed.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._beat())
            tasks.create_task(self._describe())

    @property
    def _name(self) -> str:
        return self._settings.node_name

    async def _ensure(self) -> None:
        wanted = labels(self._settings)
        try:
            node: Node = await self._client.get(resources.NODES, self._name)
        except NotFound:
            body = {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": self._name, "labels": wanted},
                "spec": {},
            }
            try:
                node = await self._client.create(resources.NODES, body)
            except AlreadyExists:
                node = await self._client.get(resources.NODES, self._name)
        missing = {key: value for key, value in wanted.items() if node.metadata.labels.get(key) != value}
        if missing:
            await self._client.patch(resources.NODES, self._name, {"metadata": {"labels": missing}})
        self._uid = node.metadata.uid
        for condition in node.status.conditions if node.status else ():
            self._since[condition.type] = (condition.status == "True", condition.last_transition_time)

    async def _beat(self) -> None:
        while True:
            try:
                await self._renew()
            except KubeError as error:
                log.warning("lease not renewed", extra={"node": self._name, "error": str(error)})
            await self._clock.sleep(self._settings.heartbeat_interval)

    async def _renew(self) -> None:
        spec = {
            "holderIdentity": self._name,
            "leaseDurationSeconds": self._settings.lease_seconds,
            "renewTime": micro_timestamp(self._clock.now()),
        }
        try:
            await self._client.patch(resources.LEASES, self._name, {"spec": spec}, namespace=_LEASES)
        except NotFound:
            owner = {"apiVersion": "v1", "kind": "Node", "name": self._name, "uid": self._uid}
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name, "namespace": _LEASES, "ownerReferences": [owner]},
                "spec": spec,
            }
            await self._client.create(resources.LEASES, body, namespace=_LEASES)

    async def _describe(self) -> None:
        next_full = self._clock.monotonic() + self._settings.status_interval
        while True:
            timer = self._clock.call_later(self._settings.heartbeat_interval, self._changed.set)
            await self._changed.wait()
            timer.cancel()
            self._changed.clear()
            force = self._clock.monotonic() >= next_full
            try:
                await self._status(force=force)
            except NotFound:
                await self.register()  # somebody deleted the node; we are still here
            except KubeError as error:
                log.warning("node status not written", extra={"node": self._name, "error": str(error)})
                continue
            if force:
                next_full = self._clock.monotonic() + self._settings.status_interval

    async def _status(self, *, force: bool) -> None:
        capacity, allocatable = amounts(self._settings, self._devices)
        conditions = {
            **pressures(self._settings),
            "Ready": (True, "KubeletReady", "kubelet is posting ready status"),
        }
        wanted: dict[str, Any] = {
            "addresses": [
                {"type": "InternalIP", "address": self._settings.address},
                {"type": "Hostname", "address": self._name},
            ],
            "capacity": capacity,
            "allocatable": allocatable,
            "nodeInfo": info(self._settings, self._runtime_version),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._settings.port}},
            "images": self._images(),
            "conditions": [[kind, *told] for kind, told in conditions.items()],
        }
        if wanted == self._last and not force:
            return
        withdrawn = set(self._last.get("capacity", {})) - set(capacity)
        now = timestamp(self._clock.now())
        patch = dict(wanted)
        for key in ("capacity", "allocatable"):
            patch[key] = {**wanted[key], **dict.fromkeys(withdrawn)}
        patch["conditions"] = [
            {
                "type": kind,
                "status": "True" if true else "False",
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": self._transition(kind, true, now),
            }
            for kind, (true, reason, message) in conditions.items()
        ]
        await self._client.patch(
            resources.NODES, self._name, {"status": patch}, type=PatchType.STRATEGIC, subresource="status"
        )
        self._last = wanted

    def _transition(self, kind: str, true: bool, now: str) -> str:
        before = self._since.get(kind)
        if before is None or before[0] != true:
            self._since[kind] = before = (true, now)
        return before[1] or now


def runtime_version(program: Path) -> str:
    """ "crun://1.8.1"."""
    import subprocess

    done = subprocess.run(
        [str(program), "--version"],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
        env={"PATH": "/usr/bin"},
    )
    words = done.stdout.split()
    return f"{program.name}://{words[2] if len(words) > 2 else 'unknown'}"


def storage_bytes(root: Path) -> int:
    return shutil.disk_usage(root).total


def _meminfo(key: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == key:
            return int(rest.split()[0]) << 10
    return 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _os_release() -> str:
    for line in _read("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "Linux"
