"""ISO images, read back by an independent little reader of both trees."""

from __future__ import annotations

import struct

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgevirt.storage.cloudinit import iso9660

pytestmark = pytest.mark.unit
SECTOR = 2048


def read(image: bytes, kind: int) -> dict[str, bytes]:
    """Path -> content of the primary (1) or Joliet (2) tree."""
    descriptor = image[(15 + kind) * SECTOR : (16 + kind) * SECTOR]
    assert descriptor[:6] == bytes((kind,)) + b"CD001"
    return dict(walk(image, descriptor[156:190], "", kind))


def walk(image: bytes, record: bytes, path: str, kind: int) -> list[tuple[str, bytes]]:
    extent, size = struct.unpack_from("<I", record, 2)[0], struct.unpack_from("<I", record, 10)[0]
    assert struct.unpack_from(">I", record, 6)[0] == extent
    data = image[extent * SECTOR : extent * SECTOR + size]
    if not record[25] & 2:
        return [(path, data)]
    found: list[tuple[str, bytes]] = []
    offset = 0
    while offset < len(data):
        length = data[offset]
        if length == 0:
            offset = (offset // SECTOR + 1) * SECTOR
            continue
        inner = data[offset : offset + length]
        name = inner[33 : 33 + inner[32]]
        offset += length
        if name in (b"\0", b"\1"):
            continue
        text = name.decode("utf-16-be" if kind == 2 else "ascii").removesuffix(";1")
        found += walk(image, inner, f"{path}/{text}" if path else text, kind)
    return found


def test_joliet_tree_has_the_names_as_given() -> None:
    files = {"user-data": b"#cloud-config\n", "meta-data": b"{}", "empty": b""}
    assert read(iso9660.build("cidata", files), 2) == files


def test_primary_tree_has_names_linux_shows_in_lower_case() -> None:
    names = read(iso9660.build("cidata", {"user-data": b"x", "a/b_c.json": b"y"}), 1)
    assert names == {"USER-DATA.": b"x", "A/B_C.JSON": b"y"}


def test_label_is_in_both_descriptors() -> None:
    image = iso9660.build("config-2", {"a": b"1"})
    assert image[16 * SECTOR + 40 :].startswith(b"config-2 ")
    assert image[17 * SECTOR + 40 :].startswith("config-2".encode("utf-16-be"))
    assert image[17 * SECTOR + 88 :].startswith(b"%/E")


def test_directories_larger_than_a_sector_are_complete() -> None:
    files = {f"file-{number:03d}.json": b"%d" % number for number in range(150)}
    image = iso9660.build("x", files)
    assert read(image, 2) == files
    assert len(read(image, 1)) == 150


def test_same_files_give_the_same_bytes() -> None:
    files = {"a": b"1", "b/c": b"2"}
    assert iso9660.build("x", files) == iso9660.build("x", dict(files))
    assert len(iso9660.build("x", files)) % SECTOR == 0


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a:b": b""}, "cannot be put"),
        ({"x" * 65: b""}, "cannot be put"),
        ({"../a": b""}, "cannot be put"),
        ({"a//b": b""}, "cannot be put"),
        ({"ab": b"", "AB": b""}, "same name"),
        ({"a": b"", "a/b": b""}, "is a file"),
        ({"a/b": b"", "a": b""}, "is a directory"),
    ],
)
def test_names_no_tree_can_hold_are_refused(files: dict[str, bytes], words: str) -> None:
    with pytest.raises(iso9660.IsoError, match=words):
        iso9660.build("x", files)


def test_label_and_size_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(iso9660.IsoError, match="label"):
        iso9660.build("a-label-too-long-", {})
    monkeypatch.setattr(iso9660, "LARGEST", 10)
    with pytest.raises(iso9660.IsoError, match="more than 10 bytes"):
        iso9660.build("x", {"a": b"12345678901"})


_names = st.text("abcdefghij0123456789-_.", min_size=1, max_size=25).filter(lambda n: n.strip("."))


def _distinct(files: dict[str, bytes]) -> bool:
    """Whether the names differ in the old part of the image too, which knows neither '-' nor a last '.'."""
    return len({name.replace("-", "_").replace(".", "_").strip("_") for name in files}) == len(files)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(_names, st.binary(max_size=5000), max_size=20).filter(_distinct))
def test_whatever_is_put_on_is_found_again(files: dict[str, bytes]) -> None:
    upper = {name.upper().replace(".", "_", name.count(".") - 1) for name in files}
    assume(len(upper) == len(files))  # the primary tree has upper case and one dot only
    assert read(iso9660.build("x", files), 2) == files
