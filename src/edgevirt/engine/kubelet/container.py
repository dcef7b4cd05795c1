"""Starting one run of a container: image, user, environment, mounts, bundle, runtime.

Each run has a directory of its own, `<pod>/containers/<name>/<attempt>`, with the bundle and what the
runtime writes; the log lies beside it and outlives it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from edgevirt.api.core import Container, Pod, Volume
from edgevirt.engine.kubelet import bundle, environment, hosts, mounts, resources, users
from edgevirt.engine.kubelet.cgroups import PodCgroup
from edgevirt.engine.kubelet.devices import DeviceNode
from edgevirt.engine.kubelet.processes import Process
from edgevirt.engine.kubelet.references import References
from edgevirt.engine.kubelet.runtime import Attempt
from edgevirt.engine.kubelet.sandbox import kinds
from edgevirt.engine.kubelet.services import Services
from edgevirt.engine.kubelet.stdio import NoTerminal, Stdio
from edgevirt.engine.kubelet.volumes import subpath
from edgevirt.engine.kubelet.volumes.content import BadVolume
from edgevirt.engine.kubelet.volumes.prepare import Prepared, default_policy
from edgevirt.storage.images.store import Image, PullPolicy

_KEPT_LOGS = 2
_NAMESPACE_TYPES = {"net": "network", "ipc": "ipc", "uts": "uts", "pid": "pid"}
_HOST_EMPTIES = ("/run", "/tmp", "/var/tmp")
TERMINATION_LOG = "termination-log"


class ConfigError(Exception):
    """The container's description cannot be turned into a container; retried, for objects may appear."""


@dataclasses.dataclass(frozen=True, slots=True)
class Launch:
    """What the launch of one container needs to know of its pod."""

    pod: Pod
    container: Container
    references: References
    volumes: Mapping[str, Prepared]
    addresses: tuple[str, ...]
    processes: str = ""
    """The pid namespace to join: a file; "" for one of its own."""


def attempt_of(services: Services, pod: Pod, name: str, number: int) -> Attempt:
    """The place of run `number` of container `name`."""
    base = services.pod_dir(pod.metadata.uid) / "containers" / name
    return Attempt(f"{pod.metadata.uid}.{name}.{number}", base / str(number), base / f"{number}.log")


def pull_policy(container: Container) -> PullPolicy:
    """The container's pull policy; ConfigError for one that does not exist."""
    if not container.image_pull_policy:
        return default_policy(container.image)
    try:
        return PullPolicy(container.image_pull_policy)
    except ValueError as error:
        raise ConfigError(f"imagePullPolicy {container.image_pull_policy!r} is unknown") from error


async def start(
    services: Services, launch: Launch, image: Image, number: int, on_shim: Callable[[Process], None]
) -> Attempt:
    """Start run `number`. ConfigError, BadVolume, OSError before it; StartFailed from the runtime."""
    attempt = attempt_of(services, launch.pod, launch.container.name, number)
    env = await _environment(services, launch, image)
    stdio = Stdio(bool(launch.container.stdin), bool(launch.container.tty))
    await services.blocking(_prepare, services, launch, image, attempt, env)
    try:
        stdio.prepare(attempt.directory)
    except NoTerminal as error:
        raise ConfigError(str(error)) from error
    await services.runtime.run(attempt, on_shim, stdio=stdio)
    return attempt


def finish(services: Services, group: PodCgroup, attempt: Attempt) -> None:
    """Unmount and remove what a finished run leaves, except its log."""
    services.logs.drop(attempt.log)
    mounts.unmount_below(attempt.directory.resolve())
    group.remove_container(attempt.child)
    shutil.rmtree(attempt.directory, ignore_errors=True)


async def _environment(services: Services, launch: Launch, image: Image) -> dict[str, str]:
    own = await environment.resolve(
        launch.pod, launch.container, launch.references, services.node, launch.addresses
    )
    name = hosts.kernel_name(launch.pod, services.settings.cluster_domain)
    result = {"HOSTNAME": name, **dict(image.config.env)}
    host, _, port = services.settings.api_address.rpartition(":")
    if host:
        result |= environment.kubernetes_variables(host.strip("[]"), port)
    return {**result, **own}


