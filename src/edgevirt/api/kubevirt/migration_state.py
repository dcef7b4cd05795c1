"""How the latest live migration of an instance went, as its status tells."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from edgevirt.api.meta import Quantity, Struct, Time
from edgevirt.api.schema import ATOMIC, Schema


class DowntimeTuningOptions(Struct):
    """How the allowed pause grows while a migration goes on."""

    cooldown_seconds: Annotated[int | None, Schema(minimum=1)] = None
    """Least time between two steps."""
    initial_ms: Annotated[int | None, Schema(minimum=1)] = None
    """Pause allowed at first."""
    start_after_iteration: Annotated[int | None, Schema(minimum=1)] = None
    """Pass over the memory after which it grows."""
    steps: Annotated[int | None, Schema(minimum=1)] = None
    """Steps up to the greatest pause."""


class StallDetectorOptions(Struct):
    """How a migration that gets nowhere is recognised."""

    completion_timeout_factor: Quantity | None = None
    """Factor on the time a migration may take."""
    ewma_alpha: Quantity | None = None
    """Weight of the newest measurement, 0 to 1."""
    patience_window_decay_factor: Quantity | None = None
    """How fast patience shrinks."""
    precopy_possible_factor: Quantity | None = None
    """Margin above which pre-copy can still end."""
    search_local_minima: bool | None = None
    """Switch over at a low of what remains."""
    stall_margin: Annotated[int | None, Schema(minimum=0, maximum=100)] = None
    """Percent of progress that does not count."""
    stall_progress_timeout: Annotated[int | None, Schema(minimum=0)] = None
    """Seconds without progress that count as stalled."""
    switchover_timeout: Annotated[int | None, Schema(minimum=0)] = None
    """Seconds to wait for a good moment to switch over."""


class ExperimentalMigrationOptions(Struct):
    """Migration settings that may change."""

    compression: Annotated[str, Schema(enum=("none", "zstd"))] = ""
    """none or zstd."""
    downtime_tuning: DowntimeTuningOptions | None = None
    """How the allowed pause grows."""
    stall_detector: StallDetectorOptions | None = None
    """How stalls are recognised."""


class VMIMConfigurationOptions(Struct):
    """Settings in force for a migration."""

    allow_auto_converge: bool | None = None
    """Slow the guest down if its memory changes too fast."""
    allow_post_copy: bool | None = None
    """Move execution before all memory has moved."""
    allow_workload_disruption: bool | None = None
    """Pause the guest or use post-copy to get done in time."""
    bandwidth_per_migration: Quantity | None = None
    """Bytes per second; 0 is unlimited."""
    completion_timeout_per_gib: int | None = field(default=None, name="completionTimeoutPerGiB")
    """Seconds per GiB of memory before a migration is ended."""
    disable_tls: bool | None = field(default=None, name="disableTLS")
    """Do not encrypt."""
    experimental: ExperimentalMigrationOptions | None = None
    """Settings that may change."""
    match_se_linux_level_on_migration: bool | None = field(default=None, name="matchSELinuxLevelOnMigration")
    """Give the target the source's SELinux level."""
    max_downtime_ms: Annotated[int | None, Schema(minimum=1, maximum=2_000_000)] = None
    """Longest pause at the switch, in milliseconds."""
    network: str = ""
    """Network migrations go over."""
    node_drain_taint_key: str = ""
    """Taint that means: move away."""
    parallel_migrations_per_cluster: int | None = None
    """Migrations at once in all."""
    parallel_outbound_migrations_per_node: int | None = None
    """Migrations at once out of one node."""
    progress_timeout: int | None = None
    """Seconds without progress before a migration is ended."""
    unsafe_migration_override: bool | None = None
    """Migrate even where libvirt thinks it unsafe."""
    utility_volumes_timeout: int | None = None
    """Seconds to wait for utility volumes to be detached."""


class VirtualMachineInstanceMigrationSourceState(Struct):
    """The side a migration leaves."""

    domain_name: str = ""
    """Name of the libvirt domain."""
    domain_namespace: str = ""
    """Namespace of the instance."""
    migration_uid: str = field(default="", name="migrationUID")
    """uid of the migration object there."""
    node: str = ""
    """Node."""
    node_selectors: dict[str, str] = field(default_factory=dict)
    """Labels a target node must carry."""
    persistent_state_pvc_name: str = field(default="", name="persistentStatePVCName")
    """Claim with TPM and UEFI state."""
    pod: str = ""
    """Launcher pod."""
    selinux_context: str = ""
    """SELinux context of the launcher."""
    sync_address: str = ""
    """Where the two sides talk."""
    virtual_machine_instance_uid: str = field(default="", name="virtualMachineInstanceUID")
    """uid of the instance there."""


