"""Labels, annotations and finalizers that are part of the API between components and with users' tools.

KubeVirt's keys are spelled exactly as there, because selectors and dashboards of users rely on them. Keys
of our own are in the domain `edgevirt.io`.
"""

from __future__ import annotations

from typing import Final

# Labels of instances and launcher pods

APP: Final = "kubevirt.io"
"""On pods: which role they play."""
APP_LAUNCHER: Final = "virt-launcher"
"""Value of `APP` on launcher pods."""
CREATED_BY: Final = "kubevirt.io/created-by"
"""On launcher pods: uid of the instance."""
NODE_NAME: Final = "kubevirt.io/nodeName"
"""On instances, from Scheduled on: the node; virt-handler selects by it."""
DOMAIN: Final = "kubevirt.io/domain"
"""Annotation of launcher pods: name of the instance. Users also set it as a label on templates."""
VM_NAME: Final = "vm.kubevirt.io/name"
"""On launcher pods: name of the instance, for services that select one machine."""
VMI_ID: Final = "vmi.kubevirt.io/id"
"""On launcher pods: name of the instance, hashed if it is longer than a label value may be."""
MIGRATION_JOB_UID: Final = "kubevirt.io/migrationJobUID"
MIGRATION_TARGET_NODE: Final = "kubevirt.io/migrationTargetNodeName"
OUTDATED_LAUNCHER_IMAGE: Final = "kubevirt.io/outdatedLauncherImage"
INSTALL_STRATEGY: Final = "kubevirt.io/install-strategy"

RESERVED_LABELS: Final = frozenset(
    {
        CREATED_BY,
        "kubevirt.io/migrationJobUID",
        NODE_NAME,
        MIGRATION_TARGET_NODE,
        "kubevirt.io",
        INSTALL_STRATEGY,
    }
)
"""Labels of an instance that only the components may set."""

# Labels of nodes

SCHEDULABLE: Final = "kubevirt.io/schedulable"
"""On nodes: "true" while their virt-handler is alive and its devices are announced."""
CPU_MANAGER: Final = "cpumanager"
VM_ARCH_PREFIX: Final = "kubevirt.io/vm-arch-"
CPU_MODEL_PREFIX: Final = "cpu-model.node.kubevirt.io/"
CPU_FEATURE_PREFIX: Final = "cpu-feature.node.kubevirt.io/"
HOST_MODEL_CPU_PREFIX: Final = "host-model-cpu.node.kubevirt.io/"
HOST_MODEL_FEATURES_PREFIX: Final = "host-model-required-features.node.kubevirt.io/"
CPU_VENDOR_PREFIX: Final = "cpu-vendor.node.kubevirt.io/"
MACHINE_TYPE_PREFIX: Final = "machine-type.node.kubevirt.io/"
HYPERV_PREFIX: Final = "hyperv.node.kubevirt.io/"

# Annotations

HEARTBEAT: Final = "kubevirt.io/heartbeat"
"""On nodes: when virt-handler last said it is alive."""
VM_GENERATION: Final = "kubevirt.io/vm-generation"
"""On instances: `metadata.generation` of the machine whose template they were made from."""
LATEST_OBSERVED_API_VERSION: Final = "kubevirt.io/latest-observed-api-version"
STORAGE_OBSERVED_API_VERSION: Final = "kubevirt.io/storage-observed-api-version"
MIGRATION_TRANSPORT_UNIX: Final = "kubevirt.io/migrationTransportUnix"
MEMORY_OVERHEAD_BYTES: Final = "kubevirt.io/memory-overhead-bytes"
EPHEMERAL_PROVISIONING: Final = "kubevirt.io/ephemeral-provisioning"
IMMEDIATE_DATA_VOLUME_CREATION: Final = "kubevirt.io/immediate-data-volume-creation"
PCI_TOPOLOGY_VERSION: Final = "kubevirt.io/pci-topology-version"
"""On templates and instances: how PCI slots are laid out, so that addresses stay over upgrades."""
PCI_TOPOLOGY_CURRENT: Final = "v3"
ALLOW_POD_BRIDGE_MIGRATION: Final = "kubevirt.io/allow-pod-bridge-network-live-migration"
EVICTION_SOURCE: Final = "kubevirt.io/eviction-source"
IGNITION_DATA: Final = "kubevirt.io/ignitiondata"
HOOK_SIDECARS: Final = "hooks.kubevirt.io/hookSidecars"
CREATE_MIGRATION_TARGET: Final = "kubevirt.io/create-migration-target"
RESTORE_RUN_STRATEGY: Final = "kubevirt.io/restore-run-strategy"
KEEP_LAUNCHER_AFTER_FAILURE: Final = "kubevirt.io/keep-launcher-alive-after-failure"
DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
DESCHEDULER_REQUEST_EVICT_ONLY: Final = "descheduler.alpha.kubernetes.io/request-evict-only"

# Annotations of our own

HANDLER_ADDRESS: Final = "edgevirt.io/virt-handler-address"
"""On nodes: "host:port" where virt-handler serves consoles; written by virt-handler."""
HANDLER_PORT: Final = 8186
"""Port of virt-handler when a node carries no `HANDLER_ADDRESS`."""

# Finalizers and pod gates

VMI_FINALIZER: Final = "kubevirt.io/foregroundDeleteVirtualMachine"
"""On instances: virt-handler or virt-controller must see the guest ended before the object goes."""
VM_FINALIZER: Final = "kubevirt.io/virtualMachineControllerFinalize"
"""On machines: their instance is deleted first."""
MIGRATION_FINALIZER: Final = "kubevirt.io/migrationJobFinalize"
UNPAUSED_READINESS_GATE: Final = "kubevirt.io/virtual-machine-unpaused"

# Extended resources of nodes

DEVICE_KVM: Final = "devices.kubevirt.io/kvm"
DEVICE_TUN: Final = "devices.kubevirt.io/tun"
DEVICE_VHOST_NET: Final = "devices.kubevirt.io/vhost-net"
