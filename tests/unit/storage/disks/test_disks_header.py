"""What is read from an image's header, and what is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from edgevirt.storage.disks.errors import DiskError
from edgevirt.storage.disks.header import ImageFormat, parse_header, read_header

pytestmark = pytest.mark.unit


def qcow2_header(
    *,
    version: int = 3,
    backing: int = 0,
    cluster_bits: int = 16,
    size: int = 1 << 30,
    crypt: int = 0,
    incompatible: int = 0,
) -> bytes:
    head = struct.pack(">4sIQIIQI", b"QFI\xfb", version, backing, 0, cluster_bits, size, crypt)
    return head.ljust(72, b"\0") + struct.pack(">Q", incompatible) + b"\0" * 32


def test_qcow2_tells_its_virtual_size() -> None:
    header = parse_header(qcow2_header(size=5 << 30), 1000, "x")
    assert (header.format, header.virtual_size) == (ImageFormat.QCOW2, 5 << 30)


def test_raw_image_is_rounded_up_to_whole_sectors() -> None:
    header = parse_header(b"\x33\xc0" + b"\0" * 110, 1000, "x")
    assert (header.format, header.virtual_size) == (ImageFormat.RAW, 1024)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (qcow2_header(backing=512), "backing file"),
        (qcow2_header(incompatible=4), "another file"),
        (qcow2_header(incompatible=2), "corrupt"),
        (qcow2_header(crypt=2), "encrypted"),
        (qcow2_header(version=7), "version 7"),
        (qcow2_header(cluster_bits=40), "cluster size"),
        (qcow2_header(size=0), "virtual size 0"),
        (qcow2_header()[:40], "truncated"),
        (qcow2_header()[:80], "truncated"),
        (b"KDMV" + b"\0" * 108, "VMDK"),
        (b"vhdxfile" + b"\0" * 104, "VHDX"),
        (b"\xfd7zXZ\0" + b"\0" * 106, "xz"),
    ],
)
def test_image_that_cannot_be_a_guest_disk_is_refused_saying_why(head: bytes, words: str) -> None:
    with pytest.raises(DiskError, match=words):
        parse_header(head, 4096, "image")


def test_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x" * 512)
    (tmp_path / "disk.img").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic"):
        read_header(tmp_path / "disk.img")


def test_directory_and_empty_file_are_no_images(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="not a regular file"):
        read_header(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(DiskError, match="is empty"):
        read_header(tmp_path / "empty")
