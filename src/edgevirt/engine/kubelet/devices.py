"""Extended resources backed by device nodes: what a device plugin announces to a kubelet.

A container that requests one of a resource gets all of its device nodes, read-write, and permission for
them in its cgroup. Counting is the scheduler's work, as `count` is announced as the node's capacity.
"""

from __future__ import annotations

import dataclasses
import os
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclasses.dataclass(frozen=True, slots=True)
class DeviceNode:
    """A device file as the runtime creates it. `kind` is "c" or "b"."""

    path: str
    kind: str
    major: int
    minor: int

    @staticmethod
    def of(path: Path) -> DeviceNode:
        """Read the numbers of the host's device file; OSError or ValueError when it is none."""
        info = os.stat(path)
        if stat.S_ISCHR(info.st_mode):
            kind = "c"
        elif stat.S_ISBLK(info.st_mode):
            kind = "b"
        else:
            raise ValueError(f"{path} is not a device file")
        return DeviceNode(str(path), kind, os.major(info.st_rdev), os.minor(info.st_rdev))


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    resource: str
    count: int
    nodes: tuple[DeviceNode, ...]


class DeviceRegistry:
    """Who provides which extended resource on this node. Belongs to one event loop."""

    def __init__(self) -> None:
        self._devices: dict[str, Device] = {}
        self._listeners: list[Callable[[], None]] = []

    def register(self, resource_name: str, count: int, device_paths: Sequence[Path | str]) -> None:
        """Announce `count` of `resource_name` ("devices.kubevirt.io/tun"), or change what was announced.

        ValueError for a name without a domain, a count below 0, or a path that is no device file.
        """
        if not _NAME.fullmatch(resource_name):
            raise ValueError(f"{resource_name!r} is not an extended resource name like example.com/device")
        if count < 0:
            raise ValueError(f"{resource_name}: a count of {count} makes no sense")
        nodes = tuple(DeviceNode.of(Path(path)) for path in device_paths)
        device = Device(resource_name, count, nodes)
        if self._devices.get(resource_name) != device:
            self._devices[resource_name] = device
            self._changed()

    def unregister(self, resource_name: str) -> None:
        """Withdraw the resource; containers that have it keep it. Idempotent."""
        if self._devices.pop(resource_name, None):
            self._changed()

    def get(self, resource_name: str) -> Device | None:
        return self._devices.get(resource_name)

    def capacity(self) -> dict[str, str]:
        return {name: str(device.count) for name, device in sorted(self._devices.items())}

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every change."""
        self._listeners.append(listener)

    def _changed(self) -> None:
        for listener in tuple(self._listeners):
            listener()
