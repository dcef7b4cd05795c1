"""From container to OCI configuration."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from edgevirt.api.core import Pod
from edgevirt.engine.kubelet.bundle import Inputs, Mount, Node, build
from edgevirt.engine.kubelet.devices import DeviceNode
from edgevirt.engine.kubelet.users import User

pytestmark = pytest.mark.unit
BOUNDING = frozenset({"CHOWN", "KILL", "NET_BIND_SERVICE", "SYS_ADMIN"})


def inputs(
    container: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **more: Any
) -> Inputs:
    document = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "a", **(container or {})}], **(spec or {})},
    }
    pod = msgspec.convert(document, Pod)
    assert pod.spec
    base = Inputs(
        pod=pod,
        container=pod.spec.containers[0],
        rootfs="/r",
        argv=["run"],
        env={"A": "1"},
        cwd="/w",
        user=User(107, 107, (5, 107)),
        cgroup="/e/pod/a",
        namespaces={"network": "/ns/net"},
        mounts=(),
        devices=(),
        node=Node(BOUNDING, 20000, 0, 1 << 30),
    )
    return dataclasses.replace(base, **more)


def destinations(config: dict[str, Any]) -> list[str]:
    return [mount["destination"] for mount in config["mounts"]]


def test_nothing_beyond_our_own_limits_is_asked_for() -> None:
    process = build(inputs())["process"]
    assert process["capabilities"]["bounding"] == ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    assert process["rlimits"] == [{"type": "RLIMIT_NOFILE", "hard": 20000, "soft": 20000}]
    assert process["user"] == {"uid": 107, "gid": 107, "additionalGids": [5]}
    assert "A=1" in process["env"]


def test_oom_score_is_not_lowered_without_the_capability() -> None:
    guaranteed = {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    assert build(inputs(guaranteed))["process"]["oomScoreAdj"] == 0
    able = Node(BOUNDING | {"SYS_RESOURCE"}, 20000, 0, 1 << 30)
    assert build(inputs(guaranteed, node=able))["process"]["oomScoreAdj"] == -997


@pytest.mark.parametrize(
    ("capabilities", "granted"),
    [
        ({"drop": ["ALL"]}, []),
        ({"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, ["CAP_NET_BIND_SERVICE"]),
        (
            {"add": ["SYS_ADMIN", "SYS_MODULE"]},
            ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SYS_ADMIN"],
        ),
        ({"add": ["ALL"]}, ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SYS_ADMIN"]),
    ],
)
def test_capabilities_are_added_and_dropped(capabilities: dict[str, Any], granted: list[str]) -> None:
    config = build(inputs({"securityContext": {"capabilities": capabilities}}))
    assert config["process"]["capabilities"]["effective"] == granted


def test_outer_mounts_come_before_inner_ones() -> None:
    config = build(inputs(mounts=(Mount("/x", "/a/b/c"), Mount("/y", "/a"))))
    assert destinations(config)[-2:] == ["/a", "/a/b/c"]


def test_mask_with_a_mount_below_it_stays_writable_for_the_mount_point() -> None:
    config = build(inputs(masks=("/root", "/var/lib/x"), mounts=(Mount("/y", "/var/lib/x/in"),)))
    options = {mount["destination"]: mount["options"] for mount in config["mounts"]}
    assert "ro" in options["/root"]
    assert "ro" not in options["/var/lib/x"]


def test_propagation_makes_the_root_a_slave() -> None:
    config = build(inputs(mounts=(Mount("/y", "/a", propagation="slave"),)))
    assert config["linux"]["rootfsPropagation"] == "rslave"
    assert config["mounts"][-1]["options"] == ["rbind", "rslave", "rw"]


def test_device_is_made_and_allowed() -> None:
    config = build(inputs(devices=(DeviceNode("/dev/net/tun", "c", 10, 200),)))
    assert config["linux"]["devices"][0]["path"] == "/dev/net/tun"
    assert config["linux"]["resources"]["devices"][0] == {"allow": False, "access": "rwm"}
    assert config["linux"]["resources"]["devices"][-1]["major"] == 10


def test_resources_become_shares_and_quota() -> None:
    limits = {"resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": "500m", "hugepages-2Mi": "4Mi"}}}
    resources = build(inputs(limits, memory_limit=4096))["linux"]["resources"]
    assert resources["cpu"] == {"shares": 256, "quota": 50_000, "period": 100_000}
    assert resources["memory"] == {"limit": 4096}
    assert resources["hugepageLimits"] == [{"pageSize": "2MB", "limit": 4 << 20}]


def test_privileged_container_is_not_fenced() -> None:
    config = build(inputs({"securityContext": {"privileged": True}}))
    assert "maskedPaths" not in config["linux"]
    assert config["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert len(config["process"]["capabilities"]["bounding"]) == len(BOUNDING)


def test_runtime_default_profile_is_written_and_unconfined_is_not() -> None:
    profile = {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}
    refused = build(inputs(profile))["linux"]["seccomp"]["syscalls"][0]["names"]
    assert "mount" in refused
    assert "kexec_load" in refused
    assert "seccomp" not in build(inputs())["linux"]


def test_host_pid_and_network_are_joined_by_not_making_new_ones() -> None:
    config = build(inputs(spec={"hostPID": True, "hostNetwork": True}, namespaces={}))
    assert config["linux"]["namespaces"] == [{"type": "mount"}]
    assert next(m for m in config["mounts"] if m["destination"] == "/sys")["type"] == "bind"
