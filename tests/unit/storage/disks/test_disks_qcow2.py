"""Empty qcow2 files, read back by our own header parser and, where it is installed, by qemu-img."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from edgevirt.storage.disks import qcow2
from edgevirt.storage.disks.direct_io import supports_direct_io
from edgevirt.storage.disks.errors import DiskError
from edgevirt.storage.disks.header import ImageFormat, ImageHeader, read_header

pytestmark = pytest.mark.unit
needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")


def qemu_img(*arguments: str) -> str:
    return subprocess.run(
        ["qemu-img", *arguments], check=True, capture_output=True, text=True, timeout=20
    ).stdout


@pytest.mark.parametrize("size", [512, 1 << 20, (5 << 30) + 512, qcow2.LARGEST])
def test_blank_disk_has_the_size_asked_for(tmp_path: Path, size: int) -> None:
    qcow2.create(tmp_path / "d", size)
    assert read_header(tmp_path / "d") == ImageHeader(ImageFormat.QCOW2, size)


@needs_qemu_img
@pytest.mark.parametrize("size", [512, 5 << 30, qcow2.LARGEST])
def test_qemu_finds_no_fault_in_a_blank_disk(tmp_path: Path, size: int) -> None:
    qcow2.create(tmp_path / "d", size)
    assert "No errors" in qemu_img("check", "-f", "qcow2", str(tmp_path / "d"))


@needs_qemu_img
def test_overlay_shows_the_image_beneath_it_with_its_format(tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(b"guest" * 1024)
    qcow2.create(tmp_path / "o", 5120, qcow2.Backing(image, ImageFormat.RAW))
    info = json.loads(qemu_img("info", "--output=json", str(tmp_path / "o")))
    assert (info["backing-filename"], info["backing-filename-format"]) == (str(image), "raw")
    assert "identical" in qemu_img("compare", "-f", "qcow2", "-F", "raw", str(tmp_path / "o"), str(image))


def test_overlay_itself_is_refused_as_an_image(tmp_path: Path) -> None:
    qcow2.create(tmp_path / "o", 512, qcow2.Backing(tmp_path / "b", ImageFormat.RAW))
    with pytest.raises(DiskError, match="backing file"):
        read_header(tmp_path / "o")


def test_creating_again_replaces_the_file_and_leaves_no_draft(tmp_path: Path) -> None:
    qcow2.create(tmp_path / "d", 1024)
    qcow2.create(tmp_path / "d", 2048)
    assert read_header(tmp_path / "d").virtual_size == 2048
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("size", [0, -512, 1000, qcow2.LARGEST + 512])
def test_impossible_size_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(DiskError, match=str(size)):
        qcow2.create(tmp_path / "d", size)
    assert not list(tmp_path.iterdir())


def test_direct_io_is_tried_on_the_file_itself(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    assert isinstance(supports_direct_io(tmp_path / "f"), bool)
    assert not supports_direct_io(Path("/proc/self/status"))
    with pytest.raises(FileNotFoundError):
        supports_direct_io(tmp_path / "missing")
