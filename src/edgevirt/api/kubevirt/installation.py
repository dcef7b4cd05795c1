"""The KubeVirt object: an installation, its components, certificates and state."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from edgevirt.api.core import Affinity, LocalObjectReference, Toleration
from edgevirt.api.kubevirt.configuration import KubeVirtConfiguration
from edgevirt.api.meta import Duration, KubeObject, Struct
from edgevirt.api.schema import ATOMIC, REQUIRED, Schema


class NodePlacement(Struct):
    """Where pods may run."""

    affinity: Affinity | None = None
    """Rules about nodes and neighbours."""
    node_selector: dict[str, str] = field(default_factory=dict)
    """Labels the node must carry."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints that are tolerated."""


class ComponentConfig(Struct):
    """How components run."""

    node_placement: NodePlacement | None = None
    """Where."""
    replicas: int | None = None
    """How many."""


class CustomizeComponentsPatch(Struct):
    """A patch on a component's manifest."""

    patch: str
    """The patch."""
    resource_name: Annotated[str, Schema(min_length=1)]
    """Name of the object."""
    resource_type: Annotated[str, Schema(min_length=1)]
    """Kind of the object."""
    type: str
    """json, merge or strategic."""


class Flags(Struct):
    """Command line flags of components."""

    api: dict[str, str] = field(default_factory=dict)
    """Of virt-api."""
    controller: dict[str, str] = field(default_factory=dict)
    """Of virt-controller."""
    handler: dict[str, str] = field(default_factory=dict)
    """Of virt-handler."""


class CustomizeComponents(Struct):
    """Changes to the components' manifests."""

    flags: Flags | None = None
    """Flags."""
    patches: Annotated[tuple[CustomizeComponentsPatch, ...], ATOMIC] = ()
    """Patches."""


class CertConfig(Struct):
    """Life of certificates."""

    duration: Duration = ""
    """How long they are valid."""
    renew_before: Duration = ""
    """How long before the end they are renewed."""


class KubeVirtSelfSignConfiguration(Struct):
    """Certificates from a CA of our own."""

    ca: CertConfig | None = None
    """The CA's certificate."""
    ca_overlap_interval: Duration = ""
    """Superseded by `ca`."""
    ca_rotate_interval: Duration = ""
    """Superseded by `ca`."""
    cert_rotate_interval: Duration = ""
    """Superseded by `server`."""
    server: CertConfig | None = None
    """Certificates of components."""


class KubeVirtCertificateRotateStrategy(Struct):
    """How certificates are renewed."""

    self_signed: KubeVirtSelfSignConfiguration | None = None
    """By a CA of our own."""


class KubeVirtWorkloadUpdateStrategy(Struct):
    """How running guests get to a new launcher."""

    batch_eviction_interval: Duration = ""
    """Time between two batches."""
    batch_eviction_size: int | None = None
    """Guests in a batch; default 10."""
    workload_update_methods: Annotated[tuple[str, ...], ATOMIC] = ()
    """LiveMigrate, Evict; none means guests stay as they are."""


class KubeVirtSpec(Struct):
    """The virtualization of a cluster as it is asked for."""

    certificate_rotate_strategy: KubeVirtCertificateRotateStrategy | None = None
    """Certificates."""
    configuration: KubeVirtConfiguration | None = None
    """Settings of virtualization."""
    customize_components: CustomizeComponents | None = None
    """Changes to components' manifests."""
    image_pull_policy: str = ""
    """When component images are fetched."""
    image_pull_secrets: Annotated[tuple[LocalObjectReference, ...], ATOMIC] = ()
    """Credentials for their registry."""
    image_registry: str = ""
    """Their registry."""
    image_tag: str = ""
    """Their tag."""
    infra: ComponentConfig | None = None
    """How control plane components run."""
    monitor_account: str = ""
    """Service account of the monitoring."""
    monitor_namespace: str = ""
    """Namespace of the monitoring."""
    product_component: str = ""
    """Label app.kubernetes.io/component."""
    product_name: str = ""
    """Label app.kubernetes.io/part-of."""
    product_version: str = ""
    """Label app.kubernetes.io/version."""
    service_monitor_namespace: str = ""
    """Namespace for ServiceMonitor objects."""
    synchronization_port: str = ""
    """Port of the synchronisation controller."""
    uninstall_strategy: str = ""
    """With guests still there: RemoveWorkloads or BlockUninstallIfWorkloadsExist."""
    workload_update_strategy: KubeVirtWorkloadUpdateStrategy | None = None
    """How running guests get to a new launcher."""
    workloads: ComponentConfig | None = None
    """How node components run."""


class GenerationStatus(Struct):
    """An object last applied."""

    group: str
    """Its group."""
    hash: str = ""
    """Hash of a config map or secret."""
    last_generation: int
    """Generation last applied."""
    name: str
    """Its name."""
    namespace: str = ""
    """Its namespace."""
    resource: str
    """Its kind."""


class KubeVirtCondition(Struct):
    """One statement about the virtualization of the cluster."""

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


class KubeVirtStatus(Struct):
    """The virtualization of a cluster as it is."""

    conditions: tuple[KubeVirtCondition, ...] = ()
    """Statements about it."""
    default_architecture: str = ""
    """Architecture of new machines."""
    generations: Annotated[tuple[GenerationStatus, ...], ATOMIC] = ()
    """Objects last applied."""
    observed_deployment_config: str = ""
    """Settings of the version that runs."""
    observed_deployment_id: str = field(default="", name="observedDeploymentID")
    """Id of the version that runs."""
    observed_generation: int | None = None
    """Generation last acted on."""
    observed_kube_virt_registry: str = ""
    """Registry of the version that runs."""
    observed_kube_virt_version: str = ""
    """Version that runs."""
    operator_version: str = ""
    """Version of the operator."""
    outdated_virtual_machine_instance_workloads: int | None = None
    """Guests on an older launcher."""
    phase: str = ""
    """Deploying, Deployed, Deleting or Deleted."""
    synchronization_addresses: Annotated[tuple[str, ...], ATOMIC] = ()
    """Addresses for migrations between clusters."""
    target_deployment_config: str = ""
    """Settings of the version to come."""
    target_deployment_id: str = field(default="", name="targetDeploymentID")
    """Id of the version to come."""
    target_kube_virt_registry: str = ""
    """Registry of the version to come."""
    target_kube_virt_version: str = ""
    """Version to come."""


class KubeVirt(KubeObject):
    """The virtualization of a cluster and its settings; there is one."""

    spec: KubeVirtSpec
    """What is asked for."""
    status: KubeVirtStatus | None = None
    """What is."""
