"""VirtualMachineInstance: one run of a virtual machine, what is asked for and what is."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from edgevirt.api.core import Affinity, PodDNSConfig, Toleration, TopologySpreadConstraint
from edgevirt.api.kubevirt.credentials import AccessCredential
from edgevirt.api.kubevirt.domain import DomainSpec, Machine
from edgevirt.api.kubevirt.migration_state import VirtualMachineInstanceMigrationState
from edgevirt.api.kubevirt.networks import Network
from edgevirt.api.kubevirt.probes import Probe
from edgevirt.api.kubevirt.volumes import UtilityVolume, Volume
from edgevirt.api.meta import KubeObject, Quantity, Struct, Time
from edgevirt.api.schema import ATOMIC, REQUIRED, Schema


class VirtualMachineInstanceResourceClaim(Struct):
    """A resource claim the instance's devices come from."""

    name: str
    """Name devices refer to it by."""
    resource_claim_name: str = ""
    """An existing claim."""
    resource_claim_template_name: str = ""
    """Template to make a claim from."""


class VirtualMachineInstanceSpec(Struct):
    """One run of a virtual machine, as it is asked for."""

    access_credentials: Annotated[
        tuple[AccessCredential, ...], Schema(list_type="atomic", max_items=256)
    ] = ()
    """Keys and passwords for the guest."""
    affinity: Affinity | None = None
    """Rules about nodes and neighbours."""
    architecture: str = ""
    """CPU architecture: amd64, arm64 or s390x."""
    dns_config: PodDNSConfig | None = None
    """Name resolution settings beyond the policy."""
    dns_policy: str = ""
    """Where name resolution settings come from."""
    domain: DomainSpec
    """The guest's hardware."""
    eviction_strategy: str = ""
    """When the node is drained: None, LiveMigrate, LiveMigrateIfPossible or External."""
    hostname: str = ""
    """Host name of the guest; default: the instance's name."""
    liveness_probe: Probe | None = None
    """The instance is ended when this check fails."""
    networks: Annotated[tuple[Network, ...], Schema(max_items=256)] = ()
    """Networks; each has one interface of its name."""
    node_selector: dict[str, str] = field(default_factory=dict)
    """Labels the node must carry."""
    priority_class_name: str = ""
    """Priority of the launcher pod."""
    readiness_probe: Probe | None = None
    """The instance is not ready while this check fails."""
    resource_claims: Annotated[
        tuple[VirtualMachineInstanceResourceClaim, ...], Schema(list_type="map", map_keys=("name",))
    ] = ()
    """Claims that devices come from."""
    scheduler_name: str = ""
    """Scheduler that places the instance."""
    service_account_name: str = ""
    """Service account of the launcher pod."""
    start_strategy: str = ""
    """Paused: start with the guest paused."""
    subdomain: str = ""
    """Domain of the guest's name within the namespace."""
    termination_grace_period_seconds: int | None = None
    """Seconds the guest has to shut down before it is killed; default 30."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints of nodes that are tolerated."""
    topology_spread_constraints: Annotated[
        tuple[TopologySpreadConstraint, ...],
        Schema(list_type="map", map_keys=("topologyKey", "whenUnsatisfiable")),
    ] = ()
    """How instances spread over groups of nodes."""
    utility_volumes: Annotated[
        tuple[UtilityVolume, ...], Schema(max_items=256, list_type="map", map_keys=("name",))
    ] = ()
    """Claims for the launcher's own use."""
    volumes: Annotated[tuple[Volume, ...], Schema(max_items=256)] = ()
    """Volumes; disks show them by name."""


class CPUTopology(Struct):
    """A count of processors by level."""

    cores: int | None = None
    """Cores per socket."""
    sockets: int | None = None
    """Sockets."""
    threads: int | None = None
    """Threads per core."""


class VirtualMachineInstanceBackupVolumeInfo(Struct):
    """A volume in a backup."""

    volume_name: str
    """Its name."""


class VirtualMachineInstanceBackupStatus(Struct):
    """A backup of the instance, running or ended."""

    backup_msg: str = ""
    """More about how it went."""
    backup_name: str = ""
    """Name of the backup object."""
    checkpoint_name: str = ""
    """Checkpoint later backups can start from."""
    completed: bool | None = None
    """Whether it ended."""
    end_timestamp: Time = ""
    """When it ended."""
    failed: bool | None = None
    """Whether it failed."""
    quiesce_status: str = ""
    """Whether the guest's file systems were frozen."""
    start_timestamp: Time = ""
    """When it began."""
    volumes: Annotated[tuple[VirtualMachineInstanceBackupVolumeInfo, ...], ATOMIC] = ()
    """What it contains."""


