"""Phases of a VirtualMachineInstance and states shown for a VirtualMachine, in KubeVirt's spelling.

The values are part of the API: clients compare them literally. Up to `SCHEDULED` virt-controller writes
the phase, from then on virt-handler does (docs/architecture.md).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """`status.phase` of a VirtualMachineInstance."""

    UNSET = ""
    PENDING = "Pending"
    """Accepted; waits for its disks."""
    SCHEDULING = "Scheduling"
    """The launcher pod exists and waits for a node and its sandbox."""
    SCHEDULED = "Scheduled"
    """The launcher is ready; virt-handler of the node took over."""
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    """The guest ended in an orderly way."""
    FAILED = "Failed"
    """The guest crashed, was killed, or never came up."""
    WAITING_FOR_SYNC = "WaitingForSync"
    UNKNOWN = "Unknown"


FINAL_PHASES: Final = frozenset({Phase.SUCCEEDED, Phase.FAILED})
"""An instance in one of these never runs again."""


def is_final(phase: str) -> bool:
    """Whether an instance in this phase has ended for good."""
    return phase in FINAL_PHASES


class PrintableStatus(StrEnum):
    """`status.printableStatus` of a VirtualMachine: one word for people, first match of a fixed order."""

    STOPPED = "Stopped"
    PROVISIONING = "Provisioning"
    STARTING = "Starting"
    RUNNING = "Running"
    PAUSED = "Paused"
    STOPPING = "Stopping"
    TERMINATING = "Terminating"
    CRASH_LOOP_BACK_OFF = "CrashLoopBackOff"
    MIGRATING = "Migrating"
    UNKNOWN = "Unknown"
    ERROR_UNSCHEDULABLE = "ErrorUnschedulable"
    ERR_IMAGE_PULL = "ErrImagePull"
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff"
    ERROR_PVC_NOT_FOUND = "ErrorPvcNotFound"
    DATA_VOLUME_ERROR = "DataVolumeError"
    WAITING_FOR_VOLUME_BINDING = "WaitingForVolumeBinding"
    WAITING_FOR_RECEIVER = "WaitingForReceiver"


class KubeVirtPhase(StrEnum):
    """`status.phase` of the KubeVirt object."""

    DEPLOYING = "Deploying"
    DEPLOYED = "Deployed"
    DELETING = "Deleting"
    DELETED = "Deleted"


class VolumePhase(StrEnum):
    """`status.volumeStatus[].phase` of a VirtualMachineInstance."""

    PENDING = "Pending"
    BOUND = "Bound"
    ATTACHED_TO_NODE = "AttachedToNode"
    MOUNTED_TO_POD = "MountedToPod"
    READY = "Ready"
    DETACHING = "Detaching"
    UNMOUNTED_FROM_POD = "UnMountedFromPod"
