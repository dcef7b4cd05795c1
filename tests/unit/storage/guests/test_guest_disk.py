"""The disk's layout and GRUB's configuration, with the real tools on a small tree."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from edgevirt.storage.guests import debian, disk, tiny
from edgevirt.storage.guests.disk import DiskLayout, grub_config, make_disk

pytestmark = pytest.mark.unit

LAYOUT = DiskLayout(size_mib=64, esp_mib=8, label="a-label")


@pytest.fixture
def loaders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for GRUB's and shim's packages: the sizes matter here, not the code."""
    root = tmp_path / "loaders"
    for name, content in (
        ("usr/lib/shim/shimx64.efi.signed", b"shim"),
        ("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", b"grub"),
        ("usr/lib/grub/i386-pc/boot.img", bytes([0xEB] * 512)),
        (
            "usr/bin/grub-mkimage",
            b'#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\nhead -c 40000 /dev/zero > $2\n',
        ),
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755)
    monkeypatch.setattr(disk, "tree", lambda *_: root)
    return root


def _made(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "boot/grub").mkdir(parents=True)
    (root / "boot/grub/grub.cfg").write_text("a configuration\n")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    output = tmp_path / "disk.qcow2"
    make_disk(root, output, LAYOUT, tmp_path / "work", scratch)
    assert not (scratch / "disk.raw").exists()
    raw = tmp_path / "disk.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", output, raw], check=True, timeout=30)
    return raw


def _partition_start(raw: Path, number: int) -> int:
    entry = raw.read_bytes()[1024 + (number - 1) * 128 :][:128]
    return int(struct.unpack_from("<Q", entry, 32)[0])


def test_bios_finds_grub_where_the_first_sector_points(tmp_path: Path, loaders: Path) -> None:
    raw = _made(tmp_path)
    content = raw.read_bytes()
    start = _partition_start(raw, 14)
    assert struct.unpack_from("<Q", content, 0x5C) == (start,)
    assert content[0x66:0x68] == b"\x90\x90"
    assert content[510:512] == b"\x55\xaa"
    first, sectors, segment = struct.unpack_from("<QHH", content, start * 512 + 0x1F4)
    assert (first, sectors, segment) == (start + 1, -(-40000 // 512) - 1, 0x820)


def test_uefi_finds_shim_which_finds_grub(tmp_path: Path, loaders: Path) -> None:
    raw = _made(tmp_path)
    offset = _partition_start(raw, 15) * 512
    for name, content in (("BOOTX64.EFI", b"shim"), ("grubx64.efi", b"grub")):
        read = ["mtype", "-i", f"{raw}@@{offset}", f"::EFI/BOOT/{name}"]
        assert subprocess.run(read, check=True, capture_output=True, timeout=10).stdout == content


def test_root_file_system_is_whole_labelled_and_holds_the_tree(tmp_path: Path, loaders: Path) -> None:
    raw = _made(tmp_path)
    with raw.open("rb") as whole, (tmp_path / "root.ext4").open("wb") as part:
        whole.seek(_partition_start(raw, 1) * 512)
        shutil.copyfileobj(whole, part)
    e2 = tmp_path / "root.ext4"
    # The partition ends before the disk does (the second GPT follows), so the copy is longer, never shorter.
    subprocess.run(["e2fsck", "-fn", e2], check=True, capture_output=True, timeout=30)
    label = subprocess.run(["e2label", e2], check=True, capture_output=True, timeout=10).stdout
    assert label.strip() == b"a-label"
    read = ["debugfs", "-R", "cat /boot/grub/grub.cfg", e2]
    assert subprocess.run(read, check=True, capture_output=True, timeout=10).stdout == b"a configuration\n"


def test_grub_too_big_for_its_partition_is_an_error(tmp_path: Path, loaders: Path) -> None:
    program = loaders / "usr/bin/grub-mkimage"
    program.write_text(program.read_text().replace("40000", str(3 << 20)))
    with pytest.raises(disk.BuildError, match="does not fit its partition"):
        _made(tmp_path)


def test_grub_enters_the_kernel_by_the_16_bit_protocol_only_by_bios() -> None:
    lines = grub_config("/k", "/i", "console=ttyS0", "a-label").splitlines()
    condition = lines.index('if [ "$grub_platform" = pc ]; then')
    assert lines[condition + 1 : condition + 8] == [
        *(
            "linux16 /k console=ttyS0",
            "initrd16 /i",
            "else",
            "linux /k console=ttyS0",
            "initrd /i",
            "fi",
            "boot",
        ),
    ]
    assert "search --no-floppy --label a-label --set=root" in lines[:condition]


def test_core_image_holds_the_commands_its_configuration_uses() -> None:
    assert {"linux16", "test", "search", "serial", "configfile", "ext2", "part_gpt"} <= set(
        disk._CORE_MODULES
    )


@pytest.mark.parametrize("layout", [tiny.LAYOUT, debian.LAYOUT], ids=lambda layout: layout.label)
def test_layouts_leave_room_for_the_boot_loaders(layout: DiskLayout) -> None:
    assert layout.esp_mib >= 8
    assert layout.size_mib > layout.esp_mib + 64
    assert len(layout.label) <= 16  # ext4's limit


def test_disk_has_the_layout_s_virtual_size(tmp_path: Path, loaders: Path) -> None:
    _made(tmp_path)
    shown = ["qemu-img", "info", "--output=json", tmp_path / "disk.qcow2"]
    info = json.loads(subprocess.run(shown, check=True, capture_output=True, timeout=10).stdout)
    assert info["virtual-size"] == LAYOUT.size_mib << 20
