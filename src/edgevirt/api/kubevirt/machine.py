"""kubevirt.io/v1 types: machine."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.cdi import DataVolumeSpec
from edgevirt.api.kubevirt.devices import Disk
from edgevirt.api.kubevirt.instance import (
    ChangedBlockTrackingStatus,
    StorageMigratedVolumeInfo,
    VirtualMachineInstanceSpec,
)
from edgevirt.api.kubevirt.volumes import DataVolumeSource, PersistentVolumeClaimVolumeSource
from edgevirt.api.meta import KubeObject, ObjectMeta, Struct, Time


class DataVolumeTemplateDummyStatus(Struct):
    pass


class DataVolumeTemplateSpec(KubeObject):
    spec: DataVolumeSpec
    status: DataVolumeTemplateDummyStatus | None = None


class InstancetypeMatcher(Struct):
    infer_from_volume: str = ""
    infer_from_volume_failure_policy: str = ""
    kind: str = ""
    name: str = ""
    revision_name: str = ""


class PreferenceMatcher(Struct):
    infer_from_volume: str = ""
    infer_from_volume_failure_policy: str = ""
    kind: str = ""
    name: str = ""
    revision_name: str = ""


class VirtualMachineInstanceTemplateSpec(Struct):
    metadata: ObjectMeta | None = None
    spec: VirtualMachineInstanceSpec | None = None


class VirtualMachineSpec(Struct):
    data_volume_templates: tuple[DataVolumeTemplateSpec, ...] = ()
    instancetype: InstancetypeMatcher | None = None
    preference: PreferenceMatcher | None = None
    run_strategy: str = ""
    running: bool | None = None
    template: VirtualMachineInstanceTemplateSpec
    update_volumes_strategy: str = ""


class ControllerRevisionRef(Struct):
    name: str = ""


class InstancetypeStatusRef(Struct):
    controller_revision_ref: ControllerRevisionRef | None = None
    infer_from_volume: str = ""
    infer_from_volume_failure_policy: str = ""
    kind: str = ""
    name: str = ""


class VirtualMachineCondition(Struct):
    last_probe_time: str = ""
    last_transition_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str


class VirtualMachineMemoryDumpRequest(Struct):
    claim_name: str
    end_timestamp: Time = ""
    file_name: str = ""
    message: str = ""
    phase: str
    remove: bool | None = None
    start_timestamp: Time = ""


class VirtualMachineStartFailure(Struct):
    consecutive_fail_count: int | None = None
    last_failed_vmiuid: str = field(default="", name="lastFailedVMIUID")
    retry_after_timestamp: Time = ""


class VirtualMachineStateChangeRequest(Struct):
    action: str
    data: dict[str, str] = field(default_factory=dict)
    uid: str = ""


class HotplugVolumeSource(Struct):
    data_volume: DataVolumeSource | None = None
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None


class AddVolumeOptions(Struct):
    disk: Disk
    dry_run: tuple[str, ...] = ()
    name: str
    volume_source: HotplugVolumeSource


class RemoveVolumeOptions(Struct):
    dry_run: tuple[str, ...] = ()
    name: str


class VirtualMachineVolumeRequest(Struct):
    add_volume_options: AddVolumeOptions | None = None
    remove_volume_options: RemoveVolumeOptions | None = None


class VolumeSnapshotStatus(Struct):
    enabled: bool
    name: str
    reason: str = ""


class VolumeMigrationState(Struct):
    migrated_volumes: tuple[StorageMigratedVolumeInfo, ...] = ()


class VolumeUpdateState(Struct):
    volume_migration_state: VolumeMigrationState | None = None


class VirtualMachineStatus(Struct):
    changed_block_tracking: ChangedBlockTrackingStatus | None = None
    conditions: tuple[VirtualMachineCondition, ...] = ()
    created: bool | None = None
    desired_generation: int | None = None
    instancetype_ref: InstancetypeStatusRef | None = None
    memory_dump_request: VirtualMachineMemoryDumpRequest | None = None
    observed_generation: int | None = None
    preference_ref: InstancetypeStatusRef | None = None
    printable_status: str = ""
    ready: bool | None = None
    restore_in_progress: str = ""
    run_strategy: str = ""
    snapshot_in_progress: str = ""
    start_failure: VirtualMachineStartFailure | None = None
    state_change_requests: tuple[VirtualMachineStateChangeRequest, ...] = ()
    volume_requests: tuple[VirtualMachineVolumeRequest, ...] = ()
    volume_snapshot_statuses: tuple[VolumeSnapshotStatus, ...] = ()
    volume_update_state: VolumeUpdateState | None = None


class VirtualMachine(KubeObject):
    spec: VirtualMachineSpec
    status: VirtualMachineStatus | None = None