class VirtualMachineInstanceMigrationTargetState(Struct):
    """The side a migration goes to."""

    attachment_pod_uid: str = field(default="", name="attachmentPodUID")
    """Pod that holds hot-plugged volumes."""
    cpu_set: Annotated[tuple[int, ...], ATOMIC] = ()
    """CPUs set aside."""
    direct_migration_node_ports: dict[str, int] = field(default_factory=dict)
    """Port on the node for each stream."""
    domain_detected: bool | None = None
    """Whether the domain showed up."""
    domain_name: str = ""
    """Name of the libvirt domain."""
    domain_namespace: str = ""
    """Namespace of the instance."""
    domain_ready_timestamp: Time = ""
    """When the domain ran."""
    migration_uid: str = field(default="", name="migrationUID")
    """uid of the migration object there."""
    node: str = ""
    """Node."""
    node_address: str = ""
    """Address of the node."""
    node_topology: str = ""
    """CPU layout of the node."""
    persistent_state_pvc_name: str = field(default="", name="persistentStatePVCName")
    """Claim with TPM and UEFI state."""
    pod: str = ""
    """Launcher pod."""
    selinux_context: str = ""
    """SELinux context of the launcher."""
    sync_address: str = ""
    """Where the two sides talk."""
    virtual_machine_instance_uid: str = field(default="", name="virtualMachineInstanceUID")
    """uid of the instance there."""


class VirtualMachineInstanceMigrationState(Struct):
    """The latest migration of the instance."""

    abort_requested: bool | None = None
    """Somebody asked to end it."""
    abort_status: str = ""
    """How far ending it got: Aborting, Succeeded or Failed."""
    completed: bool | None = None
    """Whether it ended."""
    end_timestamp: Annotated[str | None, Schema(format="date-time", nullable=True)] = ""
    """When it ended."""
    failed: bool | None = None
    """Whether it failed."""
    failure_reason: str = ""
    """Why it failed."""
    migration_configuration: VMIMConfigurationOptions | None = None
    """Settings in force."""
    migration_network_type: str = ""
    """Pod or Migration."""
    migration_policy_name: str = ""
    """Policy that applied."""
    migration_uid: str = ""
    """uid of the migration object."""
    mode: str = ""
    """PreCopy, PostCopy or Paused."""
    source_node: str = ""
    """Node it leaves."""
    source_persistent_state_pvc_name: str = field(default="", name="sourcePersistentStatePVCName")
    """Claim with TPM and UEFI state it leaves."""
    source_pod: str = ""
    """Launcher pod it leaves."""
    source_state: VirtualMachineInstanceMigrationSourceState | None = None
    """The side it leaves."""
    start_timestamp: Annotated[str | None, Schema(format="date-time", nullable=True)] = ""
    """When it began."""
    target_attachment_pod_uid: str = field(default="", name="targetAttachmentPodUID")
    """Pod that holds hot-plugged volumes at the target."""
    target_cpu_set: Annotated[tuple[int, ...], ATOMIC] = field(default=(), name="targetCPUSet")
    """CPUs set aside at the target."""
    target_direct_migration_node_ports: dict[str, int] = field(default_factory=dict)
    """Port on the target node for each stream."""
    target_memory_overhead: Quantity | None = None
    """What QEMU and the launcher are given at the target."""
    target_node: str = ""
    """Node it goes to."""
    target_node_address: str = ""
    """Address of that node."""
    target_node_domain_detected: bool | None = None
    """Whether the domain showed up there."""
    target_node_domain_ready_timestamp: Time = ""
    """When the domain ran there."""
    target_node_topology: str = ""
    """CPU layout of the target node."""
    target_persistent_state_pvc_name: str = field(default="", name="targetPersistentStatePVCName")
    """Claim with TPM and UEFI state it goes to."""
    target_pod: str = ""
    """Launcher pod it goes to."""
    target_state: VirtualMachineInstanceMigrationTargetState | None = None
    """The side it goes to."""
