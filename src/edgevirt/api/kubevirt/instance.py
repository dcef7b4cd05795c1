"""kubevirt.io/v1 types: instance."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.core import Affinity, PodDNSConfig, Toleration, TopologySpreadConstraint
from edgevirt.api.kubevirt.credentials import AccessCredential
from edgevirt.api.kubevirt.domain import DomainSpec, Machine
from edgevirt.api.kubevirt.networks import Network
from edgevirt.api.kubevirt.probes import Probe
from edgevirt.api.kubevirt.volumes import UtilityVolume, Volume
from edgevirt.api.meta import KubeObject, Quantity, Struct, Time


class VirtualMachineInstanceResourceClaim(Struct):
    name: str
    resource_claim_name: str = ""
    resource_claim_template_name: str = ""


class VirtualMachineInstanceSpec(Struct):
    access_credentials: tuple[AccessCredential, ...] = ()
    affinity: Affinity | None = None
    architecture: str = ""
    dns_config: PodDNSConfig | None = None
    dns_policy: str = ""
    domain: DomainSpec
    eviction_strategy: str = ""
    hostname: str = ""
    liveness_probe: Probe | None = None
    networks: tuple[Network, ...] = ()
    node_selector: dict[str, str] = field(default_factory=dict)
    priority_class_name: str = ""
    readiness_probe: Probe | None = None
    resource_claims: tuple[VirtualMachineInstanceResourceClaim, ...] = ()
    scheduler_name: str = ""
    service_account_name: str = ""
    start_strategy: str = ""
    subdomain: str = ""
    termination_grace_period_seconds: int | None = None
    tolerations: tuple[Toleration, ...] = ()
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = ()
    utility_volumes: tuple[UtilityVolume, ...] = ()
    volumes: tuple[Volume, ...] = ()


class CPUTopology(Struct):
    cores: int | None = None
    sockets: int | None = None
    threads: int | None = None


class VirtualMachineInstanceBackupVolumeInfo(Struct):
    volume_name: str


class VirtualMachineInstanceBackupStatus(Struct):
    backup_msg: str = ""
    backup_name: str = ""
    checkpoint_name: str = ""
    completed: bool | None = None
    end_timestamp: Time = ""
    failed: bool | None = None
    quiesce_status: str = ""
    start_timestamp: Time = ""
    volumes: tuple[VirtualMachineInstanceBackupVolumeInfo, ...] = ()


class ChangedBlockTrackingStatus(Struct):
    backup_status: VirtualMachineInstanceBackupStatus | None = None
    state: str


class InitrdInfo(Struct):
    checksum: int | None = None


class KernelInfo(Struct):
    checksum: int | None = None


class KernelBootStatus(Struct):
    initrd_info: InitrdInfo | None = None
    kernel_info: KernelInfo | None = None


class MemoryStatus(Struct):
    guest_at_boot: Quantity | None = None
    guest_current: Quantity | None = None
    guest_requested: Quantity | None = None
    memory_overhead: Quantity | None = None


class PersistentVolumeClaimInfo(Struct):
    access_modes: tuple[str, ...] = ()
    capacity: dict[str, Quantity] = field(default_factory=dict)
    claim_name: str = ""
    filesystem_overhead: str = ""
    preallocated: bool | None = None
    requests: dict[str, Quantity] = field(default_factory=dict)
    volume_mode: str = ""


class StorageMigratedVolumeInfo(Struct):
    destination_pvc_info: PersistentVolumeClaimInfo | None = field(default=None, name="destinationPVCInfo")
    source_pvc_info: PersistentVolumeClaimInfo | None = field(default=None, name="sourcePVCInfo")
    volume_name: str


class TopologyHints(Struct):
    tsc_frequency: int | None = None


class VirtualMachineInstanceCondition(Struct):
    last_probe_time: str = ""
    last_transition_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str


class VirtualMachineInstanceGuestOSInfo(Struct):
    id: str = ""
    kernel_release: str = ""
    kernel_version: str = ""
    machine: str = ""
    name: str = ""
    pretty_name: str = ""
    version: str = ""
    version_id: str = ""


class DowntimeTuningOptions(Struct):
    cooldown_seconds: int | None = None
    initial_ms: int | None = None
    start_after_iteration: int | None = None
    steps: int | None = None


class StallDetectorOptions(Struct):
    completion_timeout_factor: Quantity | None = None
    ewma_alpha: Quantity | None = None
    patience_window_decay_factor: Quantity | None = None
    precopy_possible_factor: Quantity | None = None
    search_local_minima: bool | None = None
    stall_margin: int | None = None
    stall_progress_timeout: int | None = None
    switchover_timeout: int | None = None


class ExperimentalMigrationOptions(Struct):
    compression: str = ""
    downtime_tuning: DowntimeTuningOptions | None = None
    stall_detector: StallDetectorOptions | None = None


class VMIMConfigurationOptions(Struct):
    allow_auto_converge: bool | None = None
    allow_post_copy: bool | None = None
    allow_workload_disruption: bool | None = None
    bandwidth_per_migration: Quantity | None = None
    completion_timeout_per_gib: int | None = field(default=None, name="completionTimeoutPerGiB")
    disable_tls: bool | None = field(default=None, name="disableTLS")
    experimental: ExperimentalMigrationOptions | None = None
    match_se_linux_level_on_migration: bool | None = field(default=None, name="matchSELinuxLevelOnMigration")
    max_downtime_ms: int | None = None
    network: str = ""
    node_drain_taint_key: str = ""
    parallel_migrations_per_cluster: int | None = None
    parallel_outbound_migrations_per_node: int | None = None
    progress_timeout: int | None = None
    unsafe_migration_override: bool | None = None
    utility_volumes_timeout: int | None = None


class VirtualMachineInstanceMigrationSourceState(Struct):
    domain_name: str = ""
    domain_namespace: str = ""
    migration_uid: str = field(default="", name="migrationUID")
    node: str = ""
    node_selectors: dict[str, str] = field(default_factory=dict)
    persistent_state_pvc_name: str = field(default="", name="persistentStatePVCName")
    pod: str = ""
    selinux_context: str = ""
    sync_address: str = ""
    virtual_machine_instance_uid: str = field(default="", name="virtualMachineInstanceUID")


class VirtualMachineInstanceMigrationTargetState(Struct):
    attachment_pod_uid: str = field(default="", name="attachmentPodUID")
    cpu_set: tuple[int, ...] = ()
    direct_migration_node_ports: dict[str, int] = field(default_factory=dict)
    domain_detected: bool | None = None
    domain_name: str = ""
    domain_namespace: str = ""
    domain_ready_timestamp: Time = ""
    migration_uid: str = field(default="", name="migrationUID")
    node: str = ""
    node_address: str = ""
    node_topology: str = ""
    persistent_state_pvc_name: str = field(default="", name="persistentStatePVCName")
    pod: str = ""
    selinux_context: str = ""
    sync_address: str = ""
    virtual_machine_instance_uid: str = field(default="", name="virtualMachineInstanceUID")


class VirtualMachineInstanceMigrationState(Struct):
    abort_requested: bool | None = None
    abort_status: str = ""
    completed: bool | None = None
    end_timestamp: Time = ""
    failed: bool | None = None
    failure_reason: str = ""
    migration_configuration: VMIMConfigurationOptions | None = None
    migration_network_type: str = ""
    migration_policy_name: str = ""
    migration_uid: str = ""
    mode: str = ""
    source_node: str = ""
    source_persistent_state_pvc_name: str = field(default="", name="sourcePersistentStatePVCName")
    source_pod: str = ""
    source_state: VirtualMachineInstanceMigrationSourceState | None = None
    start_timestamp: Time = ""
    target_attachment_pod_uid: str = field(default="", name="targetAttachmentPodUID")
    target_cpu_set: tuple[int, ...] = field(default=(), name="targetCPUSet")
    target_direct_migration_node_ports: dict[str, int] = field(default_factory=dict)
    target_memory_overhead: Quantity | None = None
    target_node: str = ""
    target_node_address: str = ""
    target_node_domain_detected: bool | None = None
    target_node_domain_ready_timestamp: Time = ""
    target_node_topology: str = ""
    target_persistent_state_pvc_name: str = field(default="", name="targetPersistentStatePVCName")
    target_pod: str = ""
    target_state: VirtualMachineInstanceMigrationTargetState | None = None


class VirtualMachineInstanceNetworkInterface(Struct):
    info_source: str = ""
    interface_name: str = ""
    ip_address: str = ""
    ip_addresses: tuple[str, ...] = ()
    link_state: str = ""
    mac: str = ""
    name: str = ""
    pod_interface_name: str = ""
    queue_count: int | None = None


class VirtualMachineInstancePhaseTransitionTimestamp(Struct):
    phase: str = ""
    phase_transition_timestamp: Time = ""


class ContainerDiskInfo(Struct):
    checksum: int | None = None


class DomainMemoryDumpInfo(Struct):
    claim_name: str = ""
    end_timestamp: Time = ""
    start_timestamp: Time = ""
    target_file_name: str = ""


class HotplugVolumeStatus(Struct):
    attach_pod_name: str = ""
    attach_pod_uid: str = field(default="", name="attachPodUID")


class VolumeStatus(Struct):
    container_disk_volume: ContainerDiskInfo | None = None
    hotplug_volume: HotplugVolumeStatus | None = None
    memory_dump_volume: DomainMemoryDumpInfo | None = None
    message: str = ""
    name: str
    persistent_volume_claim_info: PersistentVolumeClaimInfo | None = None
    phase: str = ""
    reason: str = ""
    size: int | None = None
    target: str


class VirtualMachineInstanceStatus(Struct):
    vsock_cid: int | None = field(default=None, name="VSOCKCID")
    active_pods: dict[str, str] = field(default_factory=dict)
    changed_block_tracking: ChangedBlockTrackingStatus | None = None
    conditions: tuple[VirtualMachineInstanceCondition, ...] = ()
    current_cpu_topology: CPUTopology | None = field(default=None, name="currentCPUTopology")
    evacuation_node_name: str = ""
    fs_freeze_status: str = ""
    guest_os_info: VirtualMachineInstanceGuestOSInfo | None = field(default=None, name="guestOSInfo")
    interfaces: tuple[VirtualMachineInstanceNetworkInterface, ...] = ()
    kernel_boot_status: KernelBootStatus | None = None
    launcher_container_image_version: str = ""
    machine: Machine | None = None
    memory: MemoryStatus | None = None
    migrated_volumes: tuple[StorageMigratedVolumeInfo, ...] = ()
    migration_method: str = ""
    migration_state: VirtualMachineInstanceMigrationState | None = None
    migration_transport: str = ""
    node_name: str = ""
    phase: str = ""
    phase_transition_timestamps: tuple[VirtualMachineInstancePhaseTransitionTimestamp, ...] = ()
    qos_class: str = ""
    reason: str = ""
    runtime_user: int | None = None
    selinux_context: str = ""
    topology_hints: TopologyHints | None = None
    virtual_machine_revision_name: str = ""
    volume_status: tuple[VolumeStatus, ...] = ()


class VirtualMachineInstance(KubeObject):
    spec: VirtualMachineInstanceSpec
    status: VirtualMachineInstanceStatus | None = None
