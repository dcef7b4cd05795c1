"""Finding the image inside a container disk that may be hostile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgevirt.storage.disks.errors import DiskError
from edgevirt.storage.disks.locate import find_image

pytestmark = pytest.mark.unit


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    (tmp_path / "image" / "disk").mkdir(parents=True)
    return tmp_path / "image"


def test_the_only_file_in_disk_is_the_image(mount: Path) -> None:
    (mount / "disk" / "cirros.qcow2").write_text("x")
    (mount / "disk" / "directory").mkdir()
    assert find_image(mount) == mount / "disk" / "cirros.qcow2"


def test_given_path_is_taken_as_written_in_the_image(mount: Path) -> None:
    (mount / "boot").mkdir()
    (mount / "boot" / "a.img").write_text("x")
    assert find_image(mount, "/boot/a.img") == mount / "boot" / "a.img"


def test_several_files_are_named_and_a_path_asked_for(mount: Path) -> None:
    for name in "ab":
        (mount / "disk" / name).write_text("x")
    with pytest.raises(DiskError, match=r"2 files in /disk \('a', 'b'\).*containerDisk.path"):
        find_image(mount)


@pytest.mark.parametrize("path", ["disk/x", "/../x", "/disk/./x", "/"])
def test_path_that_is_not_plainly_absolute_is_refused(mount: Path, path: str) -> None:
    with pytest.raises(DiskError, match="must be absolute"):
        find_image(mount, path)


def test_links_are_never_followed(mount: Path, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "secret").write_text("x")
    (mount / "disk" / "link").symlink_to(tmp_path / "host" / "secret")
    (mount / "out").symlink_to(tmp_path / "host")
    for path in ("", "/disk/link", "/out/secret"):
        with pytest.raises(DiskError):
            find_image(mount, path)


def test_disk_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "x").write_text("x")
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "disk").symlink_to(tmp_path / "host")
    with pytest.raises(DiskError, match="no usable /disk"):
        find_image(tmp_path / "image")


def test_fifo_is_not_an_image_and_does_not_block(mount: Path) -> None:
    os.mkfifo(mount / "disk" / "pipe")
    with pytest.raises(DiskError, match="not a regular file"):
        find_image(mount, "/disk/pipe")
    with pytest.raises(DiskError, match="no regular file"):
        find_image(mount)
