"""Kubernetes core/v1: PersistentVolumeClaim."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from edgevirt.api.core.references import TypedLocalObjectReference, TypedObjectReference
from edgevirt.api.meta import KubeObject, LabelSelector, ObjectMeta, Quantity, Struct, Time
from edgevirt.api.schema import ATOMIC


class VolumeResourceRequirements(Struct):
    limits: dict[str, Quantity] = field(default_factory=dict)
    requests: dict[str, Quantity] = field(default_factory=dict)


class PersistentVolumeClaimSpec(Struct):
    access_modes: Annotated[tuple[str, ...], ATOMIC] = ()
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


class VolumeHealthCondition(Struct):
    message: str = ""
    reason: str = ""
    status: str = ""


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
