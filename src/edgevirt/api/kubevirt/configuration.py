"""`spec.configuration` of the KubeVirt object: how virtualization is set up, most of it not acted on yet."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from edgevirt.api.kubevirt.host_devices import MediatedDevicesConfiguration, PermittedHostDevices
from edgevirt.api.meta import LabelSelector, Quantity, Struct
from edgevirt.api.schema import ATOMIC, Schema


class ArchSpecificConfiguration(Struct):
    """Settings of one architecture."""

    emulated_machines: Annotated[tuple[str, ...], ATOMIC] = ()
    """Patterns of machine types that are allowed."""
    machine_type: str = ""
    """Machine type if none is given."""
    ovmf_path: str = ""
    """Directory of UEFI firmware."""


class ArchConfiguration(Struct):
    """Settings by architecture."""

    amd64: ArchSpecificConfiguration | None = None
    """64-bit x86."""
    arm64: ArchSpecificConfiguration | None = None
    """64-bit ARM."""
    default_architecture: str = ""
    """Architecture if none is given."""
    ppc64le: ArchSpecificConfiguration | None = None
    """64-bit POWER."""
    s390x: ArchSpecificConfiguration | None = None
    """IBM Z."""


class ChangedBlockTrackingSelectors(Struct):
    """Where changed blocks are tracked."""

    namespace_label_selector: LabelSelector | None = None
    """Namespaces."""
    virtual_machine_label_selector: LabelSelector | None = None
    """Machines."""


class CommonInstancetypesDeployment(Struct):
    """Whether ready-made instance types are installed."""

    enabled: Annotated[bool | None, Schema(nullable=True)] = None
    """Install them; default true."""


class TDXAttestationConfiguration(Struct):
    """Attestation of TDX guests."""

    enforced: Annotated[bool | None, Schema(default=False)] = None
    """Every TDX guest must attest."""
    qgs_socket_path: Annotated[str, Schema(default="/var/run/tdx-qgs/qgs.socket")] = ""
    """Socket of the quote service."""


class TDXConfiguration(Struct):
    """Intel TDX."""

    attestation: TDXAttestationConfiguration | None = None
    """Attestation."""


class ConfidentialComputeConfiguration(Struct):
    """Confidential computing."""

    tdx: Annotated[TDXConfiguration | None, Schema(nullable=True)] = None
    """Intel TDX."""


class DiskVerification(Struct):
    """Check of disk images."""

    memory_limit: Quantity
    """Memory the check may use."""


class LogVerbosity(Struct):
    """How much components log; 2 is normal."""

    node_verbosity: dict[str, int] = field(default_factory=dict)
    """On single nodes."""
    virt_api: int | None = field(default=None, name="virtAPI")
    """virt-api."""
    virt_controller: int | None = None
    """virt-controller."""
    virt_handler: int | None = None
    """virt-handler."""
    virt_launcher: int | None = None
    """virt-launcher."""
    virt_operator: int | None = None
    """virt-operator."""
    virt_synchronization_controller: int | None = None
    """Synchronisation controller."""


class DeveloperConfiguration(Struct):
    """Settings for development and for features not yet general."""

    cluster_profiler: bool | None = None
    """Allow profiling."""
    cpu_allocation_ratio: int | None = None
    """vCPUs per requested CPU; default 10."""
    disabled_feature_gates: Annotated[tuple[str, ...], ATOMIC] = ()
    """Features turned off."""
    disk_verification: DiskVerification | None = None
    """Check of disk images."""
    feature_gates: Annotated[tuple[str, ...], ATOMIC] = ()
    """Features turned on."""
    log_verbosity: LogVerbosity | None = None
    """How much components log."""
    memory_overcommit: Annotated[int | None, Schema(minimum=10)] = None
    """Guest memory in percent of requested memory; default 100."""
    minimum_cluster_tsc_frequency: int | None = field(default=None, name="minimumClusterTSCFrequency")
    """Lowest TSC frequency of the cluster, in Hz."""
    minimum_reserve_pvc_bytes: int | None = field(default=None, name="minimumReservePVCBytes")
    """Bytes kept free on claims."""
    node_selectors: dict[str, str] = field(default_factory=dict)
    """Labels the nodes of launchers must carry."""
    pvc_tolerate_less_space_up_to_percent: int | None = None
    """How much smaller than asked a volume may be; default 10."""
    use_emulation: bool | None = None
    """Run guests without hardware virtualization."""


class HypervisorConfiguration(Struct):
    """A hypervisor."""

    name: Annotated[str, Schema(enum=("kvm", "hyperv-direct"))] = ""
    """kvm or hyperv-direct."""


class InstancetypeConfiguration(Struct):
    """Handling of instance types."""

    reference_policy: Annotated[
        str | None, Schema(enum=("reference", "expand", "expandAll"), nullable=True)
    ] = ""
    """reference, expand or expandAll."""


class KSMConfiguration(Struct):
    """Sharing of equal memory pages."""

    node_label_selector: LabelSelector | None = None
    """Nodes where it is on."""


class LiveUpdateConfiguration(Struct):
    """Limits of changes to running guests."""

    max_cpu_sockets: int | None = None
    """Sockets."""
    max_guest: Quantity | None = None
    """Memory."""
    max_hotplug_ratio: int | None = None
    """Times the initial size; default 4."""


class MigrationConfiguration(Struct):
    """Live migration."""

    allow_auto_converge: bool | None = None
    """Slow the guest down if its memory changes too fast."""
    allow_post_copy: bool | None = None
    """Move execution before all memory has moved."""
    allow_workload_disruption: bool | None = None
    """Pause the guest or use post-copy to get done in time."""
    bandwidth_per_migration: Quantity | None = None
    """Bytes per second; 0 is unlimited."""
    completion_timeout_per_gib: int | None = field(default=None, name="completionTimeoutPerGiB")
    """Seconds per GiB of memory before a migration is ended; default 150."""
    disable_tls: bool | None = field(default=None, name="disableTLS")
    """Do not encrypt."""
    match_se_linux_level_on_migration: bool | None = field(default=None, name="matchSELinuxLevelOnMigration")
    """Give the target the source's SELinux level."""
    max_downtime_ms: Annotated[int | None, Schema(minimum=1, maximum=2_000_000)] = None
    """Longest pause at the switch, in milliseconds."""
    network: str = ""
    """Network migrations go over."""
    node_drain_taint_key: str = ""
    """Taint that means: move away."""
    parallel_migrations_per_cluster: int | None = None
    """Migrations at once in all; default 5."""
    parallel_outbound_migrations_per_node: int | None = None
    """Migrations at once out of one node; default 2."""
    progress_timeout: int | None = None
    """Seconds without progress before a migration is ended; default 150."""
    unsafe_migration_override: bool | None = None
    """Migrate even where libvirt thinks it unsafe."""
    utility_volumes_timeout: int | None = None
    """Seconds to wait for utility volumes to be detached; default 150."""