class ChangedBlockTrackingStatus(Struct):
    """Whether changed blocks are tracked."""

    backup_status: Annotated[VirtualMachineInstanceBackupStatus | None, Schema(nullable=True)] = None
    """The latest backup."""
    state: str
    """PendingRestart, Initializing, Enabled, Disabled or IncrementalBackupFeatureGateDisabled."""


class InitrdInfo(Struct):
    """The initial RAM disk in use."""

    checksum: Annotated[int | None, Schema(minimum=0, maximum=2**32 - 1)] = None
    """CRC-32 of the file."""


class KernelInfo(Struct):
    """The kernel in use."""

    checksum: Annotated[int | None, Schema(minimum=0, maximum=2**32 - 1)] = None
    """CRC-32 of the file."""


class KernelBootStatus(Struct):
    """What a direct kernel boot used."""

    initrd_info: InitrdInfo | None = None
    """Initial RAM disk."""
    kernel_info: KernelInfo | None = None
    """Kernel."""


class MemoryStatus(Struct):
    """The guest's memory as it is."""

    guest_at_boot: Quantity | None = None
    """What it booted with."""
    guest_current: Quantity | None = None
    """What it has now."""
    guest_requested: Quantity | None = None
    """What it was asked to have."""
    memory_overhead: Quantity | None = None
    """What QEMU and the launcher are given beyond it."""


class PersistentVolumeClaimInfo(Struct):
    """Facts about a claim in use."""

    access_modes: Annotated[tuple[str, ...], ATOMIC] = ()
    """Its access modes."""
    capacity: dict[str, Quantity] = field(default_factory=dict)
    """Its size."""
    claim_name: str = ""
    """Its name."""
    filesystem_overhead: Annotated[str, Schema(pattern=r"^(0(?:\.\d{1,3})?|1)$")] = ""
    """Share of the size lost to the file system, 0 to 1."""
    preallocated: bool | None = None
    """Whether its space is allocated already."""
    requests: dict[str, Quantity] = field(default_factory=dict)
    """Size asked for."""
    volume_mode: str = ""
    """Block or Filesystem."""


class StorageMigratedVolumeInfo(Struct):
    """A volume that moves between claims."""

    destination_pvc_info: PersistentVolumeClaimInfo | None = field(default=None, name="destinationPVCInfo")
    """Claim it moves to."""
    source_pvc_info: PersistentVolumeClaimInfo | None = field(default=None, name="sourcePVCInfo")
    """Claim it moves from."""
    volume_name: str
    """Its name."""


class TopologyHints(Struct):
    """Needs found out when the instance was created."""

    tsc_frequency: int | None = None
    """TSC frequency in Hz the node must offer."""


class VirtualMachineInstanceCondition(Struct):
    """One statement about the instance."""

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


class VirtualMachineInstanceGuestOSInfo(Struct):
    """The guest's operating system, as its agent tells."""

    id: str = ""
    """Short name, e.g. fedora."""
    kernel_release: str = ""
    """Release of the kernel."""
    kernel_version: str = ""
    """Version of the kernel."""
    machine: str = ""
    """Machine type, e.g. x86_64."""
    name: str = ""
    """Name."""
    pretty_name: str = ""
    """Name and version."""
    version: str = ""
    """Version."""
    version_id: str = ""
    """Version number."""


class VirtualMachineInstanceNetworkInterface(Struct):
    """A network interface as it is."""

    info_source: str = ""
    """Who told: domain, guest-agent, multus-status, separated by commas."""
    interface_name: str = ""
    """The guest's own name for it."""
    ip_address: str = ""
    """First address."""
    ip_addresses: tuple[str, ...] = ()
    """All addresses."""
    link_state: str = ""
    """up or down."""
    mac: str = ""
    """MAC address."""
    name: str = ""
    """Name in the spec; empty for one only the guest knows."""
    pod_interface_name: str = ""
    """The pod's name for it."""
    queue_count: int | None = None
    """Queues it has."""


class VirtualMachineInstancePhaseTransitionTimestamp(Struct):
    """When a phase was first reached."""

    phase: str = ""
    """The phase."""
    phase_transition_timestamp: Time = ""
    """When."""


class ContainerDiskInfo(Struct):
    """The container disk in use."""

    checksum: Annotated[int | None, Schema(minimum=0, maximum=2**32 - 1)] = None
    """CRC-32 of the image."""


