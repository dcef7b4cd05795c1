"""What is not implemented is refused by its path."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgevirt.api.core import Pod
from edgevirt.engine.kubelet.refusal import missing_devices, refusals

pytestmark = pytest.mark.unit


def pod(container: dict[str, Any] | None = None, **spec: Any) -> Pod:
    return msgspec.convert(
        {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", **(container or {})}], **spec}}, Pod
    )


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        (pod(hostUsers=False), "spec.hostUsers"),
        (pod({"name": "../../x"}), "spec.containers[0].name"),
        (pod(initContainers=[{"name": ".."}]), "spec.initContainers[0].name"),
        (pod(volumes=[{"name": "../../../../etc", "emptyDir": {}}]), "spec.volumes[0].name"),
        (pod(runtimeClassName="kata"), "spec.runtimeClassName"),
        (
            pod({"livenessProbe": {"grpc": {"port": 1, "mode": "x"}}}),
            "spec.containers[0].livenessProbe.grpc.mode",
        ),
        (pod({"readinessProbe": {}}), "spec.containers[0].readinessProbe"),
        (
            pod({"securityContext": {"seccompProfile": {"type": "Localhost"}}}),
            "spec.containers[0].securityContext.seccompProfile",
        ),
        (
            pod({"securityContext": {"capabilities": {"add": ["FLY"]}}}),
            "spec.containers[0].securityContext.capabilities",
        ),
        (pod(volumes=[{"name": "v", "csi": {"driver": "d"}}]), "spec.volumes[0]: csi"),
        (pod(volumes=[{"name": "v", "nfs": {"server": "s"}}]), "spec.volumes[0]: nfs"),
        (
            pod(initContainers=[{"name": "i", "restartPolicy": "Never"}]),
            "spec.initContainers[0].restartPolicy",
        ),
    ],
)
def test_unsupported_field_is_named(wanted: Pod, path: str) -> None:
    found = refusals(wanted)
    assert len(found) == 1
    assert found[0].startswith(path)


@pytest.mark.parametrize("name", ["kernel.core_pattern", "/etc/passwd", "net.ipv4.ip_forward", "../x", ""])
def test_sysctl_that_reaches_beyond_the_pod_is_refused(name: str) -> None:
    (found,) = refusals(pod(securityContext={"sysctls": [{"name": name, "value": "x"}]}))
    assert found == f"spec.securityContext.sysctls[0]: forbidden sysctl: {name!r} not allowlisted"


def test_safe_sysctl_is_taken_in_namespaces_of_the_pods_own_only() -> None:
    context = {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]}
    assert refusals(pod(securityContext=context)) == ()
    assert len(refusals(pod(securityContext=context, hostNetwork=True))) == 1
    shared = {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}
    assert len(refusals(pod(securityContext=shared, hostIPC=True))) == 1


def test_launcher_like_pod_is_accepted() -> None:
    security = {
        "runAsUser": 107,
        "allowPrivilegeEscalation": False,
        "seccompProfile": {"type": "RuntimeDefault"},
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
    }
    mounts = [{"name": "hot", "mountPath": "/hot", "mountPropagation": "HostToContainer"}]
    volumes = [
        {"name": "hot", "emptyDir": {}},
        {"name": "disk", "image": {"reference": "localhost/disk"}},
        {"name": "seed", "secret": {"secretName": "s"}},
    ]
    wanted = pod({"securityContext": security, "volumeMounts": mounts}, volumes=volumes)
    assert refusals(wanted) == ()


def test_missing_device_is_named() -> None:
    wanted = pod({"resources": {"limits": {"example.com/a": "1", "example.com/b": "1", "cpu": "1"}}})
    assert missing_devices(wanted, frozenset({"example.com/a"})) == ("example.com/b",)