class InterfaceBindingMigration(Struct):
    """How a plugin's interfaces migrate."""

    method: str = ""
    """link-refresh, or absent for none."""


class ResourceRequirementsWithoutClaims(Struct):
    """Resources of a container."""

    limits: dict[str, Quantity] = field(default_factory=dict)
    """Upper bounds."""
    requests: dict[str, Quantity] = field(default_factory=dict)
    """What scheduling counts."""


class InterfaceBindingPlugin(Struct):
    """A network binding plugin."""

    compute_resource_overhead: ResourceRequirementsWithoutClaims | None = None
    """Resources it adds to the launcher."""
    domain_attachment_type: str = ""
    """How the interface reaches the domain: tap or managedTap."""
    downward_api: str = field(default="", name="downwardAPI")
    """Information the plugin gets: device-info."""
    migration: InterfaceBindingMigration | None = None
    """How it migrates."""
    network_attachment_definition: str = ""
    """Network it needs, as "namespace/name"."""
    sidecar_image: str = ""
    """Image that runs beside the launcher."""


class NetworkConfiguration(Struct):
    """Networking."""

    binding: dict[str, InterfaceBindingPlugin] = field(default_factory=dict)
    """Plugins by name."""
    default_network_interface: str = ""
    """Binding if none is given: bridge or masquerade."""
    permit_bridge_interface_on_pod_network: bool | None = None
    """Allow bridge on the pod network; default true."""
    permit_slirp_interface: bool | None = None
    """No longer has an effect."""


