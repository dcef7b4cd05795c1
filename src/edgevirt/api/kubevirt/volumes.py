"""kubevirt.io/v1 types: volumes."""

from __future__ import annotations

from msgspec import field

from edgevirt.api import core
from edgevirt.api.core import DownwardAPIVolumeFile, LocalObjectReference
from edgevirt.api.meta import Quantity, Struct


class CloudInitConfigDriveSource(Struct):
    network_data: str = ""
    network_data_base64: str = ""
    network_data_secret_ref: LocalObjectReference | None = None
    secret_ref: LocalObjectReference | None = None
    user_data: str = ""
    user_data_base64: str = ""


class CloudInitNoCloudSource(Struct):
    network_data: str = ""
    network_data_base64: str = ""
    network_data_secret_ref: LocalObjectReference | None = None
    secret_ref: LocalObjectReference | None = None
    user_data: str = ""
    user_data_base64: str = ""


class ConfigMapVolumeSource(Struct):
    name: str = ""
    optional: bool | None = None
    volume_label: str = ""


class ContainerDiskSource(Struct):
    image: str
    image_pull_policy: str = ""
    image_pull_secret: str = ""
    path: str = ""


class ContainerPathVolumeSource(Struct):
    path: str
    read_only: bool | None = None


class DataVolumeSource(Struct):
    hotpluggable: bool | None = None
    name: str


class DownwardAPIVolumeSource(Struct):
    fields: tuple[DownwardAPIVolumeFile, ...] = ()
    volume_label: str = ""


class DownwardMetricsVolumeSource(Struct):
    pass


class EmptyDiskSource(Struct):
    capacity: Quantity


class EphemeralVolumeSource(Struct):
    persistent_volume_claim: core.PersistentVolumeClaimVolumeSource | None = None


class HostDisk(Struct):
    capacity: Quantity | None = None
    path: str
    shared: bool | None = None
    type: str


class MemoryDumpVolumeSource(Struct):
    claim_name: str
    hotpluggable: bool | None = None
    read_only: bool | None = None


class PersistentVolumeClaimVolumeSource(Struct):
    claim_name: str
    hotpluggable: bool | None = None
    read_only: bool | None = None


class SecretVolumeSource(Struct):
    optional: bool | None = None
    secret_name: str = ""
    volume_label: str = ""


class ServiceAccountVolumeSource(Struct):
    service_account_name: str = ""


class SysprepSource(Struct):
    config_map: LocalObjectReference | None = None
    secret: LocalObjectReference | None = None


class Volume(Struct):
    cloud_init_config_drive: CloudInitConfigDriveSource | None = None
    cloud_init_no_cloud: CloudInitNoCloudSource | None = None
    config_map: ConfigMapVolumeSource | None = None
    container_disk: ContainerDiskSource | None = None
    container_path: ContainerPathVolumeSource | None = None
    data_volume: DataVolumeSource | None = None
    downward_api: DownwardAPIVolumeSource | None = field(default=None, name="downwardAPI")
    downward_metrics: DownwardMetricsVolumeSource | None = None
    empty_disk: EmptyDiskSource | None = None
    ephemeral: EphemeralVolumeSource | None = None
    host_disk: HostDisk | None = None
    memory_dump: MemoryDumpVolumeSource | None = None
    name: str
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    secret: SecretVolumeSource | None = None
    service_account: ServiceAccountVolumeSource | None = None
    sysprep: SysprepSource | None = None


class UtilityVolume(Struct):
    claim_name: str
    name: str
    read_only: bool | None = None
    type: str = ""