def _prepare(
    services: Services, launch: Launch, image: Image, attempt: Attempt, env: Mapping[str, str]
) -> None:
    """Root file system, files and config.json of a run."""
    _make_directory(attempt)
    _mount_root(attempt, image)
    container = launch.container
    root = attempt.rootfs
    try:
        user = users.resolve(launch.pod, container, image.config.user, root)
    except users.BadUser as error:
        raise ConfigError(str(error)) from error
    if image.host is not None and image.host.user is not None:
        fault = users.confinement_fault(user, container, image.host.user)
        if fault:
            raise ConfigError(f"container {container.name}: the image of the machine's own root {fault}")
    argv = environment.command_line(container, image.config.entrypoint, image.config.command, env)
    if not argv:
        raise ConfigError(f"container {container.name}: neither the pod nor the image says what to run")
    planned = [*_files(services, launch, attempt, user), *_volumes(services, launch, env)]
    if image.host is not None:
        planned = [bundle.Mount(s, t, read_only=True, recursive=True) for s, t in image.host.binds] + planned
    uid = launch.pod.metadata.uid
    directory = services.sandbox_dir(uid)
    spec = launch.pod.spec
    group = services.cgroup(uid)
    limit = resources.of_container(container.resources).memory
    config = bundle.build(
        bundle.Inputs(
            pod=launch.pod,
            container=container,
            rootfs=str(root),
            argv=argv,
            env=env,
            cwd=container.working_dir or image.config.working_dir or "/",
            user=user,
            memory_limit=None if limit is None else group.runtime_limit(limit),
            cgroup=group.container_path(attempt.child),
            namespaces=_namespaces(launch, directory),
            mounts=_deduplicated(planned),
            devices=_devices(services, launch),
            node=services.machine,
            shm="" if spec and spec.host_ipc else str(services.pod_dir(uid) / "shm"),
            masks=tuple(path for path in image.host.masks if Path(path).is_dir()) if image.host else (),
            empties=_HOST_EMPTIES if image.host else (),
        )
    )
    (attempt.directory / "config.json").write_text(json.dumps(config))


def _namespaces(launch: Launch, directory: Path) -> dict[str, str]:
    """OCI type of each namespace to join -> its file."""
    found = {_NAMESPACE_TYPES[kind]: str(directory / kind) for kind in sorted(kinds(launch.pod))}
    return found | ({"pid": launch.processes} if launch.processes else {})


def _make_directory(attempt: Attempt) -> None:
    if attempt.directory.exists():  # of a run that was cut off before its container started
        mounts.unmount_below(attempt.directory.resolve())
        shutil.rmtree(attempt.directory)
    for name in ("rootfs", "upper", "work"):
        (attempt.directory / name).mkdir(parents=True)
    attempt.log.touch(mode=0o640)
    base = attempt.log.parent
    kept = sorted((int(path.stem) for path in base.glob("*.log")), reverse=True)[_KEPT_LOGS:]
    for number in kept:
        for suffix in (".log", ".times"):
            (base / f"{number}{suffix}").unlink(missing_ok=True)


def _mount_root(attempt: Attempt, image: Image) -> None:
    lower: list[str | Path] = [image.tree, "/"] if image.host is not None else [image.tree]
    upper = attempt.directory / "upper"
    info = os.stat(lower[0] if image.host is None else "/")
    os.chown(upper, info.st_uid, info.st_gid)
    upper.chmod(info.st_mode & 0o7777)
    mounts.overlay(attempt.rootfs, lower, upper, attempt.directory / "work")