class PersistentReservationConfiguration(Struct):
    """Persistent SCSI reservations."""

    enabled: Annotated[bool | None, Schema(nullable=True)] = None
    """Allow them."""


class TokenBucketRateLimiter(Struct):
    """Limit on requests."""

    burst: int
    """At once."""
    qps: float
    """Per second, over time."""


class RateLimiter(Struct):
    """Limit on requests: exactly one kind."""

    token_bucket_rate_limiter: TokenBucketRateLimiter | None = None
    """Token bucket."""


class RESTClientConfiguration(Struct):
    """A client of the API server."""

    rate_limiter: RateLimiter | None = None
    """Its limit."""


class ReloadableComponentConfiguration(Struct):
    """Settings a component takes up while it runs."""

    rest_client: RESTClientConfiguration | None = None
    """Its client of the API server."""


class SMBiosConfiguration(Struct):
    """What all guests read in SMBIOS."""

    family: str = ""
    """Family."""
    manufacturer: str = ""
    """Manufacturer."""
    product: str = ""
    """Product."""
    sku: str = ""
    """SKU."""
    version: str = ""
    """Version."""


class CustomProfile(Struct):
    """A seccomp profile."""

    localhost_profile: str = ""
    """File on the node."""
    runtime_default_profile: bool | None = None
    """The container runtime's own."""


class VirtualMachineInstanceProfile(Struct):
    """The seccomp profile of launchers."""

    custom_profile: CustomProfile | None = None
    """The profile."""


class SeccompConfiguration(Struct):
    """Seccomp."""

    virtual_machine_instance_profile: VirtualMachineInstanceProfile | None = None
    """Of launchers."""


class SupportContainerResources(Struct):
    """Resources of a helper container."""

    resources: ResourceRequirementsWithoutClaims
    """The resources."""
    type: str
    """container-disk, virtiofs, guest-console-log, hotplug-disk, sidecar or vmexport."""


class TLSConfiguration(Struct):
    """TLS of our servers."""

    ciphers: Annotated[tuple[str, ...], Schema(list_type="set")] = ()
    """Ciphers allowed; only up to TLS 1.2."""
    min_tls_version: Annotated[
        str, Schema(enum=("VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"))
    ] = field(default="", name="minTLSVersion")
    """Lowest version."""


class VirtTemplateDeployment(Struct):
    """Whether machine templates are installed."""

    enabled: Annotated[bool | None, Schema(nullable=True)] = None
    """Install them."""


class DisableFreePageReporting(Struct):
    """Present: guests do not report free memory."""


class DisableSerialConsoleLog(Struct):
    """Present: serial consoles are not logged unless asked for."""


class VirtualMachineOptions(Struct):
    """Defaults for all guests."""

    disable_free_page_reporting: DisableFreePageReporting | None = None
    """Do not report free memory."""
    disable_serial_console_log: DisableSerialConsoleLog | None = None
    """Do not log serial consoles."""


