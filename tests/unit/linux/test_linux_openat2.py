"""Opening within a directory: what leads out of it is refused, or leads back into it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgevirt.linux.openat2 import open_beneath, open_in_root

pytestmark = pytest.mark.unit


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[int]:
    """A directory with links of every kind; a file `secret` lies beside it."""
    (tmp_path / "secret").write_text("outside")
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "a" / "file").write_text("inside")
    (root / "secret").write_text("root's own")
    (root / "near").symlink_to("a/file")
    (root / "up").symlink_to("../secret")
    (root / "absolute").symlink_to("/secret")
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def content(fd: int) -> str:
    with open(fd) as file:
        return file.read()


@pytest.mark.parametrize("links", [True, False])
def test_a_plain_path_is_opened(tree: int, links: bool) -> None:
    assert content(open_beneath(tree, "a/file", os.O_RDONLY, links=links)) == "inside"


def test_a_link_that_stays_beneath_is_followed_where_links_are_allowed(tree: int) -> None:
    assert content(open_beneath(tree, "near", os.O_RDONLY, links=True)) == "inside"
    with pytest.raises(OSError) as refused:
        open_beneath(tree, "near", os.O_RDONLY, links=False)
    assert refused.value.errno == errno.ELOOP


@pytest.mark.parametrize("path", ["up", "absolute", "../secret", "/secret", "a/../../secret"])
def test_nothing_beyond_the_directory_is_opened(tree: int, path: str) -> None:
    with pytest.raises(OSError) as refused:
        open_beneath(tree, path, os.O_RDONLY, links=True)
    assert refused.value.errno == errno.EXDEV


@pytest.mark.parametrize("path", ["up", "absolute", "../secret", "/secret"])
def test_in_a_root_every_way_out_leads_back_in(tree: int, path: str) -> None:
    assert content(open_in_root(tree, path, os.O_RDONLY)) == "root's own"


def test_magic_links_are_not_followed() -> None:
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    try:
        with pytest.raises(OSError) as refused:
            open_in_root(proc, "self/root/etc", os.O_PATH)
    finally:
        os.close(proc)
    assert refused.value.errno == errno.ELOOP


def test_a_missing_file_is_named(tree: int) -> None:
    with pytest.raises(FileNotFoundError, match="no/such"):
        open_beneath(tree, "no/such", os.O_RDONLY, links=True)


def test_descriptors_are_not_inherited(tree: int) -> None:
    fd = open_in_root(tree, "a", os.O_PATH)
    assert not os.get_inheritable(fd)
    os.close(fd)