class DomainMemoryDumpInfo(Struct):
    """A memory dump."""

    claim_name: str = ""
    """Claim it went to."""
    end_timestamp: Time = ""
    """When it ended."""
    start_timestamp: Time = ""
    """When it began."""
    target_file_name: str = ""
    """File it went to."""


class HotplugVolumeStatus(Struct):
    """How a volume is attached while the guest runs."""

    attach_pod_name: str = ""
    """Pod that holds it."""
    attach_pod_uid: str = field(default="", name="attachPodUID")
    """uid of that pod."""


class VolumeStatus(Struct):
    """A volume as it is."""

    container_disk_volume: ContainerDiskInfo | None = None
    """Facts about a container disk."""
    hotplug_volume: HotplugVolumeStatus | None = None
    """How it is attached, if hot-plugged."""
    memory_dump_volume: DomainMemoryDumpInfo | None = None
    """Memory dump it received."""
    message: str = ""
    """For people."""
    name: str
    """Name in the spec."""
    persistent_volume_claim_info: PersistentVolumeClaimInfo | None = None
    """Facts about its claim."""
    phase: str = ""
    """How far attaching or detaching got."""
    reason: str = ""
    """One word for the phase."""
    size: int | None = None
    """Bytes."""
    target: str
    """Device name in the guest, e.g. vda."""


class VirtualMachineInstanceStatus(Struct):
    """One run of a virtual machine, as it is."""

    vsock_cid: Annotated[int | None, Schema(minimum=0, maximum=2**32 - 1)] = field(
        default=None, name="VSOCKCID"
    )
    """Context id of the vsock device."""
    active_pods: dict[str, str] = field(default_factory=dict)
    """uid of each live launcher pod, and its node."""
    changed_block_tracking: Annotated[ChangedBlockTrackingStatus | None, Schema(nullable=True)] = None
    """Whether changed blocks are tracked."""
    conditions: tuple[VirtualMachineInstanceCondition, ...] = ()
    """Statements about the instance."""
    current_cpu_topology: CPUTopology | None = field(default=None, name="currentCPUTopology")
    """Processors the guest has now."""
    evacuation_node_name: str = ""
    """Node the instance must leave."""
    fs_freeze_status: str = ""
    """frozen while the guest's file systems are."""
    guest_os_info: VirtualMachineInstanceGuestOSInfo | None = field(default=None, name="guestOSInfo")
    """The guest's operating system."""
    interfaces: tuple[VirtualMachineInstanceNetworkInterface, ...] = ()
    """Network interfaces."""
    kernel_boot_status: KernelBootStatus | None = None
    """What a direct kernel boot used."""
    launcher_container_image_version: str = ""
    """Image of the launcher."""
    machine: Machine | None = None
    """Machine model in use."""
    memory: MemoryStatus | None = None
    """Memory in use."""
    migrated_volumes: Annotated[tuple[StorageMigratedVolumeInfo, ...], ATOMIC] = ()
    """Volumes that move between claims."""
    migration_method: str = ""
    """LiveMigration, or BlockMigration where disks are copied."""
    migration_state: VirtualMachineInstanceMigrationState | None = None
    """Latest migration."""
    migration_transport: str = ""
    """Unix: migration streams go through sockets."""
    node_name: str = ""
    """Node it runs on."""
    phase: str = ""
    """Pending, Scheduling, Scheduled, Running, Succeeded or Failed."""
    phase_transition_timestamps: Annotated[
        tuple[VirtualMachineInstancePhaseTransitionTimestamp, ...], ATOMIC
    ] = ()
    """When each phase was reached."""
    qos_class: str = ""
    """Quality of service of the launcher pod."""
    reason: str = ""
    """One word for why it failed."""
    runtime_user: int | None = None
    """User id QEMU runs as."""
    selinux_context: str = ""
    """SELinux context of the launcher."""
    topology_hints: TopologyHints | None = None
    """Needs found out at creation."""
    virtual_machine_revision_name: str = ""
    """Revision of the machine it was made from."""
    volume_status: Annotated[tuple[VolumeStatus, ...], ATOMIC] = ()
    """Volumes."""


class VirtualMachineInstance(KubeObject):
    """One run of a virtual machine: from its creation to the end of its guest."""

    spec: VirtualMachineInstanceSpec
    """What is asked for; fixed once created."""
    status: VirtualMachineInstanceStatus | None = None
    """What is."""
