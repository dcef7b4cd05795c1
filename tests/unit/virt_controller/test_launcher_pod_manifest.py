"""The launcher pod: KubeVirt's shape, with this project's overheads and without its extra containers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from edgevirt.api import quantity
from edgevirt.api.kubevirt import VirtualMachineInstance
from edgevirt.virt_controller.launcher_pod import LauncherSettings, render
from edgevirt.virt_controller.overhead import memory_overhead

pytestmark = pytest.mark.unit

MIB = 2**20
SHAPES = [
    "minimal-config-emulation",
    "bridge",
    "containerdisk-cloudinit-config-emulation",
    "emptydisk",
    "labels-annotations",
    "memory-request-only",
    "pull-secret",
    "resources-limits",
    "termination-0",
    "two-containerdisks",
    "vcpu8-topology",
]


def instance(name="web", **spec):
    document = {
        "metadata": {"name": name, "namespace": "shop", "uid": "u1", "labels": {"app": "web"}},
        "spec": {
            "domain": {
                "devices": {"interfaces": [{"name": "default", "bridge": {}}]},
                "memory": {"guest": "128Mi"},
            },
            **spec,
        },
    }
    return msgspec.convert(document, VirtualMachineInstance)


def compute(pod):
    return pod["spec"]["containers"][0]


def test_container_disk_is_an_image_volume_under_the_index_of_its_volume():
    volumes = [
        {"name": "cloud", "cloudInitNoCloud": {"userData": "#cloud-config"}},
        {"name": "root", "containerDisk": {"image": "tiny", "imagePullPolicy": "Never"}},
    ]
    pod = render(instance(volumes=volumes), LauncherSettings("launcher:1"))
    assert {"name": "root", "image": {"reference": "tiny", "pullPolicy": "Never"}} in pod["spec"]["volumes"]
    mount = {"name": "root", "mountPath": "/var/run/kubevirt-image-volume/disk_1", "readOnly": True}
    assert mount in compute(pod)["volumeMounts"]


def test_cloud_init_secrets_are_mounted_by_the_kubelet():
    source = {"secretRef": {"name": "user"}, "networkDataSecretRef": {"name": "net"}}
    pod = render(instance(volumes=[{"name": "ci", "cloudInitNoCloud": source}]), LauncherSettings("l"))
    secrets = {v["secret"]["secretName"] for v in pod["spec"]["volumes"] if "secret" in v}
    assert secrets == {"user", "net"}
    paths = {m["mountPath"] for m in compute(pod)["volumeMounts"] if m["name"].startswith("ci-")}
    assert all(path.startswith("/var/run/kubevirt-private/secret/ci/") for path in paths)
    assert len(paths) == 2


def test_kvm_is_requested_only_where_it_was_proven():
    with_kvm = compute(render(instance(), LauncherSettings("l", use_kvm=True)))
    without = compute(render(instance(), LauncherSettings("l")))
    assert with_kvm["resources"]["limits"]["devices.kubevirt.io/kvm"] == "1"
    assert "devices.kubevirt.io/kvm" not in without["resources"]["limits"]
    assert "--allow-emulation" in without["args"]
    assert "--allow-emulation" not in with_kvm["args"]


def test_launcher_runs_unprivileged():
    pod = render(instance(), LauncherSettings("l"))
    context = compute(pod)["securityContext"]
    assert (context["runAsUser"], context["allowPrivilegeEscalation"]) == (107, False)
    assert context["capabilities"]["drop"] == ["ALL"]
    assert pod["spec"]["automountServiceAccountToken"] is False


def test_long_names_become_label_values():
    pod = render(instance(name="a" * 70), LauncherSettings("l"))
    values = pod["metadata"]["labels"]
    assert len(values["vmi.kubevirt.io/id"]) == 63
    assert len(pod["spec"]["hostname"]) == 63


def test_grace_period_leaves_time_for_the_launcher_after_the_guest():
    pod = render(instance(terminationGracePeriodSeconds=0), LauncherSettings("l"))
    assert pod["spec"]["terminationGracePeriodSeconds"] == 30
    assert compute(pod)["args"][compute(pod)["args"].index("--grace-period-seconds") + 1] == "15"


def test_overhead_is_a_fraction_of_kubevirts_for_a_small_guest_under_kvm():
    domain = instance().spec.domain
    assert memory_overhead(domain, emulation=False) == 133 * MIB
    assert memory_overhead(domain, emulation=True) == (133 + 64) * MIB


def test_user_requests_and_limits_get_the_overhead_on_top():
    spec = {
        "domain": {
            "devices": {},
            "resources": {"requests": {"memory": "64Mi", "cpu": "250m"}, "limits": {"memory": "256Mi"}},
        }
    }
    resources = compute(render(instance(**spec), LauncherSettings("l")))["resources"]
    assert resources["requests"]["cpu"] == "250m"
    overhead = quantity.to_bytes(resources["requests"]["memory"]) - 64 * MIB
    assert quantity.to_bytes(resources["limits"]["memory"]) == 256 * MIB + overhead


@pytest.mark.skipif("EDGEVIRT_REFERENCE" not in os.environ, reason="needs the recorded reference")
@pytest.mark.parametrize("shape", SHAPES)
def test_pod_agrees_with_the_recorded_one(shape):
    path = Path(os.environ["EDGEVIRT_REFERENCE"], "kubevirt-recordings/controller", f"vmi-shape-{shape}.json")
    steps = json.loads(path.read_text())["steps"]
    added = {step["kind"]: step["object"] for step in steps if step["op"] == "ADDED"}
    recorded = added["Pod"]
    vmi = msgspec.convert(added["VirtualMachineInstance"], VirtualMachineInstance)
    ours = render(vmi, LauncherSettings("registry:5000/kubevirt/virt-launcher:devel"))
    assert ours["metadata"]["labels"].items() >= recorded["metadata"]["labels"].items()
    for key in (
        "restartPolicy",
        "hostname",
        "nodeSelector",
        "automountServiceAccountToken",
        "enableServiceLinks",
    ):
        assert ours["spec"][key] == recorded["spec"][key], key
    assert ours["spec"]["securityContext"] == recorded["spec"]["securityContext"]
    theirs = {volume["name"] for volume in recorded["spec"]["volumes"]}
    unused = {"virt-bin-share-dir", "launcher-volume", "hotplug-disks"}
    assert {volume["name"] for volume in ours["spec"]["volumes"]} == theirs - unused
    recorded_compute = recorded["spec"]["containers"][0]
    mounted = {m["mountPath"] for m in recorded_compute["volumeMounts"] if m["name"] not in unused}
    assert {m["mountPath"] for m in compute(ours)["volumeMounts"]} == mounted
    assert compute(ours)["resources"]["requests"]["cpu"] == recorded_compute["resources"]["requests"]["cpu"]
    assert ours["spec"]["terminationGracePeriodSeconds"] == recorded["spec"]["terminationGracePeriodSeconds"]