def _files(services: Services, launch: Launch, attempt: Attempt, user: users.User) -> list[bundle.Mount]:
    """The files every container gets: hosts, resolv.conf, hostname, and where to leave last words."""
    pod, container = launch.pod, launch.container
    etc = services.pod_dir(pod.metadata.uid) / "etc"
    etc.mkdir(exist_ok=True)
    domain = services.settings.cluster_domain
    mounted = {mount.mount_path.rstrip("/") for mount in container.volume_mounts}
    result = []
    texts = {
        "hosts": hosts.hosts(pod, launch.addresses, domain),
        "resolv.conf": hosts.resolv_conf(
            pod, _read("/etc/resolv.conf"), services.settings.cluster_dns, domain
        ),
        "hostname": hosts.kernel_name(pod, domain) + "\n",
    }
    for name, text in texts.items():
        if f"/etc/{name}" in mounted or (pod.spec and pod.spec.host_network and name != "resolv.conf"):
            continue
        path = etc / name
        if not path.exists():
            path.write_text(text)
            path.chmod(0o644)
        result.append(bundle.Mount(str(path), f"/etc/{name}"))
    words = attempt.directory / TERMINATION_LOG
    words.touch(mode=0o666)
    words.chmod(0o666)
    result.append(bundle.Mount(str(words), container.termination_message_path or "/dev/termination-log"))
    return result


def _volumes(services: Services, launch: Launch, env: Mapping[str, str]) -> list[bundle.Mount]:
    pod, container = launch.pod, launch.container
    spec = pod.spec
    assert spec
    declared: dict[str, Volume] = {volume.name: volume for volume in spec.volumes}
    result = []
    for index, mount in enumerate(container.volume_mounts):
        volume, prepared = declared.get(mount.name), launch.volumes.get(mount.name)
        if volume is None or prepared is None:
            raise ConfigError(f"container {container.name}: there is no volume {mount.name!r} to mount")
        if prepared.block:
            raise ConfigError(f"volume {mount.name} is a block device; use volumeDevices, not volumeMounts")
        source = prepared.path
        path = environment.expand(mount.sub_path_expr, env) if mount.sub_path_expr else mount.sub_path
        if path:
            source = (
                services.pod_dir(pod.metadata.uid)
                / "volume-subpaths"
                / mount.name
                / container.name
                / str(index)
            )
            subpath.bind(prepared.path, path, source)
        result.append(bundle.volume_mount(mount, str(source), volume, read_only=prepared.read_only))
    return result


def _devices(services: Services, launch: Launch) -> tuple[DeviceNode, ...]:
    found: list[DeviceNode] = []
    container = launch.container
    if container.security_context and container.security_context.privileged:
        found += _all_devices()
    for name, count in resources.extended(container):
        device = services.devices.get(name)
        if count <= 0:
            continue
        if device is None:
            raise ConfigError(f"container {container.name}: this node no longer provides {name}")
        found += device.nodes
    for wish in container.volume_devices:
        prepared = launch.volumes.get(wish.name)
        if prepared is None or not prepared.block:
            raise BadVolume(f"volume {wish.name} is no block device, as volumeDevices wants")
        numbers = DeviceNode.of(prepared.path)
        found.append(dataclasses.replace(numbers, path=wish.device_path))
    return tuple({device.path: device for device in found}.values())


def _all_devices() -> list[DeviceNode]:
    """The machine's device nodes, for privileged containers."""
    result = []
    for base, directories, names in os.walk("/dev"):
        directories[:] = [d for d in directories if d not in ("pts", "shm", "fd", "mqueue", "hugepages")]
        for name in names:
            path = Path(base, name)
            if not path.is_symlink() and name not in ("console", "ptmx"):
                try:
                    result.append(DeviceNode.of(path))
                except (OSError, ValueError):
                    continue
    return result


def _deduplicated(planned: list[bundle.Mount]) -> list[bundle.Mount]:
    """A later mount of the same place wins, as the pod's own do over ours."""
    return list({mount.target.rstrip("/") or "/": mount for mount in planned}.values())


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def ephemeral(pod: Pod) -> tuple[Container, ...]:
    """The containers that were added to the pod to look into it, as ordinary ones."""
    added = pod.spec.ephemeral_containers if pod.spec else ()
    return tuple(
        Container(**{name: getattr(one, name) for name in Container.__struct_fields__}) for one in added
    )


def target_of(pod: Pod, name: str) -> str:
    """The container whose processes ephemeral container `name` wants to see; "" for none."""
    added = pod.spec.ephemeral_containers if pod.spec else ()
    return next((one.target_container_name for one in added if one.name == name), "")


def names_in_order(pod: Pod) -> tuple[Container, ...]:
    """Init containers, then regular ones."""
    return (*pod.spec.init_containers, *pod.spec.containers) if pod.spec else ()
