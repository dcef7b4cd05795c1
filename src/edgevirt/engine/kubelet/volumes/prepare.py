"""Making the volumes of a pod: `<pod dir>/volumes/kubernetes.io~<plugin>/<name>`, as every kubelet lays out.

Preparing is idempotent, so it may be repeated after a failure or a restart. Everything mounted lies below
the pod's directory, which is how it is found again for unmounting.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from edgevirt.api import core, quantity
from edgevirt.engine.kubelet import mounts
from edgevirt.engine.kubelet.fields import NodeFacts, UnknownField
from edgevirt.engine.kubelet.references import MissingReference, References
from edgevirt.engine.kubelet.volumes import content
from edgevirt.engine.kubelet.volumes.content import BadVolume
from edgevirt.kube.errors import KubeError
from edgevirt.storage.images.store import Image, ImageStore, PullPolicy

_API_PLUGINS = {
    "config_map": "configmap",
    "secret": "secret",
    "downward_api": "downward-api",
    "projected": "projected",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """A volume that is there. `path` on the host; `block` for a device; `refresh_at` as in Content."""

    path: Path
    read_only: bool = False
    block: bool = False
    refresh_at: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class PodContext:
    """What preparing needs to know about the pod. `directory` is the pod's own."""

    pod: core.Pod
    directory: Path
    references: References
    node: NodeFacts
    addresses: tuple[str, ...] = ()

    @property
    def group(self) -> int | None:
        security = self.pod.spec.security_context if self.pod.spec else None
        return security.fs_group if security else None

    def volume_dir(self, plugin: str, name: str) -> Path:
        return self.directory / "volumes" / f"kubernetes.io~{plugin}" / name


def is_api_volume(volume: core.Volume) -> bool:
    """True for volumes whose files come from the API and change with it."""
    return any(getattr(volume, kind) is not None for kind in _API_PLUGINS)


def needs_addresses(volume: core.Volume) -> bool:
    """True if the volume's content may name the pod's addresses, so that the network comes first."""
    items: list[core.DownwardAPIVolumeFile] = []
    if volume.downward_api:
        items += volume.downward_api.items
    if volume.projected:
        for source in volume.projected.sources:
            items += source.downward_api.items if source.downward_api else ()
    return any(item.field_ref and item.field_ref.field_path.startswith("status.") for item in items)


async def prepare(context: PodContext, images: ImageStore) -> Mapping[str, Prepared]:
    """All volumes of the pod. MissingReference, BadVolume, OSError or ImageError name the volume."""
    volumes = context.pod.spec.volumes if context.pod.spec else ()
    done = await asyncio.gather(*(_one(context, volume, images) for volume in volumes))
    return {volume.name: prepared for volume, prepared in zip(volumes, done, strict=True)}


async def refresh(context: PodContext, volume: core.Volume) -> float:
    """Bring an API volume up to date; returns when its token is due (0: it has none)."""
    path = _api_directory(context, volume)
    built = await content.build(context.pod, volume, context.references, context.node, context.addresses)
    content.write(path, built, group=context.group, user=_only_user(context.pod))
    return built.refresh_at


async def _one(context: PodContext, volume: core.Volume, images: ImageStore) -> Prepared:
    try:
        if is_api_volume(volume):
            return await _api(context, volume)
        if volume.empty_dir is not None:
            return Prepared(_empty_dir(context, volume.name, volume.empty_dir))
        if volume.host_path:
            return Prepared(host_path(volume.name, volume.host_path))
        if volume.image:
            return await _image(context, volume.name, volume.image, images)
        if volume.persistent_volume_claim:
            return await _claim(context, volume.name, volume.persistent_volume_claim)
    except (BadVolume, MissingReference, UnknownField, KubeError, OSError) as error:
        raise BadVolume(f'MountVolume.SetUp failed for volume "{volume.name}" : {error}') from error
    raise BadVolume(f"volume {volume.name} is of a kind that this node does not support")


