"""VirtualMachine: a machine that keeps its identity and disks whether it runs or not."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import field

from edgevirt.api.cdi import DataVolumeSpec
from edgevirt.api.kubevirt.devices import Disk
from edgevirt.api.kubevirt.instance import (
    ChangedBlockTrackingStatus,
    StorageMigratedVolumeInfo,
    VirtualMachineInstanceSpec,
)
from edgevirt.api.kubevirt.volumes import DataVolumeSource, PersistentVolumeClaimVolumeSource
from edgevirt.api.meta import KubeObject, Struct, Time
from edgevirt.api.schema import ATOMIC, REQUIRED, Schema


class DataVolumeTemplateDummyStatus(Struct):
    """Never filled; older clients send it."""


class DataVolumeTemplateSpec(KubeObject):
    """A DataVolume made for the machine and deleted with it."""

    spec: DataVolumeSpec
    """The DataVolume's spec."""
    status: Annotated[DataVolumeTemplateDummyStatus | None, Schema(nullable=True)] = None
    """Never filled."""


class InstancetypeMatcher(Struct):
    """The instance type of the machine."""

    infer_from_volume: str = ""
    """Take it from the labels of this volume."""
    infer_from_volume_failure_policy: str = ""
    """If that fails: Reject the machine (default) or Ignore."""
    kind: str = ""
    """Kind; default VirtualMachineClusterInstancetype."""
    name: str = ""
    """Name."""
    revision_name: str = ""
    """Stored revision in use."""


class PreferenceMatcher(Struct):
    """The preference of the machine."""

    infer_from_volume: str = ""
    """Take it from the labels of this volume."""
    infer_from_volume_failure_policy: str = ""
    """If that fails: Reject the machine (default) or Ignore."""
    kind: str = ""
    """Kind; default VirtualMachineClusterPreference."""
    name: str = ""
    """Name."""
    revision_name: str = ""
    """Stored revision in use."""


class TemplateMetadata(Struct):
    """Labels and annotations that every instance of the machine gets; the rest is ignored.

    Not an `ObjectMeta`: manifests made by tools carry a `creationTimestamp: null` here.
    """

    schema: ClassVar[Schema] = Schema(opaque=True, nullable=True)

    annotations: dict[str, str] = field(default_factory=dict)
    """Annotations of the instance."""
    labels: dict[str, str] = field(default_factory=dict)
    """Labels of the instance."""


class VirtualMachineInstanceTemplateSpec(Struct):
    """What each instance of the machine is made from."""

    metadata: TemplateMetadata | None = None
    """Labels and annotations of the instance."""
    spec: VirtualMachineInstanceSpec | None = None
    """The instance's spec."""


class VirtualMachineSpec(Struct):
    """A virtual machine as it is asked for."""

    data_volume_templates: Annotated[
        tuple[DataVolumeTemplateSpec, ...], Schema(item=Schema(nullable=True))
    ] = ()
    """DataVolumes made for the machine."""
    instancetype: InstancetypeMatcher | None = None
    """Instance type that gives CPU, memory and devices."""
    preference: PreferenceMatcher | None = None
    """Preference that fills what is left open."""
    run_strategy: str = ""
    """When an instance runs: Always, Halted, Manual, RerunOnFailure, Once or WaitAsReceiver."""
    running: bool | None = None
    """Older form: true is Always, false is Halted. Excludes `runStrategy`."""
    template: VirtualMachineInstanceTemplateSpec
    """What instances are made from."""
    update_volumes_strategy: str = ""
    """Changed volumes: Replacement at the next start (default), or Migration."""


class ControllerRevisionRef(Struct):
    """A stored revision."""

    name: str = ""
    """Its name."""


class InstancetypeStatusRef(Struct):
    """Instance type or preference in use."""

    controller_revision_ref: ControllerRevisionRef | None = None
    """Stored revision in use."""
    infer_from_volume: str = ""
    """Volume it was taken from."""
    infer_from_volume_failure_policy: str = ""
    """What happens if that fails."""
    kind: str = ""
    """Kind."""
    name: str = ""
    """Name."""


class VirtualMachineCondition(Struct):
    """One statement about the machine."""

    last_probe_time: Annotated[str | None, Schema(format="date-time", nullable=True)] = ""
    """When it was last written."""
    last_transition_time: Annotated[str | None, Schema(format="date-time", nullable=True)] = ""
    """When the status last changed."""
    message: str = ""
    """For people."""
    reason: str = ""
    """One word from a fixed set."""
    status: Annotated[str, REQUIRED] = ""
    """True, False or Unknown."""
    type: str
    """What it is about."""


