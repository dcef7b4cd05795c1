"""cdi.kubevirt.io/v1beta1 types that a VirtualMachine refers to."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from edgevirt.api.core import (
    PersistentVolumeClaimSpec,
    TypedLocalObjectReference,
    TypedObjectReference,
    VolumeResourceRequirements,
)
from edgevirt.api.meta import LabelSelector, Struct
from edgevirt.api.schema import Schema


class DataVolumeCheckpoint(Struct):
    """One stage of a warm migration."""

    current: str
    """Snapshot this stage ends with."""
    previous: str
    """Snapshot it starts from."""


class DataVolumeBlankImage(Struct):
    """Present: an empty image."""


class DataVolumeSourceGCS(Struct):
    """An object in Google Cloud Storage."""

    secret_ref: str = ""
    """Secret with credentials."""
    url: str
    """Address."""


class DataVolumeSourceHTTP(Struct):
    """A file behind HTTP or HTTPS."""

    cert_config_map: str = ""
    """Config map with certificates to trust."""
    extra_headers: tuple[str, ...] = ()
    """Headers to send."""
    secret_extra_headers: tuple[str, ...] = ()
    """Secrets with headers to send."""
    secret_ref: str = ""
    """Secret with credentials."""
    url: str
    """Address."""


class DataVolumeSourceImageIO(Struct):
    """A disk of oVirt."""

    cert_config_map: str = ""
    """Config map with certificates to trust."""
    disk_id: str
    """Id of the disk."""
    insecure_skip_verify: bool | None = None
    """Do not verify the server."""
    secret_ref: str = ""
    """Secret with credentials."""
    url: str
    """Address."""


class DataVolumeSourcePVC(Struct):
    """A copy of a claim."""

    name: str
    """Name of the claim."""
    namespace: str
    """Its namespace."""


class PlatformOptions(Struct):
    """Which variant of an image."""

    architecture: str = ""
    """CPU architecture."""


class DataVolumeSourceRegistry(Struct):
    """A disk image inside an OCI image."""

    cert_config_map: str = ""
    """Config map with certificates to trust."""
    image_stream: str = ""
    """Image stream on OpenShift."""
    platform: PlatformOptions | None = None
    """Which variant."""
    pull_method: str = ""
    """pod or node."""
    secret_ref: str = ""
    """Secret with credentials."""
    url: str = ""
    """Address, docker:// or oci-archive://."""


class DataVolumeSourceS3(Struct):
    """An object in S3."""

    cert_config_map: str = ""
    """Config map with certificates to trust."""
    secret_ref: str = ""
    """Secret with credentials."""
    url: str
    """Address."""


class DataVolumeSourceSnapshot(Struct):
    """A copy of a volume snapshot."""

    name: str
    """Name of the snapshot."""
    namespace: str
    """Its namespace."""


class DataVolumeSourceUpload(Struct):
    """Present: a client sends the image."""


class DataVolumeSourceVDDK(Struct):
    """A disk of VMware."""

    backing_file: str = ""
    """Path of the disk there."""
    extra_args: str = ""
    """Config map with more arguments."""
    init_image_url: str = field(default="", name="initImageURL")
    """Image with VMware's library."""
    secret_ref: str = ""
    """Secret with credentials."""
    thumbprint: str = ""
    """Thumbprint of the server's certificate."""
    url: str = ""
    """Address of vCenter or ESXi."""
    uuid: str = ""
    """UUID of the machine."""


class DataVolumeSource(Struct):
    """Where the content comes from: exactly one."""

    blank: DataVolumeBlankImage | None = None
    """Nothing: an empty image."""
    gcs: DataVolumeSourceGCS | None = None
    """Google Cloud Storage."""
    http: DataVolumeSourceHTTP | None = None
    """HTTP."""
    imageio: DataVolumeSourceImageIO | None = None
    """oVirt."""
    pvc: DataVolumeSourcePVC | None = None
    """Another claim."""
    registry: DataVolumeSourceRegistry | None = None
    """An OCI image."""
    s3: DataVolumeSourceS3 | None = None
    """S3."""
    snapshot: DataVolumeSourceSnapshot | None = None
    """A volume snapshot."""
    upload: DataVolumeSourceUpload | None = None
    """An upload."""
    vddk: DataVolumeSourceVDDK | None = None
    """VMware."""


class DataVolumeSourceRef(Struct):
    """A named source of content."""

    kind: str
    """DataSource."""
    name: str
    """Name."""
    namespace: str = ""
    """Its namespace."""


class StorageSpec(Struct):
    """The claim to make, with gaps filled from the storage class's profile."""

    access_modes: tuple[str, ...] = ()
    """Access modes."""
    data_source: TypedLocalObjectReference | None = None
    """Object the claim is made from."""
    data_source_ref: TypedObjectReference | None = None
    """Object the claim is made from, of any kind."""
    resources: VolumeResourceRequirements | None = None
    """Size."""
    selector: LabelSelector | None = None
    """Which volumes fit."""
    storage_class_name: str = ""
    """Storage class."""
    volume_mode: str = ""
    """Block or Filesystem."""
    volume_name: str = ""
    """A particular volume."""


class DataVolumeSpec(Struct):
    """A claim and what fills it."""

    checkpoints: tuple[DataVolumeCheckpoint, ...] = ()
    """Stages of a warm migration."""
    content_type: Annotated[str, Schema(enum=("kubevirt", "archive"))] = ""
    """kubevirt (a disk image, default) or archive."""
    final_checkpoint: bool | None = None
    """The last stage is listed."""
    preallocation: bool | None = None
    """Allocate all space at once."""
    priority_class_name: str = ""
    """Priority of the pods that fill it."""
    pvc: PersistentVolumeClaimSpec | None = None
    """The claim, exactly as given."""
    source: DataVolumeSource | None = None
    """What fills it."""
    source_ref: DataVolumeSourceRef | None = None
    """Named source of what fills it."""
    storage: StorageSpec | None = None
    """The claim, with gaps filled."""
