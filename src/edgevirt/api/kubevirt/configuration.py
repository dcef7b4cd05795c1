"""kubevirt.io/v1 types: configuration."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.core import Affinity, LocalObjectReference, Toleration
from edgevirt.api.meta import Duration, KubeObject, LabelSelector, Quantity, Struct


class NodePlacement(Struct):
    affinity: Affinity | None = None
    node_selector: dict[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()


class ComponentConfig(Struct):
    node_placement: NodePlacement | None = None
    replicas: int | None = None


class CustomizeComponentsPatch(Struct):
    patch: str
    resource_name: str
    resource_type: str
    type: str


class Flags(Struct):
    api: dict[str, str] = field(default_factory=dict)
    controller: dict[str, str] = field(default_factory=dict)
    handler: dict[str, str] = field(default_factory=dict)


class CustomizeComponents(Struct):
    flags: Flags | None = None
    patches: tuple[CustomizeComponentsPatch, ...] = ()


class CertConfig(Struct):
    duration: Duration = ""
    renew_before: Duration = ""


class KubeVirtSelfSignConfiguration(Struct):
    ca: CertConfig | None = None
    ca_overlap_interval: Duration = ""
    ca_rotate_interval: Duration = ""
    cert_rotate_interval: Duration = ""
    server: CertConfig | None = None


class KubeVirtCertificateRotateStrategy(Struct):
    self_signed: KubeVirtSelfSignConfiguration | None = None


class ArchSpecificConfiguration(Struct):
    emulated_machines: tuple[str, ...] = ()
    machine_type: str = ""
    ovmf_path: str = ""


class ArchConfiguration(Struct):
    amd64: ArchSpecificConfiguration | None = None
    arm64: ArchSpecificConfiguration | None = None
    default_architecture: str = ""
    ppc64le: ArchSpecificConfiguration | None = None
    s390x: ArchSpecificConfiguration | None = None


class ChangedBlockTrackingSelectors(Struct):
    namespace_label_selector: LabelSelector | None = None
    virtual_machine_label_selector: LabelSelector | None = None


class CommonInstancetypesDeployment(Struct):
    enabled: bool | None = None


class TDXAttestationConfiguration(Struct):
    enforced: bool | None = None
    qgs_socket_path: str = ""


class TDXConfiguration(Struct):
    attestation: TDXAttestationConfiguration | None = None


class ConfidentialComputeConfiguration(Struct):
    tdx: TDXConfiguration | None = None


class DiskVerification(Struct):
    memory_limit: Quantity


class LogVerbosity(Struct):
    node_verbosity: dict[str, int] = field(default_factory=dict)
    virt_api: int | None = field(default=None, name="virtAPI")
    virt_controller: int | None = None
    virt_handler: int | None = None
    virt_launcher: int | None = None
    virt_operator: int | None = None
    virt_synchronization_controller: int | None = None


class DeveloperConfiguration(Struct):
    cluster_profiler: bool | None = None
    cpu_allocation_ratio: int | None = None
    disabled_feature_gates: tuple[str, ...] = ()
    disk_verification: DiskVerification | None = None
    feature_gates: tuple[str, ...] = ()
    log_verbosity: LogVerbosity | None = None
    memory_overcommit: int | None = None
    minimum_cluster_tsc_frequency: int | None = field(default=None, name="minimumClusterTSCFrequency")
    minimum_reserve_pvc_bytes: int | None = field(default=None, name="minimumReservePVCBytes")
    node_selectors: dict[str, str] = field(default_factory=dict)
    pvc_tolerate_less_space_up_to_percent: int | None = None
    use_emulation: bool | None = None


class HypervisorConfiguration(Struct):
    name: str = ""


class InstancetypeConfiguration(Struct):
    reference_policy: str = ""


class KSMConfiguration(Struct):
    node_label_selector: LabelSelector | None = None


class LiveUpdateConfiguration(Struct):
    max_cpu_sockets: int | None = None
    max_guest: Quantity | None = None
    max_hotplug_ratio: int | None = None


class NodeMediatedDeviceTypesConfig(Struct):
    mediated_device_types: tuple[str, ...] = ()
    mediated_devices_types: tuple[str, ...] = ()
    node_selector: dict[str, str]


class MediatedDevicesConfiguration(Struct):
    enabled: bool | None = None
    mediated_device_types: tuple[str, ...] = ()
    mediated_devices_types: tuple[str, ...] = ()
    node_mediated_device_types: tuple[NodeMediatedDeviceTypesConfig, ...] = ()


class MigrationConfiguration(Struct):
    allow_auto_converge: bool | None = None
    allow_post_copy: bool | None = None
    allow_workload_disruption: bool | None = None
    bandwidth_per_migration: Quantity | None = None
    completion_timeout_per_gib: int | None = field(default=None, name="completionTimeoutPerGiB")
    disable_tls: bool | None = field(default=None, name="disableTLS")
    match_se_linux_level_on_migration: bool | None = field(default=None, name="matchSELinuxLevelOnMigration")
    max_downtime_ms: int | None = None
    network: str = ""
    node_drain_taint_key: str = ""
    parallel_migrations_per_cluster: int | None = None
    parallel_outbound_migrations_per_node: int | None = None
    progress_timeout: int | None = None
    unsafe_migration_override: bool | None = None
    utility_volumes_timeout: int | None = None


class InterfaceBindingMigration(Struct):
    method: str = ""


class ResourceRequirementsWithoutClaims(Struct):
    limits: dict[str, Quantity] = field(default_factory=dict)
    requests: dict[str, Quantity] = field(default_factory=dict)


class InterfaceBindingPlugin(Struct):
    compute_resource_overhead: ResourceRequirementsWithoutClaims | None = None
    domain_attachment_type: str = ""
    downward_api: str = field(default="", name="downwardAPI")
    migration: InterfaceBindingMigration | None = None
    network_attachment_definition: str = ""
    sidecar_image: str = ""


class NetworkConfiguration(Struct):
    binding: dict[str, InterfaceBindingPlugin] = field(default_factory=dict)
    default_network_interface: str = ""
    permit_bridge_interface_on_pod_network: bool | None = None
    permit_slirp_interface: bool | None = None


class MediatedHostDevice(Struct):
    external_resource_provider: bool | None = None
    mdev_name_selector: str
    resource_name: str


class PciHostDevice(Struct):
    external_resource_provider: bool | None = None
    pci_vendor_selector: str
    resource_name: str


class USBSelector(Struct):
    product: str
    vendor: str


class USBHostDevice(Struct):
    external_resource_provider: bool | None = None
    resource_name: str
    selectors: tuple[USBSelector, ...] = ()


class PermittedHostDevices(Struct):
    mediated_devices: tuple[MediatedHostDevice, ...] = ()
    pci_host_devices: tuple[PciHostDevice, ...] = ()
    usb: tuple[USBHostDevice, ...] = ()


class PersistentReservationConfiguration(Struct):
    enabled: bool | None = None


class TokenBucketRateLimiter(Struct):
    burst: int
    qps: float


class RateLimiter(Struct):
    token_bucket_rate_limiter: TokenBucketRateLimiter | None = None


class RESTClientConfiguration(Struct):
    rate_limiter: RateLimiter | None = None


class ReloadableComponentConfiguration(Struct):
    rest_client: RESTClientConfiguration | None = None


class SMBiosConfiguration(Struct):
    family: str = ""
    manufacturer: str = ""
    product: str = ""
    sku: str = ""
    version: str = ""


class CustomProfile(Struct):
    localhost_profile: str = ""
    runtime_default_profile: bool | None = None


class VirtualMachineInstanceProfile(Struct):
    custom_profile: CustomProfile | None = None


class SeccompConfiguration(Struct):
    virtual_machine_instance_profile: VirtualMachineInstanceProfile | None = None


class SupportContainerResources(Struct):
    resources: ResourceRequirementsWithoutClaims
    type: str


class TLSConfiguration(Struct):
    ciphers: tuple[str, ...] = ()
    min_tls_version: str = field(default="", name="minTLSVersion")


class VirtTemplateDeployment(Struct):
    enabled: bool | None = None


class DisableFreePageReporting(Struct):
    pass


class DisableSerialConsoleLog(Struct):
    pass


class VirtualMachineOptions(Struct):
    disable_free_page_reporting: DisableFreePageReporting | None = None
    disable_serial_console_log: DisableSerialConsoleLog | None = None


class KubeVirtConfiguration(Struct):
    additional_guest_memory_overhead_ratio: str = ""
    api_configuration: ReloadableComponentConfiguration | None = None
    architecture_configuration: ArchConfiguration | None = None
    auto_cpu_limit_namespace_label_selector: LabelSelector | None = field(
        default=None, name="autoCPULimitNamespaceLabelSelector"
    )
    changed_block_tracking_label_selectors: ChangedBlockTrackingSelectors | None = None
    common_instancetypes_deployment: CommonInstancetypesDeployment | None = None
    confidential_compute: ConfidentialComputeConfiguration | None = None
    controller_configuration: ReloadableComponentConfiguration | None = None
    cpu_model: str = ""
    cpu_request: Quantity | None = None
    default_runtime_class: str = ""
    developer_configuration: DeveloperConfiguration | None = None
    emulated_machines: tuple[str, ...] = ()
    eviction_strategy: str = ""
    handler_configuration: ReloadableComponentConfiguration | None = None
    hypervisors: tuple[HypervisorConfiguration, ...] = ()
    image_pull_policy: str = ""
    instancetype: InstancetypeConfiguration | None = None
    ksm_configuration: KSMConfiguration | None = None
    live_update_configuration: LiveUpdateConfiguration | None = None
    machine_type: str = ""
    mediated_devices_configuration: MediatedDevicesConfiguration | None = None
    mem_balloon_stats_period: int | None = None
    migrations: MigrationConfiguration | None = None
    min_cpu_model: str = field(default="", name="minCPUModel")
    network: NetworkConfiguration | None = None
    obsolete_cpu_models: dict[str, bool] = field(default_factory=dict, name="obsoleteCPUModels")
    ovmf_path: str = ""
    permitted_host_devices: PermittedHostDevices | None = None
    persistent_reservation_configuration: PersistentReservationConfiguration | None = None
    role_aggregation_strategy: str = ""
    seccomp_configuration: SeccompConfiguration | None = None
    selinux_launcher_type: str = ""
    smbios: SMBiosConfiguration | None = None
    support_container_resources: tuple[SupportContainerResources, ...] = ()
    supported_guest_agent_versions: tuple[str, ...] = ()
    tls_configuration: TLSConfiguration | None = None
    virt_template_deployment: VirtTemplateDeployment | None = None
    virtual_machine_instances_per_node: int | None = None
    virtual_machine_options: VirtualMachineOptions | None = None
    vm_rollout_strategy: str = ""
    vm_state_storage_class: str = ""
    webhook_configuration: ReloadableComponentConfiguration | None = None


class KubeVirtWorkloadUpdateStrategy(Struct):
    batch_eviction_interval: Duration = ""
    batch_eviction_size: int | None = None
    workload_update_methods: tuple[str, ...] = ()


class KubeVirtSpec(Struct):
    certificate_rotate_strategy: KubeVirtCertificateRotateStrategy | None = None
    configuration: KubeVirtConfiguration | None = None
    customize_components: CustomizeComponents | None = None
    image_pull_policy: str = ""
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    image_registry: str = ""
    image_tag: str = ""
    infra: ComponentConfig | None = None
    monitor_account: str = ""
    monitor_namespace: str = ""
    product_component: str = ""
    product_name: str = ""
    product_version: str = ""
    service_monitor_namespace: str = ""
    synchronization_port: str = ""
    uninstall_strategy: str = ""
    workload_update_strategy: KubeVirtWorkloadUpdateStrategy | None = None
    workloads: ComponentConfig | None = None


class GenerationStatus(Struct):
    group: str
    hash: str = ""
    last_generation: int
    name: str
    namespace: str = ""
    resource: str


class KubeVirtCondition(Struct):
    last_probe_time: str = ""
    last_transition_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str


class KubeVirtStatus(Struct):
    conditions: tuple[KubeVirtCondition, ...] = ()
    default_architecture: str = ""
    generations: tuple[GenerationStatus, ...] = ()
    observed_deployment_config: str = ""
    observed_deployment_id: str = field(default="", name="observedDeploymentID")
    observed_generation: int | None = None
    observed_kube_virt_registry: str = ""
    observed_kube_virt_version: str = ""
    operator_version: str = ""
    outdated_virtual_machine_instance_workloads: int | None = None
    phase: str = ""
    synchronization_addresses: tuple[str, ...] = ()
    target_deployment_config: str = ""
    target_deployment_id: str = field(default="", name="targetDeploymentID")
    target_kube_virt_registry: str = ""
    target_kube_virt_version: str = ""


class KubeVirt(KubeObject):
    spec: KubeVirtSpec
    status: KubeVirtStatus | None = None