class VirtualMachineMemoryDumpRequest(Struct):
    """A memory dump somebody asked for."""

    claim_name: str
    """Claim that receives it."""
    end_timestamp: Time = ""
    """When it ended."""
    file_name: str = ""
    """File it went to."""
    message: str = ""
    """For people."""
    phase: str
    """Associating, InProgress, Unmounting, Completed, Dissociating or Failed."""
    remove: bool | None = None
    """The claim is being taken away again."""
    start_timestamp: Time = ""
    """When it began."""


class VirtualMachineStartFailure(Struct):
    """Starts that failed in a row."""

    consecutive_fail_count: int | None = None
    """How many."""
    last_failed_vmiuid: str = field(default="", name="lastFailedVMIUID")
    """uid of the instance that failed last."""
    retry_after_timestamp: Time = ""
    """When the next start is tried."""


class VirtualMachineStateChangeRequest(Struct):
    """A start or stop somebody asked for; only the first in the list is acted on."""

    action: str
    """Start or Stop."""
    data: dict[str, str] = field(default_factory=dict)
    """Details: paused "true" starts with the guest paused."""
    uid: str = ""
    """For Stop: uid of the instance to stop."""


class HotplugVolumeSource(Struct):
    """What is attached: exactly one."""

    data_volume: DataVolumeSource | None = None
    """A DataVolume."""
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    """A persistent volume claim."""


class AddVolumeOptions(Struct):
    """Body of the addvolume request."""

    disk: Disk
    """The disk to add."""
    dry_run: Annotated[tuple[str, ...], ATOMIC] = ()
    """["All"]: check everything, change nothing."""
    name: str
    """Name of disk and volume."""
    volume_source: HotplugVolumeSource
    """What is attached."""


class RemoveVolumeOptions(Struct):
    """Body of the removevolume request."""

    dry_run: Annotated[tuple[str, ...], ATOMIC] = ()
    """["All"]: check everything, change nothing."""
    name: str
    """Name of the volume."""


class VirtualMachineVolumeRequest(Struct):
    """A volume change somebody asked for: exactly one."""

    add_volume_options: AddVolumeOptions | None = None
    """Attach a volume."""
    remove_volume_options: RemoveVolumeOptions | None = None
    """Detach a volume."""


class VolumeSnapshotStatus(Struct):
    """Whether a volume can be snapshotted."""

    enabled: bool
    """Whether it can."""
    name: str
    """Name of the volume."""
    reason: str = ""
    """Why not."""


class VolumeMigrationState(Struct):
    """Volumes that move between claims."""

    migrated_volumes: Annotated[tuple[StorageMigratedVolumeInfo, ...], ATOMIC] = ()
    """Which."""


class VolumeUpdateState(Struct):
    """Changes of volumes under way."""

    volume_migration_state: VolumeMigrationState | None = None
    """Volumes that move."""


class VirtualMachineStatus(Struct):
    """A virtual machine as it is."""

    changed_block_tracking: Annotated[ChangedBlockTrackingStatus | None, Schema(nullable=True)] = None
    """Whether changed blocks are tracked."""
    conditions: tuple[VirtualMachineCondition, ...] = ()
    """Statements about the machine, and all of its instance."""
    created: bool | None = None
    """An instance exists."""
    desired_generation: int | None = None
    """Generation of the machine as it is asked for."""
    instancetype_ref: Annotated[InstancetypeStatusRef | None, Schema(nullable=True)] = None
    """Instance type in use."""
    memory_dump_request: Annotated[VirtualMachineMemoryDumpRequest | None, Schema(nullable=True)] = None
    """Latest memory dump."""
    observed_generation: int | None = None
    """Generation the running instance was made from."""
    preference_ref: Annotated[InstancetypeStatusRef | None, Schema(nullable=True)] = None
    """Preference in use."""
    printable_status: Annotated[str, Schema(default="Stopped")] = ""
    """One word for people."""
    ready: bool | None = None
    """The instance runs and is ready."""
    restore_in_progress: str = ""
    """Restore under way."""
    run_strategy: str = ""
    """Run strategy last acted on."""
    snapshot_in_progress: str = ""
    """Snapshot under way."""
    start_failure: Annotated[VirtualMachineStartFailure | None, Schema(nullable=True)] = None
    """Starts that failed in a row."""
    state_change_requests: tuple[VirtualMachineStateChangeRequest, ...] = ()
    """Starts and stops asked for."""
    volume_requests: Annotated[tuple[VirtualMachineVolumeRequest, ...], ATOMIC] = ()
    """Volume changes asked for."""
    volume_snapshot_statuses: tuple[VolumeSnapshotStatus, ...] = ()
    """Which volumes can be snapshotted."""
    volume_update_state: VolumeUpdateState | None = None
    """Changes of volumes under way."""


class VirtualMachine(KubeObject):
    """A virtual machine that may run or not, and keeps its identity and disks either way."""

    spec: VirtualMachineSpec
    """What is asked for."""
    status: VirtualMachineStatus | None = None
    """What is."""
