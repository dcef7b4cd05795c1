"""The launcher pod of a VirtualMachineInstance, in KubeVirt's shape: a pure function.

Differences from KubeVirt's pod, each on purpose (docs/differences.md): no container for the console log and
none per containerDisk (35 MB and up to 40 MB each), no readiness gate while guests cannot be paused, and a
memory request from measured overheads. A containerDisk is an `image` volume, so pulling, pull policies and
pull errors are the kubelet's.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import msgspec

from edgevirt.api import quantity
from edgevirt.api.kubevirt import VIRTUAL_MACHINE_INSTANCES, VirtualMachineInstance, labels
from edgevirt.api.kubevirt.instance import VirtualMachineInstanceSpec
from edgevirt.api.kubevirt.volumes import Volume
from edgevirt.kube.ownership import owner_reference
from edgevirt.virt_controller.overhead import guest_memory, memory_overhead, vcpus

LAUNCHER_UID = 107
"""User and group the launcher, libvirtd and QEMU run as; KubeVirt's number."""
DEFAULT_GRACE_SECONDS = 30
CPU_ALLOCATION_RATIO = 10
QEMU_TIMEOUT = "300s"

PRIVATE_DIR = "/var/run/kubevirt-private"
SHARE_DIR = "/var/run/kubevirt"
EPHEMERAL_DIR = "/var/run/kubevirt-ephemeral-disks"
IMAGE_VOLUME_DIR = "/var/run/kubevirt-image-volume"
SECRET_DIR = f"{PRIVATE_DIR}/secret"

_EMPTY_DIRS = (
    ("private", PRIVATE_DIR),
    ("public", SHARE_DIR),
    ("ephemeral-disks", EPHEMERAL_DIR),
    ("libvirt-runtime", "/var/run/libvirt"),
    ("sockets", f"{SHARE_DIR}/sockets"),
)
_MAX_LABEL = 63


@dataclasses.dataclass(frozen=True, slots=True)
class LauncherSettings:
    """What the cluster contributes. `use_kvm`: request /dev/kvm, i.e. some node has proven it."""

    image: str
    image_pull_policy: str = "IfNotPresent"
    use_kvm: bool = False


def render(vmi: VirtualMachineInstance, settings: LauncherSettings) -> dict[str, Any]:
    """The pod manifest. Raises ValueError for what admission should have refused."""
    spec = vmi.spec
    overhead = memory_overhead(spec.domain, emulation=not settings.use_kvm)
    grace = spec.termination_grace_period_seconds
    grace = DEFAULT_GRACE_SECONDS if grace is None else grace
    volumes, mounts = _volumes(spec)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"virt-launcher-{vmi.metadata.name}-",
            "namespace": vmi.metadata.namespace,
            "labels": _labels(vmi),
            "annotations": _annotations(vmi, overhead),
            "ownerReferences": [msgspec.to_builtins(owner_reference(vmi, VIRTUAL_MACHINE_INSTANCES))],
        },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": grace + 30,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "hostname": _hostname(spec.hostname or vmi.metadata.name),
            **({"subdomain": spec.subdomain} if spec.subdomain else {}),
            **({"schedulerName": spec.scheduler_name} if spec.scheduler_name else {}),
            **({"priorityClassName": spec.priority_class_name} if spec.priority_class_name else {}),
            **({"dnsPolicy": spec.dns_policy} if spec.dns_policy else {}),
            **({"tolerations": msgspec.to_builtins(spec.tolerations)} if spec.tolerations else {}),
            "nodeSelector": _node_selector(spec),
            "securityContext": {
                "runAsUser": LAUNCHER_UID,
                "runAsGroup": LAUNCHER_UID,
                "runAsNonRoot": True,
                "fsGroup": LAUNCHER_UID,
            },
            **_pull_secrets(spec),
            "containers": [_compute(vmi, settings, overhead, grace, mounts)],
            "volumes": volumes,
        },
    }


def _compute(
    vmi: VirtualMachineInstance,
    settings: LauncherSettings,
    overhead: int,
    grace: int,
    mounts: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "name": "compute",
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["/usr/bin/virt-launcher-monitor"],
        "args": [
            *("--qemu-timeout", QEMU_TIMEOUT),
            *("--name", vmi.metadata.name),
            *("--uid", vmi.metadata.uid),
            *("--namespace", vmi.metadata.namespace),
            *("--kubevirt-share-dir", SHARE_DIR),
            *("--ephemeral-disk-dir", EPHEMERAL_DIR),
            *("--container-disk-dir", f"{SHARE_DIR}/container-disks"),
            *("--grace-period-seconds", str(grace + 15)),
            *("--hook-sidecars", "0"),
            *("--ovmf-path", "/usr/share/OVMF"),
            *("--hypervisor", "kvm"),
            "--run-as-nonroot",
            "--image-volume",
            *(() if settings.use_kvm else ("--allow-emulation",)),
        ],
        "env": [
            {"name": "XDG_CACHE_HOME", "value": PRIVATE_DIR},
            {"name": "XDG_CONFIG_HOME", "value": PRIVATE_DIR},
            {"name": "XDG_RUNTIME_DIR", "value": "/var/run"},
            {
                "name": "POD_NAME",
                "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
            },
        ],
        "resources": _resources(vmi.spec, settings, overhead),
        "volumeMounts": mounts,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "runAsUser": LAUNCHER_UID,
            "runAsGroup": LAUNCHER_UID,
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        },
    }


