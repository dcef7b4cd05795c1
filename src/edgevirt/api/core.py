"""Kubernetes core types."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.meta import (
    Condition,
    IntOrString,
    KubeObject,
    LabelSelector,
    ObjectMeta,
    Quantity,
    Struct,
    Time,
)


class NamespaceSpec(Struct):
    finalizers: tuple[str, ...] = ()


class NamespaceCondition(Struct):
    last_transition_time: Time = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class NamespaceStatus(Struct):
    conditions: tuple[NamespaceCondition, ...] = ()
    phase: str = ""


class Namespace(KubeObject):
    spec: NamespaceSpec | None = None
    status: NamespaceStatus | None = None


class NodeSelectorRequirement(Struct):
    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class NodeSelectorTerm(Struct):
    match_expressions: tuple[NodeSelectorRequirement, ...] = ()
    match_fields: tuple[NodeSelectorRequirement, ...] = ()


class PreferredSchedulingTerm(Struct):
    preference: NodeSelectorTerm | None = None
    weight: int | None = None


class NodeSelector(Struct):
    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()


class NodeAffinity(Struct):
    preferred_during_scheduling_ignored_during_execution: tuple[PreferredSchedulingTerm, ...] = ()
    required_during_scheduling_ignored_during_execution: NodeSelector | None = None


class PodAffinityTerm(Struct):
    label_selector: LabelSelector | None = None
    match_label_keys: tuple[str, ...] = ()
    mismatch_label_keys: tuple[str, ...] = ()
    namespace_selector: LabelSelector | None = None
    namespaces: tuple[str, ...] = ()
    topology_key: str = ""


class WeightedPodAffinityTerm(Struct):
    pod_affinity_term: PodAffinityTerm | None = None
    weight: int | None = None


class PodAffinity(Struct):
    preferred_during_scheduling_ignored_during_execution: tuple[WeightedPodAffinityTerm, ...] = ()
    required_during_scheduling_ignored_during_execution: tuple[PodAffinityTerm, ...] = ()


class PodAntiAffinity(Struct):
    preferred_during_scheduling_ignored_during_execution: tuple[WeightedPodAffinityTerm, ...] = ()
    required_during_scheduling_ignored_during_execution: tuple[PodAffinityTerm, ...] = ()


class Affinity(Struct):
    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAntiAffinity | None = None


class ConfigMapKeySelector(Struct):
    key: str = ""
    name: str = ""
    optional: bool | None = None


class ObjectFieldSelector(Struct):
    api_version: str = ""
    field_path: str = ""


class FileKeySelector(Struct):
    key: str = ""
    optional: bool | None = None
    path: str = ""
    volume_name: str = ""


class ResourceFieldSelector(Struct):
    container_name: str = ""
    divisor: Quantity | None = None
    resource: str = ""


class SecretKeySelector(Struct):
    key: str = ""
    name: str = ""
    optional: bool | None = None


class EnvVarSource(Struct):
    config_map_key_ref: ConfigMapKeySelector | None = None
    field_ref: ObjectFieldSelector | None = None
    file_key_ref: FileKeySelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    secret_key_ref: SecretKeySelector | None = None


class EnvVar(Struct):
    name: str = ""
    value: str = ""
    value_from: EnvVarSource | None = None


class ConfigMapEnvSource(Struct):
    name: str = ""
    optional: bool | None = None


class SecretEnvSource(Struct):
    name: str = ""
    optional: bool | None = None


class EnvFromSource(Struct):
    config_map_ref: ConfigMapEnvSource | None = None
    prefix: str = ""
    secret_ref: SecretEnvSource | None = None


class ExecAction(Struct):
    command: tuple[str, ...] = ()


class HTTPHeader(Struct):
    name: str = ""
    value: str = ""


class HTTPGetAction(Struct):
    host: str = ""
    http_headers: tuple[HTTPHeader, ...] = ()
    path: str = ""
    port: IntOrString | None = None
    protocol: str = ""
    scheme: str = ""


class SleepAction(Struct):
    seconds: int | None = None


class TCPSocketAction(Struct):
    host: str = ""
    port: IntOrString | None = None


class LifecycleHandler(Struct):
    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    sleep: SleepAction | None = None
    tcp_socket: TCPSocketAction | None = None


class Lifecycle(Struct):
    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str = ""


class GRPCAction(Struct):
    mode: str = ""
    port: int | None = None
    service: str = ""


class Probe(Struct):
    exec: ExecAction | None = None
    failure_threshold: int | None = None
    grpc: GRPCAction | None = None
    http_get: HTTPGetAction | None = None
    initial_delay_seconds: int | None = None
    period_seconds: int | None = None
    success_threshold: int | None = None
    tcp_socket: TCPSocketAction | None = None
    termination_grace_period_seconds: int | None = None
    timeout_seconds: int | None = None


class ContainerPort(Struct):
    container_port: int | None = None
    host_ip: str = field(default="", name="hostIP")
    host_port: int | None = None
    name: str = ""
    protocol: str = ""


class ContainerResizePolicy(Struct):
    resource_name: str = ""
    restart_policy: str = ""


class ResourceClaim(Struct):
    name: str = ""
    request: str = ""


class ResourceRequirements(Struct):
    claims: tuple[ResourceClaim, ...] = ()
    limits: dict[str, Quantity] = field(default_factory=dict)
    requests: dict[str, Quantity] = field(default_factory=dict)


class ContainerRestartRuleOnExitCodes(Struct):
    operator: str = ""
    values: tuple[int, ...] = ()


class ContainerRestartRule(Struct):
    action: str = ""
    exit_codes: ContainerRestartRuleOnExitCodes | None = None


class AppArmorProfile(Struct):
    localhost_profile: str = ""
    type: str = ""


class Capabilities(Struct):
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class SELinuxOptions(Struct):
    level: str = ""
    role: str = ""
    type: str = ""
    user: str = ""


class SeccompProfile(Struct):
    localhost_profile: str = ""
    type: str = ""


class WindowsSecurityContextOptions(Struct):
    gmsa_credential_spec: str = ""
    gmsa_credential_spec_name: str = ""
    host_process: bool | None = None
    run_as_user_name: str = ""


class SecurityContext(Struct):
    allow_privilege_escalation: bool | None = None
    app_armor_profile: AppArmorProfile | None = None
    capabilities: Capabilities | None = None
    privileged: bool | None = None
    proc_mount: str = ""
    read_only_root_filesystem: bool | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    se_linux_options: SELinuxOptions | None = None
    seccomp_profile: SeccompProfile | None = None
    windows_options: WindowsSecurityContextOptions | None = None


class VolumeDevice(Struct):
    device_path: str = ""
    name: str = ""


class VolumeMount(Struct):
    bind_mount_options: tuple[str, ...] = ()
    mount_path: str = ""
    mount_propagation: str = ""
    name: str = ""
    read_only: bool | None = None
    recursive_read_only: str = ""
    sub_path: str = ""
    sub_path_expr: str = ""


class Container(Struct):
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    image: str = ""
    image_pull_policy: str = ""
    lifecycle: Lifecycle | None = None
    liveness_probe: Probe | None = None
    name: str = ""
    ports: tuple[ContainerPort, ...] = ()
    readiness_probe: Probe | None = None
    resize_policy: tuple[ContainerResizePolicy, ...] = ()
    resources: ResourceRequirements | None = None
    restart_policy: str = ""
    restart_policy_rules: tuple[ContainerRestartRule, ...] = ()
    security_context: SecurityContext | None = None
    startup_probe: Probe | None = None
    stdin: bool | None = None
    stdin_once: bool | None = None
    termination_message_path: str = ""
    termination_message_policy: str = ""
    tty: bool | None = None
    volume_devices: tuple[VolumeDevice, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    working_dir: str = ""


class PodDNSConfigOption(Struct):
    name: str = ""
    value: str = ""


class PodDNSConfig(Struct):
    nameservers: tuple[str, ...] = ()
    options: tuple[PodDNSConfigOption, ...] = ()
    searches: tuple[str, ...] = ()


class EphemeralContainer(Struct):
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    image: str = ""
    image_pull_policy: str = ""
    lifecycle: Lifecycle | None = None
    liveness_probe: Probe | None = None
    name: str = ""
    ports: tuple[ContainerPort, ...] = ()
    readiness_probe: Probe | None = None
    resize_policy: tuple[ContainerResizePolicy, ...] = ()
    resources: ResourceRequirements | None = None
    restart_policy: str = ""
    restart_policy_rules: tuple[ContainerRestartRule, ...] = ()
    security_context: SecurityContext | None = None
    startup_probe: Probe | None = None
    stdin: bool | None = None
    stdin_once: bool | None = None
    target_container_name: str = ""
    termination_message_path: str = ""
    termination_message_policy: str = ""
    tty: bool | None = None
    volume_devices: tuple[VolumeDevice, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    working_dir: str = ""


class EvictionResponder(Struct):
    name: str = ""
    priority: int | None = None


class HostAlias(Struct):
    hostnames: tuple[str, ...] = ()
    ip: str = ""


class LocalObjectReference(Struct):
    name: str = ""


class PodOS(Struct):
    name: str = ""


class PodReadinessGate(Struct):
    condition_type: str = ""


class PodResourceClaim(Struct):
    name: str = ""
    resource_claim_name: str = ""
    resource_claim_template_name: str = ""


class PodSchedulingGate(Struct):
    name: str = ""


class PodSchedulingGroup(Struct):
    pod_group_name: str = ""


class Sysctl(Struct):
    name: str = ""
    value: str = ""


class PodSecurityContext(Struct):
    app_armor_profile: AppArmorProfile | None = None
    fs_group: int | None = None
    fs_group_change_policy: str = ""
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    se_linux_change_policy: str = ""
    se_linux_options: SELinuxOptions | None = None
    seccomp_profile: SeccompProfile | None = None
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str = ""
    sysctls: tuple[Sysctl, ...] = ()
    windows_options: WindowsSecurityContextOptions | None = None


class Toleration(Struct):
    effect: str = ""
    key: str = ""
    operator: str = ""
    toleration_seconds: int | None = None
    value: str = ""


class TopologySpreadConstraint(Struct):
    label_selector: LabelSelector | None = None
    match_label_keys: tuple[str, ...] = ()
    max_skew: int | None = None
    min_domains: int | None = None
    node_affinity_policy: str = ""
    node_taints_policy: str = ""
    topology_key: str = ""
    when_unsatisfiable: str = ""


class KeyToPath(Struct):
    key: str = ""
    mode: int | None = None
    path: str = ""
    user: int | None = None


class ConfigMapVolumeSource(Struct):
    default_mode: int | None = None
    default_user: int | None = None
    items: tuple[KeyToPath, ...] = ()
    name: str = ""
    optional: bool | None = None


class CSIVolumeSource(Struct):
    driver: str = ""
    fs_type: str = ""
    node_publish_secret_ref: LocalObjectReference | None = None
    read_only: bool | None = None
    volume_attributes: dict[str, str] = field(default_factory=dict)


class DownwardAPIVolumeFile(Struct):
    field_ref: ObjectFieldSelector | None = None
    mode: int | None = None
    path: str = ""
    resource_field_ref: ResourceFieldSelector | None = None
    user: int | None = None


class DownwardAPIVolumeSource(Struct):
    default_mode: int | None = None
    default_user: int | None = None
    items: tuple[DownwardAPIVolumeFile, ...] = ()


class EmptyDirVolumeSource(Struct):
    medium: str = ""
    mode: int | None = None
    size_limit: Quantity | None = None


class TypedLocalObjectReference(Struct):
    api_group: str = ""
    kind: str = ""
    name: str = ""


class TypedObjectReference(Struct):
    api_group: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""


class VolumeResourceRequirements(Struct):
    limits: dict[str, Quantity] = field(default_factory=dict)
    requests: dict[str, Quantity] = field(default_factory=dict)


class PersistentVolumeClaimSpec(Struct):
    access_modes: tuple[str, ...] = ()
    data_source: TypedLocalObjectReference | None = None
    data_source_ref: TypedObjectReference | None = None
    resources: VolumeResourceRequirements | None = None
    selector: LabelSelector | None = None
    storage_class_name: str = ""
    volume_attributes_class_name: str = ""
    volume_mode: str = ""
    volume_name: str = ""


class PersistentVolumeClaimTemplate(Struct):
    metadata: ObjectMeta | None = None
    spec: PersistentVolumeClaimSpec | None = None


class EphemeralVolumeSource(Struct):
    volume_claim_template: PersistentVolumeClaimTemplate | None = None


class HostPathVolumeSource(Struct):
    path: str = ""
    type: str = ""


class ImageVolumeSource(Struct):
    pull_policy: str = ""
    reference: str = ""


class NFSVolumeSource(Struct):
    path: str = ""
    read_only: bool | None = None
    server: str = ""


class PersistentVolumeClaimVolumeSource(Struct):
    claim_name: str = ""
    read_only: bool | None = None


class ClusterTrustBundleProjection(Struct):
    label_selector: LabelSelector | None = None
    name: str = ""
    optional: bool | None = None
    path: str = ""
    signer_name: str = ""
    user: int | None = None


class ConfigMapProjection(Struct):
    items: tuple[KeyToPath, ...] = ()
    name: str = ""
    optional: bool | None = None


class DownwardAPIProjection(Struct):
    items: tuple[DownwardAPIVolumeFile, ...] = ()


class PodCertificateProjection(Struct):
    certificate_chain_path: str = ""
    credential_bundle_path: str = ""
    key_path: str = ""
    key_type: str = ""
    max_expiration_seconds: int | None = None
    signer_name: str = ""
    user: int | None = None
    user_annotations: dict[str, str] = field(default_factory=dict)


class SecretProjection(Struct):
    items: tuple[KeyToPath, ...] = ()
    name: str = ""
    optional: bool | None = None


class ServiceAccountTokenProjection(Struct):
    audience: str = ""
    expiration_seconds: int | None = None
    path: str = ""
    user: int | None = None


class VolumeProjection(Struct):
    cluster_trust_bundle: ClusterTrustBundleProjection | None = None
    config_map: ConfigMapProjection | None = None
    downward_api: DownwardAPIProjection | None = field(default=None, name="downwardAPI")
    pod_certificate: PodCertificateProjection | None = None
    secret: SecretProjection | None = None
    service_account_token: ServiceAccountTokenProjection | None = None


class ProjectedVolumeSource(Struct):
    default_mode: int | None = None
    default_user: int | None = None
    sources: tuple[VolumeProjection, ...] = ()


class SecretVolumeSource(Struct):
    default_mode: int | None = None
    default_user: int | None = None
    items: tuple[KeyToPath, ...] = ()
    optional: bool | None = None
    secret_name: str = ""


class OSVolumeSource(Struct):
    fs_type: str = ""
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    volume_name: str = ""
    volume_namespace: str = ""


class Volume(Struct):
    config_map: ConfigMapVolumeSource | None = None
    csi: CSIVolumeSource | None = None
    downward_api: DownwardAPIVolumeSource | None = field(default=None, name="downwardAPI")
    empty_dir: EmptyDirVolumeSource | None = None
    ephemeral: EphemeralVolumeSource | None = None
    host_path: HostPathVolumeSource | None = None
    image: ImageVolumeSource | None = None
    name: str = ""
    nfs: NFSVolumeSource | None = None
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    projected: ProjectedVolumeSource | None = None
    secret: SecretVolumeSource | None = None
    storageos: OSVolumeSource | None = None


class PodSpec(Struct):
    active_deadline_seconds: int | None = None
    affinity: Affinity | None = None
    automount_service_account_token: bool | None = None
    containers: tuple[Container, ...] = ()
    dns_config: PodDNSConfig | None = None
    dns_policy: str = ""
    enable_service_links: bool | None = None
    ephemeral_containers: tuple[EphemeralContainer, ...] = ()
    eviction_responders: tuple[EvictionResponder, ...] = ()
    host_aliases: tuple[HostAlias, ...] = ()
    host_ipc: bool | None = field(default=None, name="hostIPC")
    host_network: bool | None = None
    host_pid: bool | None = field(default=None, name="hostPID")
    host_users: bool | None = None
    hostname: str = ""
    hostname_override: str = ""
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    init_containers: tuple[Container, ...] = ()
    node_name: str = ""
    node_selector: dict[str, str] = field(default_factory=dict)
    os: PodOS | None = None
    overhead: dict[str, Quantity] = field(default_factory=dict)
    preemption_policy: str = ""
    priority: int | None = None
    priority_class_name: str = ""
    readiness_gates: tuple[PodReadinessGate, ...] = ()
    resource_claims: tuple[PodResourceClaim, ...] = ()
    resources: ResourceRequirements | None = None
    restart_policy: str = ""
    runtime_class_name: str = ""
    scheduler_name: str = ""
    scheduling_gates: tuple[PodSchedulingGate, ...] = ()
    scheduling_group: PodSchedulingGroup | None = None
    security_context: PodSecurityContext | None = None
    service_account: str = ""
    service_account_name: str = ""
    set_hostname_as_fqdn: bool | None = field(default=None, name="setHostnameAsFQDN")
    share_process_namespace: bool | None = None
    subdomain: str = ""
    termination_grace_period_seconds: int | None = None
    tolerations: tuple[Toleration, ...] = ()
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = ()
    volumes: tuple[Volume, ...] = ()


class PodCondition(Struct):
    last_probe_time: Time = ""
    last_transition_time: Time = ""
    message: str = ""
    observed_generation: int | None = None
    reason: str = ""
    status: str = ""
    type: str = ""


class ResourceHealth(Struct):
    health: str = ""
    message: str = ""
    resource_id: str = field(default="", name="resourceID")


class ResourceStatus(Struct):
    name: str = ""
    resources: tuple[ResourceHealth, ...] = ()


class ContainerStateRunning(Struct):
    started_at: Time = ""


class ContainerStateTerminated(Struct):
    container_id: str = field(default="", name="containerID")
    exit_code: int | None = None
    finished_at: Time = ""
    message: str = ""
    reason: str = ""
    signal: int | None = None
    started_at: Time = ""


class ContainerStateWaiting(Struct):
    message: str = ""
    reason: str = ""


class ContainerState(Struct):
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None
    waiting: ContainerStateWaiting | None = None


class LinuxContainerUser(Struct):
    gid: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    uid: int | None = None


class ContainerUser(Struct):
    linux: LinuxContainerUser | None = None


class ImageVolumeStatus(Struct):
    image_ref: str = ""


class VolumeStatus(Struct):
    image: ImageVolumeStatus | None = None


class VolumeMountStatus(Struct):
    mount_path: str = ""
    name: str = ""
    read_only: bool | None = None
    recursive_read_only: str = ""
    volume_status: VolumeStatus | None = None


class ContainerStatus(Struct):
    allocated_resources: dict[str, str] = field(default_factory=dict)
    allocated_resources_status: tuple[ResourceStatus, ...] = ()
    container_id: str = field(default="", name="containerID")
    image: str = ""
    image_id: str = field(default="", name="imageID")
    last_state: ContainerState | None = None
    name: str = ""
    ready: bool | None = None
    resources: ResourceRequirements | None = None
    restart_count: int | None = None
    started: bool | None = None
    state: ContainerState | None = None
    stop_signal: str = ""
    user: ContainerUser | None = None
    volume_mounts: tuple[VolumeMountStatus, ...] = ()


class ContainerExtendedResourceRequest(Struct):
    container_name: str = ""
    request_name: str = ""
    resource_name: str = ""


class PodExtendedResourceClaimStatus(Struct):
    request_mappings: tuple[ContainerExtendedResourceRequest, ...] = ()
    resource_claim_name: str = ""


class HostIP(Struct):
    ip: str = ""


class NodeAllocatableMappedResources(Struct):
    name: str = ""
    quantity: str = ""


class NodeAllocatableOverheadResources(Struct):
    name: str = ""
    per_container: str = ""
    per_pod: str = ""


class NodeAllocatableResourceClaimStatus(Struct):
    containers: tuple[str, ...] = ()
    mapping: tuple[NodeAllocatableMappedResources, ...] = ()
    overhead: tuple[NodeAllocatableOverheadResources, ...] = ()
    resource_claim_name: str = ""


class PodIP(Struct):
    ip: str = ""


class PodResourceClaimStatus(Struct):
    name: str = ""
    resource_claim_name: str = ""


class VolumeHealthCondition(Struct):
    message: str = ""
    reason: str = ""
    status: str = ""


class PodVolumeHealth(Struct):
    health_conditions: tuple[VolumeHealthCondition, ...] = ()
    last_transition_time: Time = ""
    name: str = ""


class PodStatus(Struct):
    allocated_resources: dict[str, str] = field(default_factory=dict)
    conditions: tuple[PodCondition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    ephemeral_container_statuses: tuple[ContainerStatus, ...] = ()
    extended_resource_claim_status: PodExtendedResourceClaimStatus | None = None
    host_ip: str = field(default="", name="hostIP")
    host_ips: tuple[HostIP, ...] = field(default=(), name="hostIPs")
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    message: str = ""
    node_allocatable_resource_claim_statuses: tuple[NodeAllocatableResourceClaimStatus, ...] = ()
    nominated_node_name: str = ""
    observed_generation: int | None = None
    phase: str = ""
    pod_ip: str = field(default="", name="podIP")
    pod_ips: tuple[PodIP, ...] = field(default=(), name="podIPs")
    qos_class: str = ""
    reason: str = ""
    resize: str = ""
    resource_claim_statuses: tuple[PodResourceClaimStatus, ...] = ()
    resources: ResourceRequirements | None = None
    start_time: Time = ""
    volume_health: tuple[PodVolumeHealth, ...] = ()


class Pod(KubeObject):
    spec: PodSpec | None = None
    status: PodStatus | None = None


class ConfigMapNodeConfigSource(Struct):
    kubelet_config_key: str = ""
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    uid: str = ""


class NodeConfigSource(Struct):
    config_map: ConfigMapNodeConfigSource | None = None


class NodePodPreemptionPolicy(Struct):
    disable_resize_preemption: tuple[str, ...] = ()


class Taint(Struct):
    effect: str = ""
    key: str = ""
    time_added: Time = ""
    value: str = ""


class NodeSpec(Struct):
    config_source: NodeConfigSource | None = None
    external_id: str = field(default="", name="externalID")
    pod_cidr: str = field(default="", name="podCIDR")
    pod_cidrs: tuple[str, ...] = field(default=(), name="podCIDRs")
    pod_preemption_policy: NodePodPreemptionPolicy | None = None
    provider_id: str = field(default="", name="providerID")
    taints: tuple[Taint, ...] = ()
    unschedulable: bool | None = None


class NodeAddress(Struct):
    address: str = ""
    type: str = ""


class NodeCondition(Struct):
    last_heartbeat_time: Time = ""
    last_transition_time: Time = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class NodeConfigStatus(Struct):
    active: NodeConfigSource | None = None
    assigned: NodeConfigSource | None = None
    error: str = ""
    last_known_good: NodeConfigSource | None = None


class DaemonEndpoint(Struct):
    port: int | None = field(default=None, name="Port")


class NodeDaemonEndpoints(Struct):
    kubelet_endpoint: DaemonEndpoint | None = None


class NodeFeatures(Struct):
    supplemental_groups_policy: bool | None = None


class ContainerImage(Struct):
    names: tuple[str, ...] = ()
    size_bytes: int | None = None


class NodeSwapStatus(Struct):
    capacity: int | None = None


class NodeSystemInfo(Struct):
    architecture: str = ""
    boot_id: str = field(default="", name="bootID")
    container_runtime_version: str = ""
    kernel_version: str = ""
    kube_proxy_version: str = ""
    kubelet_version: str = ""
    machine_id: str = field(default="", name="machineID")
    operating_system: str = ""
    os_image: str = ""
    running_in_user_namespace: bool | None = None
    swap: NodeSwapStatus | None = None
    system_uuid: str = field(default="", name="systemUUID")


class NodeRuntimeHandlerFeatures(Struct):
    recursive_read_only_mounts: bool | None = None
    user_namespaces: bool | None = None


class NodeRuntimeHandler(Struct):
    features: NodeRuntimeHandlerFeatures | None = None
    name: str = ""


class AttachedVolume(Struct):
    device_path: str = ""
    name: str = ""


class NodeStatus(Struct):
    addresses: tuple[NodeAddress, ...] = ()
    allocatable: dict[str, Quantity] = field(default_factory=dict)
    capacity: dict[str, Quantity] = field(default_factory=dict)
    conditions: tuple[NodeCondition, ...] = ()
    config: NodeConfigStatus | None = None
    daemon_endpoints: NodeDaemonEndpoints | None = None
    declared_features: tuple[str, ...] = ()
    features: NodeFeatures | None = None
    images: tuple[ContainerImage, ...] = ()
    node_info: NodeSystemInfo | None = None
    phase: str = ""
    runtime_handlers: tuple[NodeRuntimeHandler, ...] = ()
    volumes_attached: tuple[AttachedVolume, ...] = ()
    volumes_in_use: tuple[str, ...] = ()


class Node(KubeObject):
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class Secret(KubeObject):
    data: dict[str, bytes] = field(default_factory=dict)
    immutable: bool | None = None
    string_data: dict[str, str] = field(default_factory=dict)
    type: str = ""


class ConfigMap(KubeObject):
    binary_data: dict[str, bytes] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    immutable: bool | None = None


class ServicePort(Struct):
    app_protocol: str = ""
    name: str = ""
    node_port: int | None = None
    port: int | None = None
    protocol: str = ""
    target_port: IntOrString | None = None


class ClientIPConfig(Struct):
    timeout_seconds: int | None = None


class SessionAffinityConfig(Struct):
    client_ip: ClientIPConfig | None = field(default=None, name="clientIP")


class ServiceSpec(Struct):
    allocate_load_balancer_node_ports: bool | None = None
    cluster_ip: str = field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] = field(default=(), name="clusterIPs")
    external_ips: tuple[str, ...] = field(default=(), name="externalIPs")
    external_name: str = ""
    external_traffic_policy: str = ""
    health_check_node_port: int | None = None
    internal_traffic_policy: str = ""
    ip_families: tuple[str, ...] = ()
    ip_family_policy: str = ""
    load_balancer_class: str = ""
    load_balancer_ip: str = field(default="", name="loadBalancerIP")
    load_balancer_source_ranges: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    publish_not_ready_addresses: bool | None = None
    selector: dict[str, str] = field(default_factory=dict)
    session_affinity: str = ""
    session_affinity_config: SessionAffinityConfig | None = None
    traffic_distribution: str = ""
    type: str = ""


class PortStatus(Struct):
    error: str = ""
    port: int | None = None
    protocol: str = ""


class LoadBalancerIngress(Struct):
    hostname: str = ""
    ip: str = ""
    ip_mode: str = ""
    ports: tuple[PortStatus, ...] = ()


class LoadBalancerStatus(Struct):
    ingress: tuple[LoadBalancerIngress, ...] = ()


class ServiceStatus(Struct):
    conditions: tuple[Condition, ...] = ()
    load_balancer: LoadBalancerStatus | None = None


class Service(KubeObject):
    spec: ServiceSpec | None = None
    status: ServiceStatus | None = None


class ObjectReference(Struct):
    api_version: str = ""
    field_path: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    uid: str = ""


class EndpointAddress(Struct):
    hostname: str = ""
    ip: str = ""
    node_name: str = ""
    target_ref: ObjectReference | None = None


class EndpointPort(Struct):
    app_protocol: str = ""
    name: str = ""
    port: int | None = None
    protocol: str = ""


class EndpointSubset(Struct):
    addresses: tuple[EndpointAddress, ...] = ()
    not_ready_addresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class Endpoints(KubeObject):
    subsets: tuple[EndpointSubset, ...] = ()


class ServiceAccount(KubeObject):
    automount_service_account_token: bool | None = None
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    secrets: tuple[ObjectReference, ...] = ()


class EventSeries(Struct):
    count: int | None = None
    last_observed_time: Time = ""


class EventSource(Struct):
    component: str = ""
    host: str = ""


class Event(KubeObject):
    action: str = ""
    count: int | None = None
    event_time: Time = ""
    first_timestamp: Time = ""
    involved_object: ObjectReference | None = None
    last_timestamp: Time = ""
    message: str = ""
    reason: str = ""
    related: ObjectReference | None = None
    reporting_component: str = ""
    reporting_instance: str = ""
    series: EventSeries | None = None
    source: EventSource | None = None
    type: str = ""


class PersistentVolumeClaimCondition(Struct):
    last_probe_time: Time = ""
    last_transition_time: Time = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class VolumeHealthStatus(Struct):
    health_conditions: tuple[VolumeHealthCondition, ...] = ()
    last_transition_time: Time = ""


class ModifyVolumeStatus(Struct):
    status: str = ""
    target_volume_attributes_class_name: str = ""


class PersistentVolumeClaimStatus(Struct):
    access_modes: tuple[str, ...] = ()
    allocated_resource_statuses: dict[str, str] = field(default_factory=dict)
    allocated_resources: dict[str, str] = field(default_factory=dict)
    capacity: dict[str, Quantity] = field(default_factory=dict)
    conditions: tuple[PersistentVolumeClaimCondition, ...] = ()
    current_volume_attributes_class_name: str = ""
    health_status: VolumeHealthStatus | None = None
    modify_volume_status: ModifyVolumeStatus | None = None
    phase: str = ""


class PersistentVolumeClaim(KubeObject):
    spec: PersistentVolumeClaimSpec | None = None
    status: PersistentVolumeClaimStatus | None = None


class SecretReference(Struct):
    name: str = ""
    namespace: str = ""


class CSIPersistentVolumeSource(Struct):
    controller_expand_secret_ref: SecretReference | None = None
    controller_publish_secret_ref: SecretReference | None = None
    driver: str = ""
    fs_type: str = ""
    node_expand_secret_ref: SecretReference | None = None
    node_publish_secret_ref: SecretReference | None = None
    node_stage_secret_ref: SecretReference | None = None
    read_only: bool | None = None
    volume_attributes: dict[str, str] = field(default_factory=dict)
    volume_handle: str = ""


class LocalVolumeSource(Struct):
    fs_type: str = ""
    path: str = ""


class VolumeNodeAffinity(Struct):
    required: NodeSelector | None = None


class OSPersistentVolumeSource(Struct):
    fs_type: str = ""
    read_only: bool | None = None
    secret_ref: ObjectReference | None = None
    volume_name: str = ""
    volume_namespace: str = ""


class PersistentVolumeSpec(Struct):
    access_modes: tuple[str, ...] = ()
    capacity: dict[str, Quantity] = field(default_factory=dict)
    claim_ref: ObjectReference | None = None
    csi: CSIPersistentVolumeSource | None = None
    host_path: HostPathVolumeSource | None = None
    local: LocalVolumeSource | None = None
    mount_options: tuple[str, ...] = ()
    nfs: NFSVolumeSource | None = None
    node_affinity: VolumeNodeAffinity | None = None
    persistent_volume_reclaim_policy: str = ""
    storage_class_name: str = ""
    storageos: OSPersistentVolumeSource | None = None
    volume_attributes_class_name: str = ""
    volume_mode: str = ""


class PersistentVolumeStatus(Struct):
    last_phase_transition_time: Time = ""
    message: str = ""
    phase: str = ""
    reason: str = ""


class PersistentVolume(KubeObject):
    spec: PersistentVolumeSpec | None = None
    status: PersistentVolumeStatus | None = None


class Binding(KubeObject):
    target: ObjectReference | None = None


class LimitRangeItem(Struct):
    default: dict[str, str] = field(default_factory=dict)
    default_request: dict[str, str] = field(default_factory=dict)
    max: dict[str, str] = field(default_factory=dict)
    max_limit_request_ratio: dict[str, str] = field(default_factory=dict)
    min: dict[str, str] = field(default_factory=dict)
    type: str = ""


class LimitRangeSpec(Struct):
    limits: tuple[LimitRangeItem, ...] = ()


class LimitRange(KubeObject):
    spec: LimitRangeSpec | None = None


class ScopedResourceSelectorRequirement(Struct):
    operator: str = ""
    scope_name: str = ""
    values: tuple[str, ...] = ()


class ScopeSelector(Struct):
    match_expressions: tuple[ScopedResourceSelectorRequirement, ...] = ()


class ResourceQuotaSpec(Struct):
    hard: dict[str, str] = field(default_factory=dict)
    scope_selector: ScopeSelector | None = None
    scopes: tuple[str, ...] = ()


class ResourceQuotaStatus(Struct):
    hard: dict[str, str] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)


class ResourceQuota(KubeObject):
    spec: ResourceQuotaSpec | None = None
    status: ResourceQuotaStatus | None = None


class PodTemplateSpec(Struct):
    metadata: ObjectMeta | None = None
    spec: PodSpec | None = None


class PodTemplate(KubeObject):
    template: PodTemplateSpec | None = None