class KubeVirtConfiguration(Struct):
    """Settings of virtualization."""

    additional_guest_memory_overhead_ratio: str = ""
    """Factor on the memory set aside for QEMU."""
    api_configuration: ReloadableComponentConfiguration | None = None
    """virt-api."""
    architecture_configuration: ArchConfiguration | None = None
    """By architecture."""
    auto_cpu_limit_namespace_label_selector: LabelSelector | None = field(
        default=None, name="autoCPULimitNamespaceLabelSelector"
    )
    """Namespaces where launchers get CPU limits."""
    changed_block_tracking_label_selectors: Annotated[
        ChangedBlockTrackingSelectors | None, Schema(nullable=True)
    ] = None
    """Where changed blocks are tracked."""
    common_instancetypes_deployment: Annotated[
        CommonInstancetypesDeployment | None, Schema(nullable=True)
    ] = None
    """Ready-made instance types."""
    confidential_compute: Annotated[ConfidentialComputeConfiguration | None, Schema(nullable=True)] = None
    """Confidential computing."""
    controller_configuration: ReloadableComponentConfiguration | None = None
    """virt-controller."""
    cpu_model: str = ""
    """CPU model if none is given; default host-model."""
    cpu_request: Quantity | None = None
    """CPU request of launchers if none is given."""
    default_runtime_class: str = ""
    """Runtime class of launchers."""
    developer_configuration: DeveloperConfiguration | None = None
    """Development and feature gates."""
    emulated_machines: tuple[str, ...] = ()
    """Superseded by `architectureConfiguration`."""
    eviction_strategy: str = ""
    """Eviction strategy if none is given."""
    handler_configuration: ReloadableComponentConfiguration | None = None
    """virt-handler."""
    hypervisors: Annotated[tuple[HypervisorConfiguration, ...], Schema(max_items=1, list_type="atomic")] = ()
    """Hypervisors to use."""
    image_pull_policy: str = ""
    """When launcher images are fetched."""
    instancetype: Annotated[InstancetypeConfiguration | None, Schema(nullable=True)] = None
    """Instance types."""
    ksm_configuration: KSMConfiguration | None = None
    """Sharing of equal memory pages."""
    live_update_configuration: LiveUpdateConfiguration | None = None
    """Limits of changes to running guests."""
    machine_type: str = ""
    """Superseded by `architectureConfiguration`."""
    mediated_devices_configuration: MediatedDevicesConfiguration | None = None
    """Mediated devices."""
    mem_balloon_stats_period: int | None = None
    """Seconds between memory statistics; default 10."""
    migrations: MigrationConfiguration | None = None
    """Live migration."""
    min_cpu_model: str = field(default="", name="minCPUModel")
    """Lowest CPU model nodes must have."""
    network: NetworkConfiguration | None = None
    """Networking."""
    obsolete_cpu_models: dict[str, bool] = field(default_factory=dict, name="obsoleteCPUModels")
    """CPU models not to be used."""
    ovmf_path: str = ""
    """Superseded by `architectureConfiguration`."""
    permitted_host_devices: PermittedHostDevices | None = None
    """Devices guests may use."""
    persistent_reservation_configuration: Annotated[
        PersistentReservationConfiguration | None, Schema(nullable=True)
    ] = None
    """Persistent SCSI reservations."""
    role_aggregation_strategy: Annotated[str, Schema(enum=("AggregateToDefault", "Manual"))] = ""
    """Whether our roles join admin, edit and view: AggregateToDefault or Manual."""
    seccomp_configuration: SeccompConfiguration | None = None
    """Seccomp."""
    selinux_launcher_type: str = ""
    """SELinux type of launchers."""
    smbios: SMBiosConfiguration | None = None
    """SMBIOS."""
    support_container_resources: Annotated[
        tuple[SupportContainerResources, ...], Schema(list_type="map", map_keys=("type",))
    ] = ()
    """Resources of helper containers."""
    supported_guest_agent_versions: tuple[str, ...] = ()
    """No longer has an effect."""
    tls_configuration: TLSConfiguration | None = None
    """TLS of our servers."""
    virt_template_deployment: Annotated[VirtTemplateDeployment | None, Schema(nullable=True)] = None
    """Machine templates."""
    virtual_machine_instances_per_node: int | None = None
    """Instances a node takes at most."""
    virtual_machine_options: VirtualMachineOptions | None = None
    """Defaults for all guests."""
    vm_rollout_strategy: Annotated[str | None, Schema(enum=("Stage", "LiveUpdate"), nullable=True)] = ""
    """Changed templates: LiveUpdate the running guest, or Stage for the next start."""
    vm_state_storage_class: str = ""
    """Storage class for TPM and UEFI state."""
    webhook_configuration: ReloadableComponentConfiguration | None = None
    """Webhooks."""