def _api_directory(context: PodContext, volume: core.Volume) -> Path:
    kind = next(kind for kind in _API_PLUGINS if getattr(volume, kind) is not None)
    return context.volume_dir(_API_PLUGINS[kind], volume.name)


async def _api(context: PodContext, volume: core.Volume) -> Prepared:
    path = _api_directory(context, volume)
    secret = volume.secret is not None or volume.projected is not None
    if not path.is_dir():
        path.mkdir(parents=True)
    if secret and not os.path.ismount(path):
        mounts.tmpfs(path, mode=0o755, flags=mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC)
    if context.group is not None:
        os.chown(path, -1, context.group)
    return Prepared(path, read_only=True, refresh_at=await refresh(context, volume))


def _empty_dir(context: PodContext, name: str, source: core.EmptyDirVolumeSource) -> Path:
    path = context.volume_dir("empty-dir", name)
    fresh = not path.is_dir()
    path.mkdir(parents=True, exist_ok=True)
    if source.medium == "Memory" and not os.path.ismount(path):
        size = quantity.to_bytes(source.size_limit) if source.size_limit is not None else None
        mounts.tmpfs(path, size=size, mode=0o777)
        fresh = True
    elif source.medium.startswith("HugePages") and not os.path.ismount(path):
        page = source.medium.removeprefix("HugePages").removeprefix("-").removesuffix("i")
        mounts.mount("hugetlbfs", path, "hugetlbfs", 0, f"mode=777{f',pagesize={page}' if page else ''}")
        fresh = True
    elif source.medium and source.medium != "Memory" and not source.medium.startswith("HugePages"):
        raise BadVolume(f"volume {name}: emptyDir.medium {source.medium!r} is not supported")
    if fresh:
        if context.group is not None:
            os.chown(path, -1, context.group)
        path.chmod(0o777 | (stat.S_ISGID if context.group is not None else 0))
    return path


_HOST_TYPES = {
    "Directory": (stat.S_ISDIR, "directory"),
    "File": (stat.S_ISREG, "file"),
    "Socket": (stat.S_ISSOCK, "socket file"),
    "CharDevice": (stat.S_ISCHR, "character device"),
    "BlockDevice": (stat.S_ISBLK, "block device"),
}


def host_path(name: str, source: core.HostPathVolumeSource) -> Path:
    """The host's path of the wanted type, made when the type says so; BadVolume otherwise."""
    path = Path(source.path)
    if not path.is_absolute() or ".." in path.parts:
        raise BadVolume(f"volume {name}: hostPath.path {source.path!r} is not an absolute path without ..")
    wanted = _HOST_TYPES.get(source.type.removesuffix("OrCreate"))
    if source.type and wanted is None:
        raise BadVolume(f"volume {name}: hostPath.type {source.type!r} is unknown")
    if source.type in ("", "DirectoryOrCreate") and not path.exists():  # without a type as runtimes do it
        path.mkdir(mode=0o755, parents=True)
    elif source.type == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = 0
    if wanted and not wanted[0](mode):
        raise BadVolume(f"hostPath type check failed: {path} is not a {wanted[1]}")
    return path


async def _image(
    context: PodContext, name: str, source: core.ImageVolumeSource, images: ImageStore
) -> Prepared:
    default = default_policy(source.reference)
    policy = PullPolicy(source.pull_policy) if source.pull_policy else default
    found, _ = await images.ensure(source.reference, policy, await context.references.pull_secrets())
    if found.host is not None:
        raise BadVolume(f"volume {name}: the host image cannot be a volume")
    path = context.volume_dir("image", name)
    mount_image(found, path, images, context.pod.metadata.uid)
    return Prepared(path, read_only=True)


def mount_image(image: Image, path: Path, images: ImageStore, owner: str) -> None:
    """Bind the image's tree at `path`, read-only, and hold the image for `owner`."""
    if path.is_dir() and os.path.ismount(path):
        return
    images.hold(image, owner)
    path.mkdir(parents=True, exist_ok=True)
    mounts.bind(image.tree, path, read_only=True)


