"""The devices a launcher pod asks for, announced as extended resources of the node.

Who keeps the register differs: on a real cluster it is the kubelet's device-plugin socket, on the embedded
engine the kubelet itself. KVM is announced only when it is proven, so that a pod that gets it can use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from edgevirt.api.kubevirt.labels import DEVICE_KVM, DEVICE_TUN, DEVICE_VHOST_NET
from edgevirt.virt_handler.kvm_probe import KVM_DEVICE, Verdict

COUNT = 1000
"""How many of each a node has; every VMI takes one, so this is the most VMIs a node can run."""

_TUN_DEVICE = Path("/dev/net/tun")
_VHOST_NET_DEVICE = Path("/dev/vhost-net")


class DeviceRegistry(Protocol):
    """Announces that this node has `count` of `resource_name`, each giving its pod `device_paths`.

    Announcing again replaces.
    """

    def register(self, resource_name: str, count: int, device_paths: Sequence[str]) -> None: ...


def announce(registry: DeviceRegistry, verdict: Verdict) -> None:
    """Register what this node offers launcher pods."""
    for resource, path, offered in (
        (DEVICE_TUN, _TUN_DEVICE, _TUN_DEVICE.exists()),
        (DEVICE_VHOST_NET, _VHOST_NET_DEVICE, _VHOST_NET_DEVICE.exists()),
        (DEVICE_KVM, KVM_DEVICE, verdict.proven),
    ):
        if offered:
            registry.register(resource, COUNT, (str(path),))
