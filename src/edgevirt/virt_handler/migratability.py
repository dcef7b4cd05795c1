"""Whether a VMI could be moved to another node while it runs, as its LiveMigratable condition says it.

The rules and reasons are KubeVirt's. A VMI that none of them holds back is still reported as not migratable,
with a reason of our own, because this version has no live migration: better than a promise that
`virtctl migrate` breaks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from edgevirt.api.kubevirt import VirtualMachineInstance
from edgevirt.api.kubevirt.conditions import ConditionReason
from edgevirt.api.kubevirt.labels import ALLOW_POD_BRIDGE_MIGRATION
from edgevirt.api.kubevirt.volumes import Volume

NOT_IMPLEMENTED = "LiveMigrationNotSupported"
_SHARED = "ReadWriteMany"


class Obstacle(NamedTuple):
    reason: str
    message: str


def first_obstacle(vmi: VirtualMachineInstance) -> Obstacle:
    """Reason and message of LiveMigratable=False: the first thing that holds the VMI on its node."""
    return next(_obstacles(vmi))


def _obstacles(vmi: VirtualMachineInstance) -> Iterator[Obstacle]:
    yield from _disk_obstacles(vmi)
    yield from _interface_obstacles(vmi)
    domain = vmi.spec.domain
    if domain.devices.filesystems:
        yield Obstacle("VirtIOFSNotLiveMigratable", "a file system is shared with the guest")
    if domain.devices.host_devices or domain.devices.gpus:
        yield Obstacle(
            ConditionReason.HOST_DEVICE_NOT_LIVE_MIGRATABLE,
            "a device of the host is passed through to the guest",
        )
    if domain.cpu is not None and domain.cpu.model == "host-passthrough":
        yield Obstacle(
            ConditionReason.CPU_MODE_NOT_LIVE_MIGRATABLE,
            "the guest uses this node's CPU as it is (host-passthrough)",
        )
    security = domain.launch_security
    if security is not None and security.tdx is not None:
        yield Obstacle("TDXNotLiveMigratable", "the guest's memory is encrypted (TDX)")
    elif security is not None:
        yield Obstacle("SEVNotLiveMigratable", "the guest's memory is encrypted (SEV)")
    yield Obstacle(NOT_IMPLEMENTED, "this version of edgevirt can't migrate a running VM")


def _disk_obstacles(vmi: VirtualMachineInstance) -> Iterator[Obstacle]:
    modes = {
        volume.name: volume.persistent_volume_claim_info.access_modes
        for volume in (vmi.status.volume_status if vmi.status is not None else ())
        if volume.persistent_volume_claim_info is not None
    }
    for volume in vmi.spec.volumes:
        if _has_claim(volume) and _SHARED not in modes.get(volume.name, ()):
            yield Obstacle(
                ConditionReason.DISKS_NOT_LIVE_MIGRATABLE,
                f"volume {volume.name!r} is on a claim that only one node can use ({_SHARED} is missing)",
            )
        elif volume.host_disk is not None and not volume.host_disk.shared:
            yield Obstacle(
                ConditionReason.DISKS_NOT_LIVE_MIGRATABLE, f"volume {volume.name!r} is a file of this node"
            )


def _has_claim(volume: Volume) -> bool:
    return volume.persistent_volume_claim is not None or volume.data_volume is not None


def _interface_obstacles(vmi: VirtualMachineInstance) -> Iterator[Obstacle]:
    pod_networks = {network.name for network in vmi.spec.networks if network.pod is not None}
    for interface in vmi.spec.domain.devices.interfaces:
        if interface.name not in pod_networks:
            continue
        allowed = ALLOW_POD_BRIDGE_MIGRATION in vmi.metadata.annotations
        if interface.bridge is not None and not allowed:
            yield Obstacle(
                ConditionReason.INTERFACE_NOT_LIVE_MIGRATABLE,
                f"interface {interface.name!r} is bridged to the pod network and has this pod's address",
            )
