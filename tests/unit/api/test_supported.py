"""The table of implemented fields, the refusals it causes and the page made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgevirt.api import compatibility
from edgevirt.api.kubevirt import supported
from edgevirt.api.kubevirt.installation import KubeVirtSpec
from edgevirt.api.kubevirt.instance import VirtualMachineInstanceSpec
from edgevirt.api.kubevirt.machine import VirtualMachineSpec
from edgevirt.api.meta import Struct

pytestmark = pytest.mark.unit

MINIMAL: dict[str, Any] = {
    "domain": {
        "memory": {"guest": "128Mi"},
        "devices": {
            "disks": [{"name": "a", "disk": {"bus": "virtio"}}],
            "interfaces": [{"name": "n", "bridge": {}}],
        },
    },
    "networks": [{"name": "n", "pod": {}}],
    "volumes": [{"name": "a", "containerDisk": {"image": "x", "path": "/disk/a"}}],
}


def test_an_ordinary_machine_is_supported() -> None:
    assert supported.unsupported(MINIMAL) == []


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"affinity": {"nodeAffinity": {}}}, "spec.affinity"),
        (
            {"networks": [{"name": "n", "pod": {"vmNetworkCIDR": "10.1.0.0/24"}}]},
            "spec.networks[0].pod.vmNetworkCIDR",
        ),
        ({"volumes": [{"name": "a"}, {"name": "b", "hostDisk": {}}]}, "spec.volumes[1].hostDisk"),
        (
            {"domain": {"devices": {"interfaces": [{"masquerade": {}}]}}},
            "spec.domain.devices.interfaces[0].masquerade",
        ),
        (
            {"domain": {"resources": {"limits": {"nvidia.com/gpu": 1}}}},
            "spec.domain.resources.limits.nvidia.com/gpu",
        ),
        ({"architecture": "arm64"}, "spec.architecture"),
        ({"domain": {"cpu": {"dedicatedCpuPlacement": True}}}, "spec.domain.cpu.dedicatedCpuPlacement"),
        ({"evictionStrategy": "LiveMigrate"}, "spec.evictionStrategy"),
    ],
)
def test_what_is_not_implemented_is_named_with_its_path(spec: dict[str, Any], path: str) -> None:
    (refused,) = supported.unsupported(spec)
    assert refused.path == path
    assert refused.message.startswith(path)
    assert "not supported yet" in refused.message


@pytest.mark.parametrize(
    "spec",
    [
        {"affinity": None, "livenessProbe": None, "utilityVolumes": []},
        {"domain": {"cpu": {"dedicatedCpuPlacement": False}}},
        {"evictionStrategy": "None", "schedulerName": "default-scheduler"},
        {"tolerations": [{"key": "a", "operator": "Exists"}], "nodeSelector": {"a": "b"}},
    ],
)
def test_absent_empty_and_default_values_are_accepted(spec: dict[str, Any]) -> None:
    assert supported.unsupported(spec) == []


def test_a_machine_is_checked_down_into_its_template() -> None:
    refused = supported.unsupported_machine(
        {
            "runStrategy": "WaitAsReceiver",
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {**MINIMAL, "subdomain": "x"}},
            "dataVolumeTemplates": [{"metadata": {"name": "x"}}],
        }
    )
    assert [each.path for each in refused] == [
        "spec.runStrategy",
        "spec.template.spec.subdomain",
        "spec.dataVolumeTemplates",
    ]
    assert '"Always"' in refused[0].message


def test_configuration_that_nobody_acts_on_is_refused() -> None:
    refused = supported.unsupported_configuration(
        {"configuration": {"developerConfiguration": {"useEmulation": True}, "migrations": {"network": "x"}}}
    )
    assert [each.path for each in refused] == ["spec.configuration.migrations"]


@pytest.mark.parametrize(
    ("table", "type"),
    [
        (supported.INSTANCE, VirtualMachineInstanceSpec),
        (supported.MACHINE, VirtualMachineSpec),
        (supported.CONFIGURATION, KubeVirtSpec),
    ],
)
def test_every_line_of_the_table_names_fields_that_exist(
    table: tuple[supported.Supported, ...], type: type[Struct]
) -> None:
    leaves = compatibility.leaf_paths(type)
    unknown = [
        line.path
        for line in table
        if not any(
            leaf == line.path
            or leaf.startswith((f"{line.path}.", f"{line.path}[]"))
            or line.path.startswith(f"{leaf}.")
            for leaf in leaves
        )
    ]
    assert unknown == []


def test_the_page_is_current() -> None:
    written = Path(__file__).parents[3] / "docs" / "compatibility.md"
    assert written.read_text() == compatibility.page(), (
        "run: python -m edgevirt.api.compatibility > docs/compatibility.md"
    )