def _resources(spec: VirtualMachineInstanceSpec, settings: LauncherSettings, overhead: int) -> dict[str, Any]:
    """Requests and limits of the compute container: what the user asked plus the overhead and the devices."""
    asked = spec.domain.resources
    asked_requests = dict(asked.requests) if asked else {}
    asked_limits = dict(asked.limits) if asked else {}
    requests: dict[str, Any] = {"ephemeral-storage": "50M"}
    limits: dict[str, Any] = {}
    if "cpu" in asked_requests:
        requests["cpu"] = quantity.canonical(asked_requests["cpu"])
    else:
        requests["cpu"] = f"{vcpus(spec.domain) * 1000 // CPU_ALLOCATION_RATIO}m"
    if "cpu" in asked_limits:
        limits["cpu"] = quantity.canonical(asked_limits["cpu"])
    # A request below the guest's memory is the user's decision to overcommit.
    base = (
        quantity.to_bytes(asked_requests["memory"])
        if "memory" in asked_requests
        else guest_memory(spec.domain)
    )
    requests["memory"] = quantity.format_binary(base + overhead)
    if "memory" in asked_limits:
        limits["memory"] = quantity.format_binary(quantity.to_bytes(asked_limits["memory"]) + overhead)
    devices = [labels.DEVICE_KVM] if settings.use_kvm else []
    if spec.domain.devices.interfaces:
        devices.append(labels.DEVICE_TUN)
    for device in devices:
        requests[device] = limits[device] = "1"
    return {"requests": requests, "limits": limits} if limits else {"requests": requests}


def _volumes(spec: VirtualMachineInstanceSpec) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Pod volumes and the mounts of the compute container."""
    volumes: list[dict[str, Any]] = [{"name": name, "emptyDir": {}} for name, _ in _EMPTY_DIRS]
    mounts: list[dict[str, Any]] = [{"name": name, "mountPath": path} for name, path in _EMPTY_DIRS]
    for index, volume in enumerate(spec.volumes):
        if volume.container_disk is not None:
            disk = volume.container_disk
            image: dict[str, Any] = {"reference": disk.image}
            if disk.image_pull_policy:
                image["pullPolicy"] = disk.image_pull_policy
            volumes.append({"name": volume.name, "image": image})
            path = f"{IMAGE_VOLUME_DIR}/disk_{index}"
            mounts.append({"name": volume.name, "mountPath": path, "readOnly": True})
        for suffix, secret in _cloud_init_secrets(volume):
            name = f"{volume.name}-{suffix}"
            volumes.append({"name": name, "secret": {"secretName": secret}})
            path = f"{SECRET_DIR}/{volume.name}/{suffix}"
            mounts.append({"name": name, "mountPath": path, "readOnly": True})
    return volumes, mounts


def _cloud_init_secrets(volume: Volume) -> list[tuple[str, str]]:
    """(directory, secret) pairs that a cloud-init volume refers to."""
    source = volume.cloud_init_no_cloud
    if source is None:
        return []
    found = []
    if source.secret_ref is not None:
        found.append(("udata", source.secret_ref.name))
    if source.network_data_secret_ref is not None:
        found.append(("ndata", source.network_data_secret_ref.name))
    return found


def _pull_secrets(spec: VirtualMachineInstanceSpec) -> dict[str, Any]:
    names = {
        volume.container_disk.image_pull_secret
        for volume in spec.volumes
        if volume.container_disk is not None and volume.container_disk.image_pull_secret
    }
    return {"imagePullSecrets": [{"name": name} for name in sorted(names)]} if names else {}


def _node_selector(spec: VirtualMachineInstanceSpec) -> dict[str, str]:
    selector = dict(spec.node_selector)
    selector[labels.SCHEDULABLE] = "true"
    if spec.architecture:
        selector["kubernetes.io/arch"] = spec.architecture
    machine = spec.domain.machine
    if machine is not None and machine.type:
        selector[f"{labels.MACHINE_TYPE_PREFIX}{machine.type}"] = "true"
    return selector


def _labels(vmi: VirtualMachineInstance) -> dict[str, str]:
    return {
        **vmi.metadata.labels,
        labels.APP: labels.APP_LAUNCHER,
        labels.CREATED_BY: vmi.metadata.uid,
        labels.VM_NAME: _shortened(vmi.metadata.name),
        labels.VMI_ID: _shortened(vmi.metadata.name),
    }


def _annotations(vmi: VirtualMachineInstance, overhead: int) -> dict[str, str]:
    left_out = (labels.LATEST_OBSERVED_API_VERSION, labels.STORAGE_OBSERVED_API_VERSION)
    carried = {
        key: value
        for key, value in vmi.metadata.annotations.items()
        if not key.startswith("kubectl.kubernetes.io/") and key not in left_out
    }
    return {
        **carried,
        labels.DOMAIN: vmi.metadata.name,
        labels.DEFAULT_CONTAINER: "compute",
        labels.MEMORY_OVERHEAD_BYTES: str(overhead),
        labels.MIGRATION_TRANSPORT_UNIX: "true",
        labels.DESCHEDULER_REQUEST_EVICT_ONLY: "",
    }


def _shortened(name: str) -> str:
    """A label value for a name that may be longer than one."""
    if len(name) <= _MAX_LABEL:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _MAX_LABEL - 9]}-{digest}"


def _hostname(name: str) -> str:
    """A DNS-1123 label from an object name: up to the first dot, at most 63 characters."""
    return name.split(".", 1)[0][:_MAX_LABEL].rstrip("-")
