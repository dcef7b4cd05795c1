"""Writes small ISO 9660 images with Joliet names, in memory.

A seed disk holds a handful of files of a few KiB; making it here takes a fraction of a millisecond, needs no
program on the host and gives the same bytes for the same input. Two trees point at the same data: the primary
one (upper case, which Linux shows in lower case) and Joliet's (names as given), so guests with and without
Joliet find `user-data`. No Rock Ridge: nothing here needs modes, owners or links. Layout: ECMA-119 and the
Joliet specification.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

SECTOR: Final = 2048
LARGEST: Final = 64 * 1024 * 1024
"""Most bytes of file content one image may carry."""
_FIRST_VOLUME_DESCRIPTOR: Final = 16
_LONGEST_NAME: Final = 64
_LONGEST_PRIMARY: Final = 30
_DATE: Final = bytes((70, 1, 1, 0, 0, 0, 0))  # 1970-01-01: equal input gives equal bytes
_LONG_DATE: Final = b"0" * 16 + b"\0"


class IsoError(ValueError):
    """The files cannot be put on an image; the message says which and why."""


@dataclass(slots=True)
class _Directory:
    name: str
    parent: _Directory | None
    directories: dict[str, _Directory] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    extent: int = 0
    size: int = 0


_Encode = Callable[[str, bool], bytes]


def build(volume_id: str, files: Mapping[str, bytes]) -> bytes:
    """The image with label `volume_id` and `files`, whose keys are relative paths such as "a/b.json".

    Raises `IsoError` for names no tree can hold, names that collide in upper case, or too much content.
    """
    if not volume_id or len(volume_id) > 16 or not volume_id.isascii():
        raise IsoError(f"volume label {volume_id!r} must have 1 to 16 ASCII characters")
    if sum(map(len, files.values())) > LARGEST:
        raise IsoError(f"the files have more than {LARGEST} bytes in all")
    trees: list[tuple[_Encode, list[_Directory]]] = [
        (_primary_name, _breadth_first(_tree(files))),
        (_joliet_name, _breadth_first(_tree(files))),
    ]
    sector = _FIRST_VOLUME_DESCRIPTOR + 3
    tables: list[tuple[int, int, int]] = []  # little-endian extent, big-endian extent, size
    for encode, directories in trees:
        size = len(_path_table(directories, encode, "<"))
        tables.append((sector, sector + _sectors(size), size))
        sector += 2 * _sectors(size)
    for encode, directories in trees:
        for directory in directories:
            directory.extent, directory.size = sector, _directory_size(directory, encode)
            sector += _sectors(directory.size)
    extents: dict[int, int] = {}
    contents: list[bytes] = []
    for data in files.values():
        extents[id(data)] = sector
        contents.append(_pad(data))
        sector += _sectors(len(data))
    image = [b"\0" * (_FIRST_VOLUME_DESCRIPTOR * SECTOR)]
    for kind, (_, directories), table in zip((1, 2), trees, tables, strict=True):
        image.append(_volume_descriptor(kind, volume_id, sector, directories[0], table))
    image.append(_pad(b"\xffCD001\x01"))
    for encode, directories in trees:
        image += [_pad(_path_table(directories, encode, order)) for order in "<>"]
    for encode, directories in trees:
        image += [_directory_data(directory, encode, extents) for directory in directories]
    return b"".join(image + contents)


def _tree(files: Mapping[str, bytes]) -> _Directory:
    root = _Directory("", None)
    for path, data in files.items():
        *above, name = path.split("/")
        directory = root
        for part in above:
            _check_name(part, path)
            if part in directory.files:
                raise IsoError(f"{path!r}: {part!r} is a file")
            directory = directory.directories.setdefault(part, _Directory(part, directory))
        _check_name(name, path)
        if name in directory.directories:
            raise IsoError(f"{path!r} is a directory")
        directory.files[name] = data
    _check_collisions(root)
    return root


def _check_name(name: str, path: str) -> None:
    if not name or name in (".", "..") or len(name) > _LONGEST_NAME or any(c in "*/:;?\\\0" for c in name):
        raise IsoError(
            f"{path!r} cannot be put on an ISO image: names have 1 to 64 characters without */:;?\\"
        )


def _check_collisions(directory: _Directory) -> None:
    seen: dict[bytes, str] = {}
    for name in (*directory.directories, *directory.files):
        other = seen.setdefault(_primary_name(name, name in directory.directories), name)
        if other != name:
            raise IsoError(f"{other!r} and {name!r} have the same name on an ISO image")
    for inner in directory.directories.values():
        _check_collisions(inner)


def _breadth_first(root: _Directory) -> list[_Directory]:
    found = [root]
    for directory in found:
        found += [directory.directories[name] for name in sorted(directory.directories)]
    return found


def _primary_name(name: str, is_directory: bool) -> bytes:
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-._") else "_" for c in name.upper())
    stem, dot, suffix = plain.rpartition(".")
    if not dot:
        stem, suffix = plain, ""
    stem = stem.replace(".", "_")
    if is_directory:
        return plain.replace(".", "_")[:_LONGEST_PRIMARY].encode()
    suffix = suffix[: _LONGEST_PRIMARY - 1]
    return f"{stem[: _LONGEST_PRIMARY - 1 - len(suffix)]}.{suffix};1".encode()


def _joliet_name(name: str, is_directory: bool) -> bytes:
    return (name if is_directory else f"{name};1").encode("utf-16-be")


def _both(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)


def _both16(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def _record(name: bytes, extent: int, size: int, is_directory: bool) -> bytes:
    length = 33 + len(name) + (len(name) + 1) % 2
    body = struct.pack("BB", length, 0) + _both(extent) + _both(size) + _DATE
    body += (
        struct.pack("BBB", 2 if is_directory else 0, 0, 0) + _both16(1) + struct.pack("B", len(name)) + name
    )
    return body.ljust(length, b"\0")


def _records(directory: _Directory, encode: _Encode, extents: Mapping[int, int]) -> list[bytes]:
    parent = directory.parent or directory
    children = []
    for name, inner in directory.directories.items():
        children.append((encode(name, True), inner.extent, inner.size, True))
    for name, data in directory.files.items():
        children.append((encode(name, False), extents.get(id(data), 0), len(data), False))
    return [
        _record(b"\0", directory.extent, directory.size, True),
        _record(b"\1", parent.extent, parent.size, True),
        *(_record(*child) for child in sorted(children)),
    ]


def _directory_data(directory: _Directory, encode: _Encode, extents: Mapping[int, int]) -> bytes:
    data = b""
    for record in _records(directory, encode, extents):
        if len(data) % SECTOR + len(record) > SECTOR:  # a record never crosses a sector boundary
            data = _pad(data)
        data += record
    return _pad(data)


def _directory_size(directory: _Directory, encode: _Encode) -> int:
    return len(_directory_data(directory, encode, {}))


def _path_table(directories: list[_Directory], encode: _Encode, order: str) -> bytes:
    numbers = {id(directory): number for number, directory in enumerate(directories, 1)}
    table = b""
    for directory in directories:
        name = encode(directory.name, True) if directory.parent else b"\0"
        parent = numbers[id(directory.parent or directory)]
        table += struct.pack(f"{order}BBIH", len(name), 0, directory.extent, parent) + name
        table += b"\0" * (len(name) % 2)
    return table


def _volume_descriptor(
    kind: int, volume_id: str, sectors: int, root: _Directory, table: tuple[int, int, int]
) -> bytes:
    joliet = kind == 2

    def blanks(length: int) -> bytes:
        return (b"\0 " * length)[:length] if joliet else b" " * length

    little, big, table_size = table
    label = volume_id.encode("utf-16-be") if joliet else volume_id.encode()
    escape = b"%/E" if joliet else b""
    return _pad(
        struct.pack("B5sBB", kind, b"CD001", 1, 0)
        + blanks(32)
        + (label + blanks(32))[:32]
        + b"\0" * 8
        + _both(sectors)
        + escape.ljust(32, b"\0")
        + _both16(1)
        + _both16(1)
        + _both16(SECTOR)
        + _both(table_size)
        + struct.pack("<II", little, 0)
        + struct.pack(">II", big, 0)
        + _record(b"\0", root.extent, root.size, True)
        + blanks(128) * 4
        + blanks(37) * 3
        + _LONG_DATE * 4
        + struct.pack("BB", 1, 0)
    )


def _sectors(size: int) -> int:
    return -(-size // SECTOR)


def _pad(data: bytes) -> bytes:
    return data.ljust(_sectors(len(data)) * SECTOR, b"\0")
