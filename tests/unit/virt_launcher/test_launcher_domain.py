"""Domain XML against golden files; EDGEVIRT_UPDATE_GOLDEN=1 rewrites them after a wanted change."""

from __future__ import annotations

import dataclasses
import importlib
import os
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
from launcher_cases import CASES, KVM, make_domain

import edgevirt.virt_launcher.domain as package
from edgevirt.api.launcher import GuestLink
from edgevirt.virt_launcher.domain.disks import letter_name
from edgevirt.virt_launcher.domain.element import el
from edgevirt.virt_launcher.domain.errors import UnsupportedField

pytestmark = pytest.mark.unit
GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("case", CASES)
def test_domain_xml_is_as_recorded(case: str) -> None:
    spec, given = CASES[case]
    xml = make_domain(spec, **given).to_xml()
    golden = GOLDEN / f"{case}.xml"
    if os.environ.get("EDGEVIRT_UPDATE_GOLDEN"):
        golden.write_text(xml)
    assert xml == golden.read_text()


def test_there_is_no_golden_file_without_a_case() -> None:
    assert {path.stem for path in GOLDEN.glob("*.xml")} == set(CASES)


@pytest.fixture(scope="module")
def libvirt_without_a_host() -> Iterator[libvirt.virConnect]:
    """libvirt's built-in test driver: parses and validates like any other, runs nothing."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    connection = libvirt.open("test:///default")
    yield connection
    connection.close()


@pytest.mark.parametrize("case", CASES)
def test_golden_file_is_valid_by_libvirts_schema(
    case: str, libvirt_without_a_host: libvirt.virConnect
) -> None:
    xml = (GOLDEN / f"{case}.xml").read_text()
    libvirt_without_a_host.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE).undefine()


def test_every_field_of_every_domain_type_is_exercised() -> None:
    used: set[tuple[str, str]] = set()
    for spec, given in CASES.values():
        _collect(make_domain(spec, **given), used)
    declared = {
        (kind.__name__, field.name)
        for info in pkgutil.iter_modules(package.__path__)
        for kind in vars(importlib.import_module(f"{package.__name__}.{info.name}")).values()
        if dataclasses.is_dataclass(kind) and isinstance(kind, type)
        if kind.__module__.startswith(package.__name__)
        if kind.__name__ not in ("Element", "GuestPaths", "FirmwareFiles", "DiskImage")
        for field in dataclasses.fields(kind)
    }
    assert declared - used == set()


def _collect(value: Any, used: set[tuple[str, str]]) -> None:
    if isinstance(value, tuple):
        for item in value:
            _collect(item, used)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            if inner != field.default:
                used.add((type(value).__name__, field.name))
            _collect(inner, used)


def _domain(**domain: Any) -> dict[str, Any]:
    return {"domain": {"memory": {"guest": "128Mi"}, "devices": {}, **domain}}


def _devices(volumes: list[dict[str, Any]] | None = None, **devices: Any) -> dict[str, Any]:
    return {**_domain(devices=devices), "volumes": volumes or []}


_DISK = "spec.domain.devices.disks[0]"
_EMPTY = [{"name": "d", "emptyDisk": {"capacity": "1Gi"}}]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({**_domain(), "architecture": "arm64"}, "spec.architecture"),
        ({**_domain(), "startStrategy": "Later"}, "spec.startStrategy"),
        ({"domain": {"devices": {}}}, "spec.domain.memory.guest"),
        (_domain(memory={"guest": "lots"}), "spec.domain.memory.guest"),
        (_domain(memory={"guest": "1k"}), "spec.domain.memory.guest"),
        (_domain(machine={"type": "pc-i440fx"}), "spec.domain.machine.type"),
        (_domain(firmware={"uuid": "x"}), "spec.domain.firmware.uuid"),
        (_domain(firmware={"bootloader": {"efi": {}}}), "spec.domain.firmware.bootloader.efi"),
        (_domain(firmware={"bootloader": {"efi": {}, "bios": {}}}), "spec.domain.firmware.bootloader"),
        (_domain(cpu={"model": "host-passthrough"}), "spec.domain.cpu.model"),
        (_domain(cpu={"sockets": -1}), "spec.domain.cpu.sockets"),
        (_domain(cpu={"features": [{"name": "a", "policy": "x"}]}), "spec.domain.cpu.features[0].policy"),
        (_domain(features={"hyperv": {"relaxed": {}}}), "spec.domain.features.hyperv"),
        (_domain(features={"hypervPassthrough": {}}), "spec.domain.features.hypervPassthrough"),
        (_domain(clock={"timer": {"kvm": {}}}), "spec.domain.clock.timer.kvm"),
        (_domain(clock={"utc": {}, "timezone": "UTC"}), "spec.domain.clock"),
        (_domain(rebootPolicy="Never"), "spec.domain.rebootPolicy"),
        (_devices(video={"type": "vga"}, autoattachGraphicsDevice=False), "spec.domain.devices.video"),
        (_devices(watchdog={"name": "d"}), "spec.domain.devices.watchdog"),
        (_devices(inputs=[{"name": "k", "type": "keyboard"}]), "spec.domain.devices.inputs[0].type"),
        (_devices(disks=[{"name": "d"}]), "spec.domain.devices.disks[0].name"),
        (_devices(_EMPTY), "spec.volumes[0]"),
        (_devices(_EMPTY, disks=[{"name": "d", "cdrom": {"bus": "virtio"}}]), f"{_DISK}.cdrom.bus"),
        (_devices(_EMPTY, disks=[{"name": "d", "disk": {"bus": "ide"}}]), f"{_DISK}.disk.bus"),
        (_devices(_EMPTY, disks=[{"name": "d", "cache": "x"}]), "spec.domain.devices.disks[0].cache"),
        (_devices(_EMPTY, disks=[{"name": "d", "disk": {"bus": "sata", "pciAddress": "0000:00:00.0"}}]),
         "spec.domain.devices.disks[0].disk.pciAddress"),
        (_devices(interfaces=[{"name": "n", "bridge": {}}]), "spec.domain.devices.interfaces[0]"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_by_name(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(UnsupportedField) as caught:
        make_domain(spec)
    assert caught.value.field == field


def test_no_direct_io_means_writethrough_unless_none_was_asked_for() -> None:
    volumes = [{"name": "d", "containerDisk": {"image": "x"}}]
    disk = make_domain(_devices(volumes, disks=[{"name": "d"}])).disks[0]
    assert disk.cache == "writethrough"
    with pytest.raises(UnsupportedField, match="direct I/O"):
        make_domain(_devices(volumes, disks=[{"name": "d", "cache": "none"}]))


def test_translation_cache_is_bounded_only_under_emulation() -> None:
    small, large = _domain(memory={"guest": "256Mi"}), _domain(memory={"guest": "257Mi"})
    assert make_domain(small).features.tb_cache_mib == 64
    assert make_domain(large).features.tb_cache_mib == 128
    assert make_domain(large, **KVM).features.tb_cache_mib is None


def test_uuid_without_firmware_uuid_is_the_same_every_time() -> None:
    assert make_domain(_domain()).uuid == make_domain(_domain()).uuid


def test_unknown_nic_model_is_refused() -> None:
    spec = _devices(interfaces=[{"name": "n", "bridge": {}, "model": "ne3000"}])
    with pytest.raises(UnsupportedField, match="ne3000"):
        make_domain(spec, links=[GuestLink(name="n", tap="t", mac="m")])


@pytest.mark.parametrize(
    ("number", "name"), [(0, "a"), (25, "z"), (26, "aa"), (51, "az"), (52, "ba"), (701, "zz")]
)
def test_disks_are_lettered_as_linux_letters_them(number: int, name: str) -> None:
    assert letter_name(number) == name


def test_text_is_escaped_and_impossible_characters_are_refused() -> None:
    assert str(el("a", text="<&>", b="'\"")) == "<a b='&apos;&quot;'>&lt;&amp;&gt;</a>\n"
    with pytest.raises(ValueError, match="cannot be written"):
        str(el("a", text="\x00"))
