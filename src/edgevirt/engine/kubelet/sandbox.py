"""The pod's shared part: namespaces, network and cgroup; made once, released to the last trace.

Making follows the order that recovery relies on: the record says so first, then the thing is made. So a
release, which looks at everything a pod can have left, is right after any interruption, and is idempotent.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterable

from edgevirt.api.core import Pod
from edgevirt.engine.kubelet import hosts, mounts, namespaces, process_sharing, resources
from edgevirt.engine.kubelet.cgroups import PodCgroup
from edgevirt.engine.kubelet.cni import CniError, PodNetwork
from edgevirt.engine.kubelet.host_ports import HostPortError, plugin_mappings, ports_of
from edgevirt.engine.kubelet.processes import Process
from edgevirt.engine.kubelet.services import Services

log = logging.getLogger("edgevirt.kubelet")
_SHM_BYTES = 64 << 20
_KILL_SECONDS = 10.0
_KILL_ROUNDS = 5


class SandboxError(Exception):
    """The pod's description allows no sandbox; the message says why."""


def kinds(pod: Pod) -> frozenset[str]:
    """Which namespaces the pod has of its own."""
    spec = pod.spec
    result = {"net", "ipc", "uts"}
    if spec and spec.host_network:
        result -= {"net", "uts"}
    if spec and spec.host_ipc:
        result -= {"ipc"}
    if spec and spec.share_process_namespace and not spec.host_pid:
        result |= {"pid"}
    return frozenset(result)


def network(services: Services, pod: Pod) -> PodNetwork:
    uid = pod.metadata.uid
    netns = services.sandbox_dir(uid) / "net"
    meta = pod.metadata
    return PodNetwork(uid, str(netns), meta.namespace, meta.name, tuple(plugin_mappings(pod)))


def complete(services: Services, pod: Pod) -> bool:
    """Whether the namespaces still exist (they don't after a reboot)."""
    uid, wanted = pod.metadata.uid, kinds(pod)
    if "pid" in wanted and not process_sharing.alive(services, uid):
        return False
    return namespaces.complete(services.sandbox_dir(uid), wanted)


async def make(services: Services, pod: Pod) -> tuple[str, ...]:
    """Namespaces, network, cgroup; the addresses. Raises CniError, StartFailed, SandboxError, OSError."""
    addresses = await services.blocking(_make, services, pod)
    if "pid" in kinds(pod):
        uid = pod.metadata.uid
        await process_sharing.start(services, uid, services.sandbox_dir(uid) / "pid")
    return addresses


def _make(services: Services, pod: Pod) -> tuple[str, ...]:
    uid = pod.metadata.uid
    spec = pod.spec
    assert spec
    security = spec.security_context
    sysctls = {s.name: s.value for s in security.sysctls} if security else {}
    if kinds(pod):
        own = kinds(pod) - {"pid"}
        try:
            name = hosts.kernel_name(pod, services.settings.cluster_domain)
        except ValueError as error:
            raise SandboxError(str(error)) from error
        namespaces.create(services.sandbox_dir(uid), own, name, sysctls)
    group = services.cgroup(uid)
    group.create()
    limits = resources.of_pod(pod)
    group.set_limits(cpu_shares=limits.cpu_shares, memory=limits.memory, cpu_quota=limits.cpu_quota)
    if not spec.host_ipc:
        shm = services.pod_dir(uid) / "shm"
        shm.mkdir(exist_ok=True)
        if not shm.is_mount():
            mounts.tmpfs(shm, size=_SHM_BYTES, mode=0o1777, flags=mounts.MS_NOSUID | mounts.MS_NODEV)
    if spec.host_network:
        return (services.node.address,)
    addresses = services.cni.add(network(services, pod))
    if not services.host_ports.claim(uid, ports_of(pod)):
        raise SandboxError("another pod has taken a port of the machine that this one asks for")
    if addresses:
        try:
            services.host_ports.open(uid, addresses[0])
        except HostPortError as error:
            raise SandboxError(str(error)) from error
    return addresses


async def release(services: Services, pod: Pod, shims: Iterable[Process] = ()) -> None:
    """Take down everything the pod has except its logs. Raises OSError or CniError; repeat it then."""
    uid = pod.metadata.uid
    group = services.cgroup(uid)
    waiting = {shim for shim in shims if shim.alive()}
    for _ in range(_KILL_ROUNDS):  # a runtime that is just starting a container may add to what was seen
        waiting |= await services.blocking(_kill, group)
        if not waiting:
            break
        try:
            async with asyncio.timeout(_KILL_SECONDS):
                await asyncio.gather(*(process.ended() for process in waiting))
        except TimeoutError:
            log.warning("processes of a pod outlive SIGKILL", extra={"pod": uid})
        waiting = set()
    for container in services.runtime.known():
        if container.startswith(f"{uid}."):
            await services.runtime.discard(container)
    await services.blocking(_release, services, pod)


def _kill(group: PodCgroup) -> set[Process]:
    """SIGKILL all that is in the pod's group: first who could start more. Returns what was there."""
    found = {Process.of(pid) for pid in (*group.shims(), *group.processes())}
    group.kill_shims()
    group.kill()
    return {process for process in found if process is not None}


def _release(services: Services, pod: Pod) -> None:
    uid = pod.metadata.uid
    services.cgroup(uid).kill_shims()
    directory = services.pod_dir(uid)
    mounts.unmount_below(directory.resolve())
    spec = pod.spec
    namespaces.remove_hollow(services.sandbox_dir(uid))
    try:
        services.host_ports.release(uid)
    except HostPortError as error:
        raise CniError(str(error)) from error
    if not (spec and spec.host_network):
        services.cni.delete(network(services, pod))
    namespaces.delete(services.sandbox_dir(uid))
    for name in ("volumes", "volume-subpaths", "shm", "etc", "sandbox"):
        shutil.rmtree(directory / name, ignore_errors=True)
    for attempt in (directory / "containers").glob("*/*"):
        if attempt.is_dir():
            shutil.rmtree(attempt, ignore_errors=True)
    services.images.release(uid)
    if not services.cgroup(uid).remove():
        raise OSError(f"a process is still in the control group of pod {uid}")


def remove_orphan(services: Services, uid: str) -> None:
    """Remove what a pod without any record has left: killed before its first note, or power loss."""
    group = services.cgroup(uid)
    group.kill()
    group.kill_shims()
    mounts.unmount_below(services.pod_dir(uid).resolve())
    directory = services.sandbox_dir(uid)
    namespaces.remove_hollow(directory)
    try:
        services.cni.delete(PodNetwork(uid, str(directory / "net"), "", ""))
    except CniError as error:
        log.warning("network of an unknown pod not released", extra={"pod": uid, "error": str(error)})
    namespaces.delete(directory)
    shutil.rmtree(services.pod_dir(uid), ignore_errors=True)
    services.images.release(uid)
    group.remove()
