"""cdi.kubevirt.io/v1beta1 types that a VirtualMachine refers to."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.core import (
    PersistentVolumeClaimSpec,
    TypedLocalObjectReference,
    TypedObjectReference,
    VolumeResourceRequirements,
)
from edgevirt.api.meta import LabelSelector, Struct


class DataVolumeCheckpoint(Struct):
    current: str
    previous: str


class DataVolumeBlankImage(Struct):
    pass


class DataVolumeSourceGCS(Struct):
    secret_ref: str = ""
    url: str


class DataVolumeSourceHTTP(Struct):
    cert_config_map: str = ""
    extra_headers: tuple[str, ...] = ()
    secret_extra_headers: tuple[str, ...] = ()
    secret_ref: str = ""
    url: str


class DataVolumeSourceImageIO(Struct):
    cert_config_map: str = ""
    disk_id: str
    insecure_skip_verify: bool | None = None
    secret_ref: str = ""
    url: str


class DataVolumeSourcePVC(Struct):
    name: str
    namespace: str


class PlatformOptions(Struct):
    architecture: str = ""


class DataVolumeSourceRegistry(Struct):
    cert_config_map: str = ""
    image_stream: str = ""
    platform: PlatformOptions | None = None
    pull_method: str = ""
    secret_ref: str = ""
    url: str = ""


class DataVolumeSourceS3(Struct):
    cert_config_map: str = ""
    secret_ref: str = ""
    url: str


class DataVolumeSourceSnapshot(Struct):
    name: str
    namespace: str


class DataVolumeSourceUpload(Struct):
    pass


class DataVolumeSourceVDDK(Struct):
    backing_file: str = ""
    extra_args: str = ""
    init_image_url: str = field(default="", name="initImageURL")
    secret_ref: str = ""
    thumbprint: str = ""
    url: str = ""
    uuid: str = ""


class DataVolumeSource(Struct):
    blank: DataVolumeBlankImage | None = None
    gcs: DataVolumeSourceGCS | None = None
    http: DataVolumeSourceHTTP | None = None
    imageio: DataVolumeSourceImageIO | None = None
    pvc: DataVolumeSourcePVC | None = None
    registry: DataVolumeSourceRegistry | None = None
    s3: DataVolumeSourceS3 | None = None
    snapshot: DataVolumeSourceSnapshot | None = None
    upload: DataVolumeSourceUpload | None = None
    vddk: DataVolumeSourceVDDK | None = None


class DataVolumeSourceRef(Struct):
    kind: str
    name: str
    namespace: str = ""


class StorageSpec(Struct):
    access_modes: tuple[str, ...] = ()
    data_source: TypedLocalObjectReference | None = None
    data_source_ref: TypedObjectReference | None = None
    resources: VolumeResourceRequirements | None = None
    selector: LabelSelector | None = None
    storage_class_name: str = ""
    volume_mode: str = ""
    volume_name: str = ""


class DataVolumeSpec(Struct):
    checkpoints: tuple[DataVolumeCheckpoint, ...] = ()
    content_type: str = ""
    final_checkpoint: bool | None = None
    preallocation: bool | None = None
    priority_class_name: str = ""
    pvc: PersistentVolumeClaimSpec | None = None
    source: DataVolumeSource | None = None
    source_ref: DataVolumeSourceRef | None = None
    storage: StorageSpec | None = None
