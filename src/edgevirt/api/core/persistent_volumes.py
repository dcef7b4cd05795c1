"""Kubernetes core/v1: PersistentVolume."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.core.affinity import NodeSelector
from edgevirt.api.core.references import ObjectReference, SecretReference
from edgevirt.api.core.volumes import HostPathVolumeSource, NFSVolumeSource
from edgevirt.api.meta import KubeObject, Quantity, Struct, Time


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
