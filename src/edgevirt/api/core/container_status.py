"""Kubernetes core/v1: Containers of a pod as they are."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.core.container import ResourceRequirements
from edgevirt.api.meta import Struct, Time


class ResourceHealth(Struct):
    health: str = ""
    message: str = ""
    resource_id: str = field(default="", name="resourceID")


class ResourceStatus(Struct):
    name: str = ""
    resources: tuple[ResourceHealth, ...] = ()


class ContainerStateRunning(Struct):
    started_at: Time = ""


class ContainerStateTerminated(Struct):
    container_id: str = field(default="", name="containerID")
    exit_code: int | None = None
    finished_at: Time = ""
    message: str = ""
    reason: str = ""
    signal: int | None = None
    started_at: Time = ""


class ContainerStateWaiting(Struct):
    message: str = ""
    reason: str = ""


class ContainerState(Struct):
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None
    waiting: ContainerStateWaiting | None = None


class LinuxContainerUser(Struct):
    gid: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    uid: int | None = None


class ContainerUser(Struct):
    linux: LinuxContainerUser | None = None


class ImageVolumeStatus(Struct):
    image_ref: str = ""


class VolumeStatus(Struct):
    image: ImageVolumeStatus | None = None


class VolumeMountStatus(Struct):
    mount_path: str = ""
    name: str = ""
    read_only: bool | None = None
    recursive_read_only: str = ""
    volume_status: VolumeStatus | None = None


class ContainerStatus(Struct):
    allocated_resources: dict[str, str] = field(default_factory=dict)
    allocated_resources_status: tuple[ResourceStatus, ...] = ()
    container_id: str = field(default="", name="containerID")
    image: str = ""
    image_id: str = field(default="", name="imageID")
    last_state: ContainerState | None = None
    name: str = ""
    ready: bool | None = None
    resources: ResourceRequirements | None = None
    restart_count: int | None = None
    started: bool | None = None
    state: ContainerState | None = None
    stop_signal: str = ""
    user: ContainerUser | None = None
    volume_mounts: tuple[VolumeMountStatus, ...] = ()
