"""Control groups, devices, CNI configuration, resources: facts turned into settings."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgevirt.api.core import Pod
from edgevirt.engine.kubelet import cgroups, cni, resources, server
from edgevirt.engine.kubelet.devices import DeviceRegistry
from edgevirt.engine.kubelet.mounts import MountEntry
from edgevirt.engine.kubelet.settings import CniSettings
from edgevirt.engine.kubelet.volumes.content import BadVolume, Content, File, check_path, write
from edgevirt.engine.kubelet.volumes.prepare import default_policy

pytestmark = pytest.mark.unit


def entry(point: str, kind: str, options: str = "") -> MountEntry:
    return MountEntry(point, "/", kind, kind, False, options)


@pytest.mark.parametrize(
    ("table", "hybrid", "v2"),
    [
        ((entry("/c/memory", "cgroup", "rw,memory"), entry("/c/unified", "cgroup2")), True, False),
        ((entry("/c/memory", "cgroup", "rw,memory"),), False, False),
        ((entry("/c", "cgroup2"),), False, True),
    ],
)
def test_layout_is_recognised(table: tuple[MountEntry, ...], hybrid: bool, v2: bool) -> None:
    found = cgroups.detect(table)
    assert (found.hybrid, found.v2) == (hybrid, v2)


def test_joint_controllers_are_one_root() -> None:
    found = cgroups.detect((entry("/c/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),))
    assert found.roots() == (Path("/c/cpu,cpuacct"),)


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 39), (262144, 10000)])
def test_shares_become_weight(shares: int, weight: int) -> None:
    assert cgroups.weight_of_shares(shares) == weight


def test_bridge_list_names_subnet_and_leases(tmp_path: Path) -> None:
    document = cni.bridge_list(CniSettings(bridge="b", subnet="10.1.0.0/16", mtu=1400), tmp_path)
    plugin = document["plugins"][0]
    assert plugin["ipam"]["ranges"] == [[{"subnet": "10.1.0.0/16"}]]
    assert plugin["ipam"]["dataDir"] == str(tmp_path)
    assert plugin["mtu"] == 1400


def test_network_that_is_no_network_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not appear"):
        cni.Cni(CniSettings(subnet="ten"), tmp_path)


def test_missing_plugin_says_what_to_install(tmp_path: Path) -> None:
    network = cni.Cni(CniSettings(bin_dirs=(tmp_path,)), tmp_path)
    with pytest.raises(cni.CniError, match="install containernetworking-plugins"):
        network.delete(cni.PodNetwork("id", "", "ns", "p"))


def test_registry_tells_of_changes_only() -> None:
    told: list[int] = []
    registry = DeviceRegistry()
    registry.on_change(lambda: told.append(1))
    registry.register("example.com/null", 5, ["/dev/null"])
    registry.register("example.com/null", 5, ["/dev/null"])
    assert registry.capacity() == {"example.com/null": "5"}
    registry.unregister("example.com/null")
    registry.unregister("example.com/null")
    assert len(told) == 2


@pytest.mark.parametrize(
    ("name", "count", "path"),
    [("tun", 1, "/dev/null"), ("a.b/c", -1, "/dev/null"), ("a.b/c", 1, "/etc/passwd")],
)
def test_bad_registration_is_refused(name: str, count: int, path: str) -> None:
    with pytest.raises(ValueError):
        DeviceRegistry().register(name, count, [path])


def pod(*requirements: dict[str, Any], **spec: Any) -> Pod:
    containers = [{"name": f"c{i}", "resources": r} for i, r in enumerate(requirements)]
    return msgspec.convert({"metadata": {"name": "p"}, "spec": {"containers": containers, **spec}}, Pod)


FULL = {"limits": {"cpu": "1", "memory": "1Gi"}}


@pytest.mark.parametrize(
    ("wanted", "qos"),
    [
        (pod({}), "BestEffort"),
        (pod(FULL), "Guaranteed"),
        (pod(FULL, {}), "Burstable"),
        (pod({"requests": {"cpu": "1"}}), "Burstable"),
        (pod({**FULL, "requests": {"cpu": "500m"}}), "Burstable"),
        (pod({"limits": {"example.com/x": "1"}}), "BestEffort"),
    ],
)
def test_qos_class(wanted: Pod, qos: str) -> None:
    assert resources.qos_class(wanted) == qos


def test_pod_limit_is_the_larger_of_init_and_regular_plus_overhead() -> None:
    init = [{"name": "i", "resources": {"limits": {"cpu": "4", "memory": "1Gi"}}}]
    wanted = pod(FULL, FULL, initContainers=init, overhead={"memory": "100Mi"})
    limits = resources.of_pod(wanted)
    assert limits.memory == (2 << 30) + (100 << 20)
    assert limits.cpu_quota == 400_000


def test_pod_with_an_unlimited_container_is_unlimited() -> None:
    assert resources.of_pod(pod(FULL, {})).memory is None


@pytest.mark.parametrize(
    ("name", "extended"),
    [
        ("cpu", False),
        ("hugepages-2Mi", False),
        ("devices.kubevirt.io/kvm", True),
        ("node.kubernetes.io/x", False),
    ],
)
def test_extended_resources_have_a_foreign_domain(name: str, extended: bool) -> None:
    assert resources.is_extended(name) is extended


@pytest.mark.parametrize("path", ["", "/abs", "../x", "a/../../x", "..data"])
def test_file_outside_its_volume_is_refused(path: str) -> None:
    with pytest.raises(BadVolume):
        check_path(path)


def test_update_of_a_volume_is_one_switch(tmp_path: Path) -> None:
    first = Content({"a": File(b"1", 0o644), "d/b": File(b"2", 0o600)})
    assert write(tmp_path, first)
    assert not write(tmp_path, first)
    before = (tmp_path / "..data").resolve()
    assert write(tmp_path, Content({"a": File(b"3", 0o644)}))
    assert (tmp_path / "a").read_text() == "3"
    assert not (tmp_path / "d").exists()
    assert not before.exists()


@pytest.mark.parametrize(
    ("image", "policy"),
    [("a", "Always"), ("a:latest", "Always"), ("a:1", "IfNotPresent"), ("r:5000/a", "Always")],
)
def test_default_pull_policy(image: str, policy: str) -> None:
    assert default_policy(image) == policy


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"tailLines": "x"}, "tailLines"),
        ({"sinceTime": "now"}, "sinceTime"),
        ({"limitBytes": "-1"}, "limitBytes"),
    ],
)
def test_bad_log_query_is_named(query: dict[str, str], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        server.parse_query(query, 0.0)


def test_log_query_is_read() -> None:
    query = server.parse_query({"follow": "true", "tailLines": "3", "sinceSeconds": "10"}, 100.0)
    assert (query.follow, query.tail, query.since) == (True, 3, 90.0)


def test_resources_of_the_pod_itself_win_over_its_containers() -> None:
    wanted = msgspec.convert(
        {
            "metadata": {"name": "p"},
            "spec": {
                "resources": {
                    "requests": {"cpu": "1", "memory": "1Gi"},
                    "limits": {"cpu": "2", "memory": "2Gi"},
                },
                "containers": [
                    {"name": "a", "resources": {"requests": {"memory": "512Mi"}}},
                    {"name": "b"},
                ],
            },
        },
        Pod,
    )
    assert resources.of_pod(wanted) == resources.Limits(1024, 200_000, 2 << 30)
    assert resources.qos_class(wanted) == "Burstable"
    assert wanted.spec
    scores = [resources.oom_score(wanted, container, 4 << 30) for container in wanted.spec.containers]
    assert scores == [1000 - 187, 1000 - 62], "what the containers do not ask for themselves is shared"
    assert wanted.spec.resources
    wanted.spec.resources.requests.update(wanted.spec.resources.limits)
    assert resources.qos_class(wanted) == "Guaranteed"


@pytest.mark.parametrize("group", [None, os.getgid()])
def test_files_of_a_volume_have_permissions_and_nothing_more(tmp_path: Path, group: int | None) -> None:
    content = Content({"tool": File(b"x", 0o6755)})
    assert write(tmp_path, content, group=group)
    assert stat.S_IMODE((tmp_path / "tool").stat().st_mode) == 0o755
    assert not write(tmp_path, content, group=group)
