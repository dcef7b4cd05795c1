"""Reasons of Kubernetes events on machines and instances, in KubeVirt's spelling, by who emits them."""

from __future__ import annotations

from enum import StrEnum


class ControllerEvent(StrEnum):
    """By virt-controller, on VirtualMachine (about its instance) and VirtualMachineInstance (its pod)."""

    SUCCESSFUL_CREATE = "SuccessfulCreate"
    FAILED_CREATE = "FailedCreate"
    SUCCESSFUL_DELETE = "SuccessfulDelete"
    FAILED_DELETE = "FailedDelete"
    FAILED_PVC_NOT_FOUND = "FailedPvcNotFound"
    FAILED_GUARANTEE_RESOURCES = "FailedGuaranteeResources"
    FAILED_HAND_OVER = "FailedHandOver"
    FAILED_POD_PATCH = "FailedPodPatch"
    NODE_UNRESPONSIVE = "NodeUnresponsive"
    SUCCESSFUL_DATA_VOLUME_CREATE = "SuccessfulDataVolumeCreate"
    FAILED_DATA_VOLUME_CREATE = "FailedDataVolumeCreate"
    UNAUTHORIZED_DATA_VOLUME_CREATE = "UnauthorizedDataVolumeCreate"
    FAILED_DATA_VOLUME_IMPORT = "FailedDataVolumeImport"
    SOURCE_PVC_NOT_AVAILABLE = "SourcePVCNotAvailabe"


class HandlerEvent(StrEnum):
    """By virt-handler, on VirtualMachineInstance."""

    CREATED = "Created"
    STARTED = "Started"
    SHUTTING_DOWN = "ShuttingDown"
    STOPPED = "Stopped"
    DELETED = "Deleted"
    SYNC_FAILED = "SyncFailed"
    IO_ERROR = "IOerror"
    GUEST_PANICKED = "GuestPanicked"
    GUEST_AGENT_PING_FAILED = "GuestAgentPingFailed"
    PAUSED = "Paused"
    UNPAUSED = "Unpaused"
    RESET = "Reset"
    SOFT_REBOOTED = "SoftRebooted"
    VOLUME_READY = "VolumeReady"
    VOLUME_MOUNTED_TO_POD = "VolumeMountedToPod"
    VOLUME_UNMOUNTED_FROM_POD = "VolumeUnMountedFromPod"
    PREPARING_TARGET = "PreparingTarget"
    MIGRATING = "Migrating"
    MIGRATED = "Migrated"
    RESUMED = "Resumed"
    ACCESS_CREDENTIALS_SYNC_SUCCESS = "AccessCredentialsSyncSuccess"
    ACCESS_CREDENTIALS_SYNC_FAILED = "AccessCredentialsSyncFailed"


class NodeEvent(StrEnum):
    """On Node."""

    NODE_UNRESPONSIVE = "NodeUnresponsive"
