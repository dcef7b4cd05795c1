"""A directory tree becomes a bootable disk: GPT, BIOS GRUB, and an ESP with signed shim and GRUB.

No loop device, no chroot and no grub-install: the file systems are written by mke2fs and mtools, GRUB's
core image is made by grub-mkimage and its two block pointers are patched here (the MBR's sector of the
core image at 0x5c; the core image's own block list at 0x1f4, see GRUB's boot.S and diskboot.S for the
layout). One disk therefore boots by BIOS, UEFI and UEFI with Secure Boot.
"""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

from edgevirt.storage.guests.packages import tree
from edgevirt.storage.guests.tools import BuildError, run

SECTOR = 512
MIB = 1024 * 1024
BOOT_PACKAGES = ("grub-common", "grub-pc-bin", "shim-signed", "grub-efi-amd64-signed")
_BIOS_PARTITION, _ESP_PARTITION, _ROOT_PARTITION = 14, 15, 1
_BIOS_PARTITION_MIB = 2
_CORE_MODULES = (
    *("biosdisk", "part_gpt", "ext2", "normal", "linux16", "search", "search_label", "configfile"),
    *("serial", "terminal", "echo", "test", "boot", "minicmd"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class DiskLayout:
    """Sizes in MiB; `label` names the root file system, by which GRUB finds it."""

    size_mib: int
    esp_mib: int
    label: str


def grub_config(kernel: str, initrd: str, arguments: str, label: str) -> str:
    """GRUB's configuration: boot the one kernel at once, on screen and serial line.

    By BIOS the kernel is entered by its 16-bit protocol: measured under emulation, its first line then comes
    two seconds sooner than by the 32-bit one. UEFI has no such entry.
    """
    return (
        "serial --unit=0 --speed=115200\n"
        "terminal_input console serial\n"
        "terminal_output console serial\n"
        "set timeout=0\n"
        f"search --no-floppy --label {label} --set=root\n"
        'if [ "$grub_platform" = pc ]; then\n'
        f"linux16 {kernel} {arguments}\n"
        f"initrd16 {initrd}\n"
        "else\n"
        f"linux {kernel} {arguments}\n"
        f"initrd {initrd}\n"
        "fi\n"
        "boot\n"
    )


def make_disk(root: Path, output: Path, layout: DiskLayout, work: Path, scratch: Path) -> None:
    """Write the tree at `root` as a qcow2 disk to `output`.

    `work` keeps the boot loaders, `scratch` is for files in progress. `root` must hold boot/grub/grub.cfg.
    The qcow2 file is compressed. Raises BuildError.
    """
    loaders = tree("loaders", BOOT_PACKAGES, work)
    raw = scratch / "disk.raw"
    with raw.open("wb") as disk:
        disk.truncate(layout.size_mib * MIB)
    _partition(raw, layout)
    _write_root(root, raw, layout.label)
    _write_esp(raw, layout, loaders, scratch)
    _write_bios_grub(raw, layout.label, loaders, scratch)
    options = "compression_type=zstd"
    run(["qemu-img", "convert", "-O", "qcow2", "-c", "-o", options, raw, output], deadline=600)
    raw.unlink()


def _partition(raw: Path, layout: DiskLayout) -> None:
    # -q is left out on purpose: with it this sgdisk writes nothing and still exits 0.
    run(
        [
            "sgdisk",
            "-a", "2048",
            "-n", f"{_BIOS_PARTITION}:2048:+{_BIOS_PARTITION_MIB}M", "-t", f"{_BIOS_PARTITION}:EF02",
            "-n", f"{_ESP_PARTITION}:0:+{layout.esp_mib}M", "-t", f"{_ESP_PARTITION}:EF00",
            "-n", f"{_ROOT_PARTITION}:0:0", "-t", f"{_ROOT_PARTITION}:8304",
            raw,
        ]
    )  # fmt: skip


def _extent(raw: Path, partition: int) -> tuple[int, int]:
    """First and last sector of a partition."""
    shown = run(["sgdisk", "-i", str(partition), raw]).decode()
    numbers = {
        word: int(rest.split()[0])
        for word, _, rest in (line.partition(": ") for line in shown.splitlines())
        if word in ("First sector", "Last sector")
    }
    if len(numbers) != 2:
        raise BuildError(f"sgdisk does not describe partition {partition} of {raw}")
    return numbers["First sector"], numbers["Last sector"]


def _write_root(root: Path, raw: Path, label: str) -> None:
    first, last = _extent(raw, _ROOT_PARTITION)
    # The file is new and sparse; told so, mke2fs leaves the guest no inode tables to clear at first boot.
    options = f"offset={first * SECTOR},root_owner=0:0,assume_storage_prezeroed=1"
    # GRUB of Debian 12 cannot read file systems with a checksum seed.
    features = "^metadata_csum_seed"
    kib = (last - first + 1) * SECTOR // 1024
    where: list[str | Path] = ["-d", root, "-E", options, "-O", features, raw, f"{kib}k"]
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", label, *where], deadline=600)


def _write_esp(raw: Path, layout: DiskLayout, loaders: Path, scratch: Path) -> None:
    first, _ = _extent(raw, _ESP_PARTITION)
    esp = scratch / "esp.img"
    esp.unlink(missing_ok=True)
    with esp.open("wb") as image:
        image.truncate(layout.esp_mib * MIB)
    run(["mkfs.vfat", "-n", "UEFI", esp])
    config = scratch / "esp-grub.cfg"
    config.write_text(
        f"search --no-floppy --label {layout.label} --set=root\n"
        "set prefix=($root)/boot/grub\n"
        "configfile ($root)/boot/grub/grub.cfg\n"
    )
    for directory in ("EFI", "EFI/BOOT", "EFI/debian"):
        run(["mmd", "-i", esp, f"::{directory}"])
    grub = loaders / "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
    for source, target in (
        (loaders / "usr/lib/shim/shimx64.efi.signed", "EFI/BOOT/BOOTX64.EFI"),
        (grub, "EFI/BOOT/grubx64.efi"),
        (config, "EFI/debian/grub.cfg"),
        (config, "EFI/BOOT/grub.cfg"),
    ):
        run(["mcopy", "-i", esp, source, f"::{target}"])
    _copy_into(esp, raw, first * SECTOR)
    esp.unlink()


def _copy_into(image: Path, raw: Path, offset: int) -> None:
    with image.open("rb") as source, raw.open("r+b") as disk:
        disk.seek(offset)
        while block := source.read(MIB):
            if block.strip(b"\0"):
                disk.write(block)
            else:
                disk.seek(len(block), 1)


def _write_bios_grub(raw: Path, label: str, loaders: Path, scratch: Path) -> None:
    early = scratch / "early.cfg"
    early.write_text(
        f"search.fs_label {label} root\nset prefix=($root)/boot/grub\nconfigfile ($root)/boot/grub/grub.cfg\n"
    )
    core_path = scratch / "core.img"
    platform = loaders / "usr/lib/grub/i386-pc"
    mkimage: list[str | Path] = [
        loaders / "usr/bin/grub-mkimage",
        "-d",
        platform,
        "-O",
        "i386-pc",
        "-o",
        core_path,
    ]
    run([*mkimage, "-p", "/boot/grub", "-c", early, *_CORE_MODULES])
    core = bytearray(core_path.read_bytes())
    sectors = (len(core) + SECTOR - 1) // SECTOR
    if sectors * SECTOR > _BIOS_PARTITION_MIB * MIB:
        raise BuildError(f"GRUB's core image has {len(core)} bytes and does not fit its partition")
    core = core.ljust(sectors * SECTOR, b"\0")
    start, _ = _extent(raw, _BIOS_PARTITION)
    struct.pack_into("<QHH", core, 0x1F4, start + 1, sectors - 1, 0x820)
    boot = bytearray((platform / "boot.img").read_bytes())
    struct.pack_into("<Q", boot, 0x5C, start)
    with raw.open("r+b") as disk:
        record = bytearray(disk.read(SECTOR))
        record[:440] = boot[:440]
        # Two NOPs over the jump that only floppy boots need, as grub-install does on hard disks.
        record[0x66:0x68] = b"\x90\x90"
        disk.seek(0)
        disk.write(record)
        disk.seek(start * SECTOR)
        disk.write(core)
