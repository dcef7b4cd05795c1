"""Fields of a pod that this kubelet does not implement: such a pod is refused, never run half (pure)."""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator

from edgevirt.api.core import Container, Pod, PodSpec, Probe, SeccompProfile, SecurityContext, Volume
from edgevirt.engine.kubelet import capabilities, resources
from edgevirt.engine.kubelet.container import ephemeral
from edgevirt.engine.kubelet.volumes.prepare import is_api_volume

REASON = "UnsupportedPod"
_SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def refusals(pod: Pod) -> tuple[str, ...]:
    """One sentence with a field path per thing that cannot be done; () for a pod that can be run."""
    return tuple(_pod(pod))


def ephemeral_refusals(pod: Pod, name: str) -> tuple[str, ...]:
    """The same for one container that was added to a pod which runs."""
    found = next((c for c in ephemeral(pod) if c.name == name), None)
    return tuple(_container(f"spec.ephemeralContainers[{name}]", found)) if found else ()


def _pod(pod: Pod) -> Iterator[str]:
    spec = pod.spec
    if spec is None:
        yield "spec: missing"
        return
    flags = {
        "spec.hostUsers": spec.host_users is False,
        "spec.resourceClaims": bool(spec.resource_claims),
        "spec.runtimeClassName": bool(spec.runtime_class_name),
    }
    yield from (f"{path}: not supported by this node" for path, used in flags.items() if used)
    if spec.os and spec.os.name not in ("", "linux"):
        yield f"spec.os.name: {spec.os.name!r} is not linux"
    if general := spec.security_context:
        if general.windows_options:
            yield "spec.securityContext.windowsOptions: this node runs Linux"
        for index, sysctl in enumerate(general.sysctls):
            yield from _sysctl(f"spec.securityContext.sysctls[{index}]", sysctl.name, spec)
        yield from _seccomp("spec.securityContext", general.seccomp_profile)
        yield from _mac("spec.securityContext", general.app_armor_profile, general.se_linux_options)
    for index, container in enumerate(spec.init_containers):
        yield from _container(f"spec.initContainers[{index}]", container)
        if container.restart_policy not in ("", "Always"):
            yield f"spec.initContainers[{index}].restartPolicy: {container.restart_policy!r} is not Always"
    for index, container in enumerate(spec.containers):
        yield from _container(f"spec.containers[{index}]", container)
    for index, container in enumerate(ephemeral(pod)):
        yield from _container(f"spec.ephemeralContainers[{index}]", container)
    for index, volume in enumerate(spec.volumes):
        yield from _volume(f"spec.volumes[{index}]", volume)


def _sysctl(path: str, name: str, spec: PodSpec) -> Iterator[str]:
    """Only what has an effect in the pod's own namespaces and nowhere else, as every kubelet's safe set."""
    if name not in _SAFE_SYSCTLS:
        yield f"{path}: forbidden sysctl: {name!r} not allowlisted"
    elif spec.host_network and name.startswith("net."):
        yield f"{path}: forbidden sysctl: {name!r} not allowed with host net enabled"
    elif spec.host_ipc and name.startswith("kernel.shm"):
        yield f"{path}: forbidden sysctl: {name!r} not allowed with host ipc enabled"


def _name(path: str, name: str) -> Iterator[str]:
    """Directories of the node are named so: whatever an API server let pass, none may lead elsewhere."""
    if not _LABEL.fullmatch(name):
        yield f"{path}.name: {name!r} is not a lowercase RFC 1123 label"


def _container(path: str, container: Container) -> Iterator[str]:
    yield from _name(path, container.name)
    flags = {
        "restartPolicyRules": bool(container.restart_policy_rules),
        "resources.claims": bool(container.resources and container.resources.claims),
    }
    yield from (f"{path}.{name}: not supported by this node" for name, used in flags.items() if used)
    for name, probe in (
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
    ):
        yield from _probe(f"{path}.{name}", probe)
    if container.security_context:
        yield from _security(f"{path}.securityContext", container.security_context)
    for index, mount in enumerate(container.volume_mounts):
        where = f"{path}.volumeMounts[{index}]"
        if mount.bind_mount_options:
            yield f"{where}.bindMountOptions: not supported by this node"
        if mount.recursive_read_only not in ("", "Disabled", "IfPossible", "Enabled"):
            yield f"{where}.recursiveReadOnly: {mount.recursive_read_only!r} is unknown"
        if mount.mount_propagation not in ("", "None", "HostToContainer", "Bidirectional"):
            yield f"{where}.mountPropagation: {mount.mount_propagation!r} is unknown"
    for index, variable in enumerate(container.env):
        if variable.value_from and variable.value_from.file_key_ref:
            yield f"{path}.env[{index}].valueFrom.fileKeyRef: not supported by this node"


def _probe(path: str, probe: Probe | None) -> Iterator[str]:
    if probe is None:
        return
    if probe.grpc and probe.grpc.mode:
        yield f"{path}.grpc.mode: not supported by this node"
    elif not (probe.exec or probe.http_get or probe.tcp_socket or probe.grpc):
        yield f"{path}: names no action"


def _security(path: str, security: SecurityContext) -> Iterator[str]:
    if security.windows_options:
        yield f"{path}.windowsOptions: this node runs Linux"
    if security.proc_mount not in ("", "Default", "Unmasked"):
        yield f"{path}.procMount: {security.proc_mount!r} is unknown"
    if security.capabilities:
        wish = security.capabilities
        for name in capabilities.unknown((*wish.add, *wish.drop)):
            yield f"{path}.capabilities: {name!r} is no capability"
    yield from _seccomp(path, security.seccomp_profile)
    yield from _mac(path, security.app_armor_profile, security.se_linux_options)


def _seccomp(path: str, profile: SeccompProfile | None) -> Iterator[str]:
    kind = profile.type if profile else ""
    if kind not in ("", "RuntimeDefault", "Unconfined"):
        yield f"{path}.seccompProfile: type {kind} is not supported by this node"


def _mac(path: str, app_armor: object, se_linux: object) -> Iterator[str]:
    kind = getattr(app_armor, "type", "")
    if kind not in ("", "RuntimeDefault", "Unconfined"):
        yield f"{path}.appArmorProfile: type {kind} is not supported by this node"
    if se_linux is not None and os.path.exists("/sys/fs/selinux/enforce"):
        yield f"{path}.seLinuxOptions: not supported by this node"


def _volume(path: str, volume: Volume) -> Iterator[str]:
    yield from _name(path, volume.name)
    if is_api_volume(volume):
        if volume.projected:
            for index, source in enumerate(volume.projected.sources):
                if source.cluster_trust_bundle or source.pod_certificate:
                    yield (
                        f"{path}.projected.sources[{index}]: only secret, configMap, downwardAPI and"
                        " serviceAccountToken are supported by this node"
                    )
        return
    if any(s is not None for s in (volume.host_path, volume.image, volume.persistent_volume_claim)):
        return
    if volume.empty_dir is not None:
        return
    kinds = ("csi", "ephemeral", "nfs", "storageos")
    kind = next((name for name in kinds if getattr(volume, name) is not None), "its kind")
    yield f"{path}: {kind} volumes are not supported by this node"


def missing_devices(pod: Pod, known: frozenset[str]) -> tuple[str, ...]:
    """Extended resources the pod asks for that this node does not provide."""
    spec = pod.spec
    asked = {
        name
        for container in ((*spec.containers, *spec.init_containers) if spec else ())
        for name, count in resources.extended(container)
        if count > 0
    }
    return tuple(sorted(asked - known))
