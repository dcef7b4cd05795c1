"""Kubernetes core/v1: Pod, pod template and binding."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from edgevirt.api.core.affinity import Affinity, Toleration, TopologySpreadConstraint
from edgevirt.api.core.claims import VolumeHealthCondition
from edgevirt.api.core.container import Container, EphemeralContainer, ResourceRequirements
from edgevirt.api.core.container_status import ContainerStatus
from edgevirt.api.core.references import LocalObjectReference, ObjectReference
from edgevirt.api.core.security import PodSecurityContext
from edgevirt.api.core.volumes import Volume
from edgevirt.api.meta import KubeObject, ObjectMeta, Quantity, Struct, Time
from edgevirt.api.schema import ATOMIC


class PodDNSConfigOption(Struct):
    name: str = ""
    value: str = ""


class PodDNSConfig(Struct):
    nameservers: Annotated[tuple[str, ...], ATOMIC] = ()
    options: Annotated[tuple[PodDNSConfigOption, ...], ATOMIC] = ()
    searches: Annotated[tuple[str, ...], ATOMIC] = ()


class EvictionResponder(Struct):
    name: str = ""
    priority: int | None = None


class HostAlias(Struct):
    hostnames: tuple[str, ...] = ()
    ip: str = ""


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
    """Both times are told even when they are not known, as null."""

    last_probe_time: Time | None = None
    last_transition_time: Time | None = None
    message: str = ""
    observed_generation: int | None = None
    reason: str = ""
    status: str = ""
    type: str = ""


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


class Binding(KubeObject):
    target: ObjectReference | None = None


class PodTemplateSpec(Struct):
    metadata: ObjectMeta | None = None
    spec: PodSpec | None = None


class PodTemplate(KubeObject):
    template: PodTemplateSpec | None = None
