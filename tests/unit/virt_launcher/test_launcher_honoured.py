"""The table of honoured fields, against the API types and against what admission lets through."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from launcher_cases import make_vmi

from edgevirt.api.kubevirt.instance import VirtualMachineInstanceSpec
from edgevirt.api.kubevirt.supported import INSTANCE
from edgevirt.virt_launcher.domain.errors import UnsupportedField
from edgevirt.virt_launcher.domain.honoured import ELSEWHERE, HONOURED, refuse_unsupported

pytestmark = pytest.mark.unit
KNOWN = HONOURED | ELSEWHERE


def test_every_entry_of_the_table_is_a_field_of_the_api() -> None:
    existing = _paths(VirtualMachineInstanceSpec, "")
    assert {entry.removesuffix(".**") for entry in KNOWN} - existing == set()


def _paths(kind: Any, prefix: str) -> set[str]:
    found: set[str] = set()
    for field in msgspec.structs.fields(kind):
        path = f"{prefix}{field.encode_name}"
        found.add(path)
        for inner, suffix in _inner(field.type):
            found |= {path + suffix} | _paths(inner, f"{path}{suffix}.")
    return found


def _inner(kind: Any) -> list[tuple[Any, str]]:
    if hasattr(kind, "__metadata__"):  # typing.Annotated
        return _inner(kind.__origin__)
    arguments = [kind, *getattr(kind, "__args__", ())]
    return [
        (argument, "[]" if getattr(kind, "__origin__", None) is tuple else "")
        for argument in arguments
        if isinstance(argument, type) and issubclass(argument, msgspec.Struct)
        if "Affinity" not in argument.__name__
    ]


def test_whatever_admission_supports_is_honoured() -> None:
    for line in INSTANCE:
        if all(value is False for value in line.values) and line.values:
            continue
        path = line.path
        covered = any(
            entry == path
            or entry.startswith((f"{path}.", f"{path}["))
            or (entry.endswith(".**") and (path + ".").startswith(entry.removesuffix("**")))
            or entry == f"{path}.**"
            for entry in KNOWN
        )
        assert covered, f"admission accepts {path}, the launcher refuses it"


@pytest.mark.parametrize(
    ("domain", "field"),
    [
        ({"memory": {"guest": "1Gi", "hugepages": {"pageSize": "2Mi"}}}, "domain.memory.hugepages"),
        ({"cpu": {"dedicatedCpuPlacement": True}}, "domain.cpu.dedicatedCpuPlacement"),
        ({"ioThreadsPolicy": "auto"}, "domain.ioThreadsPolicy"),
        ({"launchSecurity": {"sev": {}}}, "domain.launchSecurity"),
        (
            {"firmware": {"bootloader": {"efi": {"persistent": True}}}},
            "domain.firmware.bootloader.efi.persistent",
        ),
        ({"devices": {"tpm": {}}}, "domain.devices.tpm"),
        ({"devices": {"disks": [{"name": "a"}, {"name": "b", "lun": {}}]}}, "domain.devices.disks[1].lun"),
        ({"devices": {"interfaces": [{"name": "a", "sriov": {}}]}}, "domain.devices.interfaces[0].sriov"),
        ({"devices": {"gpus": [{"name": "g", "deviceName": "x"}]}}, "domain.devices.gpus"),
        ({"devices": {"networkInterfaceMultiqueue": True}}, "domain.devices.networkInterfaceMultiqueue"),
    ],
)
def test_field_in_use_that_nobody_implements_is_refused(domain: dict[str, Any], field: str) -> None:
    vmi = make_vmi({"domain": {"devices": {}, **domain}})
    with pytest.raises(UnsupportedField) as caught:
        refuse_unsupported(vmi.spec)
    assert caught.value.field == f"spec.{field}"


def test_volume_that_is_not_implemented_is_refused_with_a_hint() -> None:
    vmi = make_vmi(
        {
            "domain": {"devices": {}},
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}],
        }
    )
    with pytest.raises(UnsupportedField, match=r"spec\.volumes\[0\]\.persistentVolumeClaim: .*containerDisk"):
        refuse_unsupported(vmi.spec)


def test_field_that_is_switched_off_counts_as_absent() -> None:
    vmi = make_vmi(
        {
            "domain": {
                "cpu": {"dedicatedCpuPlacement": False},
                "devices": {"tpm": {"enabled": False}, "autoattachVSOCK": False, "gpus": []},
            }
        }
    )
    refuse_unsupported(vmi.spec)