def default_policy(reference: str) -> PullPolicy:
    """Kubernetes' default: Always for `latest`, else IfNotPresent."""
    last = reference.rpartition("/")[2]
    if "@" in last or (":" in last and not last.endswith(":latest")):
        return PullPolicy.IF_NOT_PRESENT
    return PullPolicy.ALWAYS


async def _claim(context: PodContext, name: str, source: core.PersistentVolumeClaimVolumeSource) -> Prepared:
    claim = await context.references.claim(source.claim_name)
    if claim is None or claim.spec is None:
        raise MissingReference(f'persistentvolumeclaim "{source.claim_name}" not found')
    if not claim.spec.volume_name or (claim.status and claim.status.phase not in ("", "Bound")):
        raise MissingReference(f'persistentvolumeclaim "{source.claim_name}" is not bound to a volume')
    volume = await context.references.volume(claim.spec.volume_name)
    if volume is None or volume.spec is None:
        raise MissingReference(f'persistentvolume "{claim.spec.volume_name}" not found')
    if volume.spec.local:
        plugin, origin = "local-volume", Path(volume.spec.local.path)
    elif volume.spec.host_path:
        plugin, origin = "host-path", host_path(name, volume.spec.host_path)
    else:
        raise BadVolume(
            f"volume {name}: persistent volume {volume.metadata.name} is neither local nor hostPath;"
            " this node mounts no others"
        )
    if not origin.exists():
        raise BadVolume(f"volume {name}: {origin} of persistent volume {volume.metadata.name} does not exist")
    read_only = bool(source.read_only)
    if claim.spec.volume_mode == "Block":
        if not stat.S_ISBLK(origin.stat().st_mode):
            raise BadVolume(f"volume {name}: {origin} is not a block device, as volumeMode Block wants")
        return Prepared(origin, read_only=read_only, block=True)
    path = context.volume_dir(plugin, volume.metadata.name)
    path.mkdir(parents=True, exist_ok=True)
    if not os.path.ismount(path):
        mounts.bind(origin, path, read_only=read_only, recursive=True)
        security = context.pod.spec.security_context if context.pod.spec else None
        if context.group is not None and not read_only:
            on_mismatch = bool(security and security.fs_group_change_policy == "OnRootMismatch")
            await asyncio.to_thread(give_group, path, context.group, only_on_mismatch=on_mismatch)
    return Prepared(path, read_only=read_only)


def give_group(path: Path, group: int, *, only_on_mismatch: bool) -> None:
    """fsGroup: the group owns everything below `path`, may write, and new files inherit it."""
    info = path.stat()
    if only_on_mismatch and info.st_gid == group and info.st_mode & 0o2070 == 0o2070:
        return
    for root, _, files, directory in os.fwalk(path, topdown=False, follow_symlinks=False):
        for name in files:
            entry = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISREG(entry.st_mode):
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
                try:
                    os.fchown(fd, -1, group)
                    os.fchmod(fd, stat.S_IMODE(entry.st_mode) | 0o660)
                finally:
                    os.close(fd)
            else:
                os.chown(name, -1, group, dir_fd=directory, follow_symlinks=False)
        os.fchown(directory, -1, group)
        os.fchmod(directory, stat.S_IMODE(os.fstat(directory).st_mode) | 0o2770)
        del root


def _only_user(pod: core.Pod) -> int | None:
    """The user all containers run as, if it is one: files only their owner may read are then theirs."""
    if pod.spec is None:
        return None
    general = pod.spec.security_context.run_as_user if pod.spec.security_context else None
    users = {
        c.security_context.run_as_user
        if c.security_context and c.security_context.run_as_user is not None
        else general
        for c in (*pod.spec.containers, *pod.spec.init_containers)
    }
    return users.pop() if len(users) == 1 else None
