"""Condition types and reasons, and pure functions over the condition lists of machines and instances.

Types and reasons are KubeVirt's, misspellings included, because clients compare them. A condition that is
set carries both times on the wire: readers that patch with a JSON `test` operation need the keys. Setting a
condition to what it already says returns the same tuple, so an unchanged status causes no write.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TypeVar

import msgspec

from edgevirt.api.kubevirt.installation import KubeVirtCondition
from edgevirt.api.kubevirt.instance import VirtualMachineInstanceCondition
from edgevirt.api.kubevirt.machine import VirtualMachineCondition
from edgevirt.api.meta import Time


class ConditionType(StrEnum):
    """`conditions[].type` of VirtualMachineInstance and VirtualMachine (which copies its instance's)."""

    READY = "Ready"
    POD_SCHEDULED = "PodScheduled"
    PROVISIONING = "Provisioning"
    DATA_VOLUMES_READY = "DataVolumesReady"
    SYNCHRONIZED = "Synchronized"
    PAUSED = "Paused"
    AGENT_CONNECTED = "AgentConnected"
    AGENT_VERSION_NOT_SUPPORTED = "AgentVersionNotSupported"
    ACCESS_CREDENTIALS_SYNCHRONIZED = "AccessCredentialsSynchronized"
    LIVE_MIGRATABLE = "LiveMigratable"
    STORAGE_LIVE_MIGRATABLE = "StorageLiveMigratable"
    HOT_VCPU_CHANGE = "HotVCPUChange"
    HOT_MEMORY_CHANGE = "HotMemoryChange"
    VOLUMES_CHANGE = "VolumesChange"
    MIGRATION_REQUIRED = "MigrationRequired"
    EVICTION_REQUESTED = "EvictionRequested"
    DECENTRALIZED_LIVE_MIGRATION_FAILURE = "DecentralizedLiveMigrationFailure"
    SOFTWARE_EMULATION = "SoftwareEmulation"
    # Only on a VirtualMachine:
    FAILURE = "Failure"
    RESTART_REQUIRED = "RestartRequired"
    MANUAL_RECOVERY_REQUIRED = "ManualRecoveryRequired"


class ConditionStatus(StrEnum):
    """`conditions[].status`."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class ConditionReason(StrEnum):
    """`conditions[].reason`, grouped by the type they belong to."""

    # Ready
    POD_NOT_EXISTS = "PodNotExists"
    POD_TERMINATING = "PodTerminating"
    GUEST_NOT_RUNNING = "GuestNotRunning"
    POD_CONDITION_MISSING = "PodConditionMissing"
    VMI_NOT_EXISTS = "VMINotExists"
    VMI_CONDITION_MISSING = "VMIConditionMissing"
    # PodScheduled
    UNSCHEDULABLE = "Unschedulable"
    # DataVolumesReady
    ALL_DVS_READY = "AllDVsReady"
    NOT_ALL_DVS_READY = "NotAllDVsReady"
    # Synchronized, and Failure of a machine
    FAILED_CREATE = "FailedCreate"
    FAILED_DELETE = "FailedDelete"
    FAILED_UPDATE = "FailedUpdateError"
    FAILED_PVC_NOT_FOUND = "FailedPvcNotFound"
    ERR_IMAGE_PULL = "ErrImagePull"
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff"
    BACKEND_STORAGE_NOT_READY = "BackendStorageNotReady"
    SYNC_WITH_DOMAIN_FAILED = "Synchronizing with the Domain failed."
    FAILED_GUARANTEE_RESOURCES = "FailedGuaranteeResources"
    FIRMWARE_UUID_ERROR = "FirmwareUUIDError"
    # Paused
    PAUSED_BY_USER = "PausedByUser"
    PAUSED_IO_ERROR = "PausedIOError"
    PAUSED_BY_MIGRATION_MONITOR = "PausedByMigrationMonitor"
    # LiveMigratable
    DISKS_NOT_LIVE_MIGRATABLE = "DisksNotLiveMigratable"
    INTERFACE_NOT_LIVE_MIGRATABLE = "InterfaceNotLiveMigratable"
    HOTPLUG_NOT_LIVE_MIGRATABLE = "HotplugNotLiveMigratable"
    CPU_MODE_NOT_LIVE_MIGRATABLE = "CPUModeLiveMigratable"
    HOST_DEVICE_NOT_LIVE_MIGRATABLE = "HostDeviceNotLiveMigratable"
    # StorageLiveMigratable
    NOT_MIGRATABLE = "NotMigratable"


C = TypeVar("C", VirtualMachineInstanceCondition, VirtualMachineCondition, KubeVirtCondition)


def find(conditions: Iterable[C], type: str) -> C | None:
    """The condition of this type, or None."""
    return next((condition for condition in conditions if condition.type == type), None)


def is_true(conditions: Iterable[C], type: str) -> bool:
    """Whether the condition of this type is present with status "True"."""
    condition = find(conditions, type)
    return condition is not None and condition.status == ConditionStatus.TRUE


def with_condition(conditions: tuple[C, ...], condition: C, now: Time) -> tuple[C, ...]:
    """The list with `condition` in place of the one of its type, or appended.

    The times in `condition` are ignored: `lastProbeTime` becomes `now`, `lastTransitionTime` becomes `now`
    only if the status differs from before. If status, reason and message are unchanged, the very same tuple
    is returned.
    """
    before = find(conditions, condition.type)
    if before is None:
        first = msgspec.structs.replace(condition, last_probe_time=now, last_transition_time=now)
        return conditions + (first,)  # noqa: RUF005 - mypy cannot unpack a constrained type variable
    if (before.status, before.reason, before.message) == (
        condition.status,
        condition.reason,
        condition.message,
    ):
        return conditions
    since = before.last_transition_time if before.status == condition.status else now
    after = msgspec.structs.replace(
        condition, last_probe_time=now, last_transition_time=since if since else now
    )
    return tuple(after if each is before else each for each in conditions)


def without_condition(conditions: tuple[C, ...], type: str) -> tuple[C, ...]:
    """The list without the condition of this type; the very same tuple if there is none."""
    if find(conditions, type) is None:
        return conditions
    return tuple(condition for condition in conditions if condition.type != type)
