"""Where the content of a guest's disks comes from."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import field

from edgevirt.api import core
from edgevirt.api.core import LocalObjectReference, ObjectFieldSelector, ResourceFieldSelector
from edgevirt.api.meta import Quantity, Struct
from edgevirt.api.schema import REQUIRED, Schema


class CloudInitConfigDriveSource(Struct):
    """Cloud-init data on a drive labelled config-2, in OpenStack's layout."""

    network_data: str = ""
    """Network configuration as text, at most 2048 bytes."""
    network_data_base64: str = ""
    """Network configuration in base64."""
    network_data_secret_ref: LocalObjectReference | None = None
    """Secret with the network configuration under `networkdata`."""
    secret_ref: LocalObjectReference | None = None
    """Secret with the user data under `userdata`."""
    user_data: str = ""
    """User data as text, at most 2048 bytes."""
    user_data_base64: str = ""
    """User data in base64."""


class CloudInitNoCloudSource(Struct):
    """Cloud-init data on a drive labelled cidata."""

    network_data: str = ""
    """Network configuration as text, at most 2048 bytes."""
    network_data_base64: str = ""
    """Network configuration in base64."""
    network_data_secret_ref: LocalObjectReference | None = None
    """Secret with the network configuration under `networkdata`."""
    secret_ref: LocalObjectReference | None = None
    """Secret with the user data under `userdata`."""
    user_data: str = ""
    """User data as text, at most 2048 bytes."""
    user_data_base64: str = ""
    """User data in base64."""


class ConfigMapVolumeSource(Struct):
    """A config map shown to the guest as a small disk of files."""

    schema: ClassVar[Schema] = Schema(map_type="atomic")

    name: Annotated[str, Schema(default="")] = ""
    """Name of the config map."""
    optional: bool | None = None
    """Start even if it does not exist."""
    volume_label: str = ""
    """Label of the file system."""


class ContainerDiskSource(Struct):
    """A disk image inside an OCI image; what the guest writes is lost when it stops."""

    image: str
    """Reference of the OCI image."""
    image_pull_policy: str = ""
    """When to fetch: Always, IfNotPresent or Never; default Always for :latest, else IfNotPresent."""
    image_pull_secret: str = ""
    """Secret with the registry's credentials."""
    path: str = ""
    """The disk image's absolute path in the OCI image; absent: the only file below /disk."""


class ContainerPathVolumeSource(Struct):
    """A directory of the launcher's container shared with the guest."""

    path: Annotated[str, Schema(max_length=4096)]
    """Absolute path in the container."""
    read_only: Annotated[bool | None, Schema(default=True)] = None
    """Always true."""


class DataVolumeSource(Struct):
    """The persistent volume claim that a DataVolume fills."""

    hotpluggable: bool | None = None
    """May be attached and detached while the guest runs."""
    name: str
    """Name of the DataVolume."""


class DownwardAPIVolumeFile(Struct):
    """A file with one field of the instance."""

    field_ref: ObjectFieldSelector | None = None
    """A field of the metadata."""
    mode: int | None = None
    """Permissions of the file."""
    path: Annotated[str, REQUIRED] = ""
    """Name of the file."""
    resource_field_ref: ResourceFieldSelector | None = None
    """A resource of the launcher."""


class DownwardAPIVolumeSource(Struct):
    """Fields of the instance shown to the guest as files on a small disk."""

    fields: tuple[DownwardAPIVolumeFile, ...] = ()
    """Which fields, and the files they go to."""
    volume_label: str = ""
    """Label of the file system."""


class DownwardMetricsVolumeSource(Struct):
    """Present: a small disk with metrics of the guest and its host."""


class EmptyDiskSource(Struct):
    """An empty disk that lives as long as the instance."""

    capacity: Quantity
    """Size."""


class EphemeralVolumeSource(Struct):
    """A persistent volume claim that is only read; what the guest writes is lost when it stops."""

    persistent_volume_claim: core.PersistentVolumeClaimVolumeSource | None = None
    """The claim."""


class HostDisk(Struct):
    """A disk image in a file of the node."""

    capacity: Quantity | None = None
    """Size of a file that is created."""
    path: str
    """Absolute path of the file on the node."""
    shared: bool | None = None
    """Every node sees the same file."""
    type: str
    """Disk: it must exist. DiskOrCreate: it is created if it does not."""


class MemoryDumpVolumeSource(Struct):
    """A claim that receives a memory dump of the guest; no disk."""

    claim_name: str
    """Name of the claim."""
    hotpluggable: bool | None = None
    """May be attached and detached while the guest runs."""
    read_only: bool | None = None
    """The guest may only read."""


class PersistentVolumeClaimVolumeSource(Struct):
    """A persistent volume claim: a whole block device, or the file disk.img on a file system."""

    claim_name: str
    """Name of the claim."""
    hotpluggable: bool | None = None
    """May be attached and detached while the guest runs."""
    read_only: bool | None = None
    """The guest may only read."""


class SecretVolumeSource(Struct):
    """A secret shown to the guest as a small disk of files."""

    optional: bool | None = None
    """Start even if it does not exist."""
    secret_name: str = ""
    """Name of the secret."""
    volume_label: str = ""
    """Label of the file system."""


class ServiceAccountVolumeSource(Struct):
    """The token of a service account shown to the guest as a small disk of files."""

    service_account_name: str = ""
    """Name of the service account."""


class SysprepSource(Struct):
    """Answer files for setting up Windows: exactly one source."""

    config_map: LocalObjectReference | None = None
    """Config map with the files."""
    secret: LocalObjectReference | None = None
    """Secret with the files."""


class Volume(Struct):
    """Where a disk's content comes from: exactly one source."""

    cloud_init_config_drive: CloudInitConfigDriveSource | None = None
    """Cloud-init data as a config drive."""
    cloud_init_no_cloud: CloudInitNoCloudSource | None = None
    """Cloud-init data as NoCloud."""
    config_map: ConfigMapVolumeSource | None = None
    """A config map."""
    container_disk: ContainerDiskSource | None = None
    """A disk image in an OCI image."""
    container_path: ContainerPathVolumeSource | None = None
    """A directory of the launcher's container."""
    data_volume: DataVolumeSource | None = None
    """A DataVolume."""
    downward_api: DownwardAPIVolumeSource | None = field(default=None, name="downwardAPI")
    """Fields of the instance."""
    downward_metrics: DownwardMetricsVolumeSource | None = None
    """Metrics."""
    empty_disk: EmptyDiskSource | None = None
    """An empty disk."""
    ephemeral: EphemeralVolumeSource | None = None
    """A claim with a throw-away layer above it."""
    host_disk: HostDisk | None = None
    """A file of the node."""
    memory_dump: MemoryDumpVolumeSource | None = None
    """Target of a memory dump."""
    name: str
    """Name, unique in the instance; a disk of the same name shows it."""
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    """A persistent volume claim."""
    secret: SecretVolumeSource | None = None
    """A secret."""
    service_account: ServiceAccountVolumeSource | None = None
    """A service account's token."""
    sysprep: SysprepSource | None = None
    """Windows answer files."""


class UtilityVolume(Struct):
    """A claim for the launcher's own use; the guest does not see it."""

    claim_name: str
    """Name of the claim."""
    name: str
    """Name, unique among all volumes."""
    read_only: bool | None = None
    """Only read from it."""
    type: str = ""
    """MemoryDump or Backup."""
