"""Layers are hostile: nothing they hold reaches outside the tree."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from edgevirt.storage.images.errors import BrokenImage
from edgevirt.storage.images.layers import TreeWriter

pytestmark = pytest.mark.unit

Entry = tuple[str, str, str]


def layer(path: Path, *entries: Entry, compress: bool = True) -> str:
    """Write a layer of (kind, name, content or target); returns its digest."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for kind, name, value in entries:
            info = tarfile.TarInfo(name)
            info.uid, info.gid = os.getuid(), os.getgid()
            types = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}
            types |= {"hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE}
            info.type = types[kind]
            info.mode = 0o755 if kind == "dir" else 0o640
            if kind in ("link", "hard"):
                info.linkname = value
            data = value.encode() if kind == "file" else b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    data = gzip.compress(buffer.getvalue()) if compress else buffer.getvalue()
    path.write_bytes(data)
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    return tree


def apply(tree: Path, *layers: tuple[Entry, ...], limit: int = 1 << 20) -> TreeWriter:
    writer = TreeWriter(tree, limit)
    try:
        for number, entries in enumerate(layers):
            blob = tree.parent / f"layer{number}"
            writer.apply(blob, layer(blob, *entries))
    finally:
        writer.close()
    return writer


def test_files_links_and_directories_are_made(tree: Path) -> None:
    entries = (
        ("dir", "etc", ""),
        ("file", "etc/a", "text"),
        ("link", "b", "etc/a"),
        ("hard", "c", "etc/a"),
        ("file", "deep/er/d", "x"),
    )
    assert apply(tree, entries).size == 5
    assert (tree / "b").read_text() == (tree / "c").read_text() == "text"
    assert (tree / "etc" / "a").stat().st_mode & 0o777 == 0o640
    assert (tree / "deep" / "er" / "d").exists()


def test_whiteouts_remove_what_lower_layers_have(tree: Path) -> None:
    low = (("file", "gone", "1"), ("file", "dir/old", "2"), ("file", "stays", "3"))
    high = (("file", ".wh.gone", ""), ("file", "dir/new", "4"), ("file", "dir/.wh..wh..opq", ""))
    apply(tree, low, high)
    assert not (tree / "gone").exists()
    assert sorted(os.listdir(tree / "dir")) == ["new"]
    assert (tree / "stays").read_text() == "3"


def test_absolute_link_is_followed_inside_the_tree(tree: Path) -> None:
    apply(tree, (("dir", "usr/bin", ""), ("link", "bin", "/usr/bin")), (("file", "bin/tool", "t"),))
    assert (tree / "usr" / "bin" / "tool").read_text() == "t"


def test_link_to_the_outside_is_not_written_through(tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    with pytest.raises(BrokenImage):
        apply(
            tree,
            (
                ("link", "out", f"../../..{outside}"),
                ("link", "f", str(outside / "f")),
                ("file", "out/x", "x"),
            ),
        )
    apply(tree, (("link", "f", str(outside / "f")),), (("file", "f", "mine"),))
    assert list(outside.iterdir()) == []
    assert (tree / "f").read_text() == "mine"


@pytest.mark.parametrize(
    "entry", [("file", "../x", "x"), ("file", "a/../../x", "x"), ("hard", "x", "../../etc/passwd")]
)
def test_entry_that_leaves_the_image_is_refused(tree: Path, entry: Entry) -> None:
    with pytest.raises(BrokenImage, match=r"outside|leaves"):
        apply(tree, (entry,))


def test_device_nodes_are_left_out(tree: Path) -> None:
    apply(tree, (("device", "null", ""), ("file", "a", "a")))
    assert os.listdir(tree) == ["a"]


def test_damaged_layer_is_refused_by_its_digest(tree: Path, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    layer(blob, ("file", "a", "a"))
    writer = TreeWriter(tree, 1 << 20)
    with pytest.raises(BrokenImage, match="another digest"):
        writer.apply(blob, "sha256:" + "0" * 64)
    writer.close()


def test_image_that_unpacks_to_too_much_is_refused(tree: Path) -> None:
    with pytest.raises(BrokenImage, match="unpacks to more"):
        apply(tree, (("file", "a", "x" * 2000),), limit=1000)


def test_truncated_layer_is_refused(tree: Path, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    digest = layer(blob, ("file", "a", "a" * 100_000))
    blob.write_bytes(blob.read_bytes()[:-40])
    writer = TreeWriter(tree, 1 << 20)
    with pytest.raises(BrokenImage):
        writer.apply(blob, digest)
    writer.close()
