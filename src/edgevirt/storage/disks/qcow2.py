"""Writes empty qcow2 files: blank disks and overlays over a read-only image.

An empty version 3 image is a header cluster, a refcount table, one refcount block and an L1 table of zeroes;
everything else is allocated by QEMU on the first write. The result is what `qemu-img create` makes with its
defaults (64 KiB clusters, 16 bit refcounts), which the tests check with `qemu-img check` and `info`.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgevirt.storage.disks.errors import DiskError
from edgevirt.storage.disks.header import QCOW2_MAGIC, SECTOR, ImageFormat

_CLUSTER_BITS: Final = 16
_CLUSTER: Final = 1 << _CLUSTER_BITS
_BYTES_PER_L1_ENTRY: Final = _CLUSTER * (_CLUSTER // 8)
_REFCOUNT_ORDER: Final = 4  # 2^4 bits
_HEADER_LENGTH: Final = 112
_EXTENSION_BACKING_FORMAT: Final = 0xE2792ACA
LARGEST: Final = 16 << 40
"""Largest virtual size in bytes: what one refcount block's worth of tables is tested for."""


@dataclass(frozen=True, slots=True)
class Backing:
    """The image beneath an overlay: absolute path and explicit format."""

    path: Path
    format: ImageFormat


def create(path: Path, virtual_size: int, backing: Backing | None = None) -> None:
    """Write an empty qcow2 of `virtual_size` bytes, replacing what is there. Mode 0600.

    The file appears under its name only when it is complete. It is not synced: it holds no data yet.
    Raises `DiskError` for an impossible size or path, `OSError` if it cannot be written.
    """
    content, length = layout(virtual_size, backing)
    draft = path.with_name(f".{path.name}.new")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for offset, data in content:
            os.pwrite(fd, data, offset)
        os.ftruncate(fd, length)
    finally:
        os.close(fd)
    draft.rename(path)


def layout(virtual_size: int, backing: Backing | None) -> tuple[tuple[tuple[int, bytes], ...], int]:
    """What to write where, and the length of the file. Pure."""
    if virtual_size <= 0 or virtual_size % SECTOR:
        raise DiskError(f"a disk of {virtual_size} bytes is impossible: it must be a multiple of {SECTOR}")
    if virtual_size > LARGEST:
        raise DiskError(f"a disk of {virtual_size} bytes is too large; the limit is {LARGEST}")
    l1_entries = -(-virtual_size // _BYTES_PER_L1_ENTRY)
    l1_clusters = -(-l1_entries * 8 // _CLUSTER)
    refcount_table, refcount_block, l1_table = _CLUSTER, 2 * _CLUSTER, 3 * _CLUSTER
    used = 3 + l1_clusters
    name = os.fsencode(backing.path) if backing else b""
    if len(name) > 1023:
        raise DiskError(f"the path of the backing image has {len(name)} bytes; qcow2 allows 1023")
    extensions = _extension(_EXTENSION_BACKING_FORMAT, backing.format.value.encode()) if backing else b""
    extensions += struct.pack(">II", 0, 0)
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        QCOW2_MAGIC,
        3,
        _HEADER_LENGTH + len(extensions) if backing else 0,
        len(name),
        _CLUSTER_BITS,
        virtual_size,
        0,  # no encryption
        l1_entries,
        l1_table,
        refcount_table,
        1,  # clusters of the refcount table
        0,  # snapshots
        0,
        0,  # incompatible, compatible and autoclear features
        0,
        0,
        _REFCOUNT_ORDER,
        _HEADER_LENGTH,
    )
    head = header.ljust(_HEADER_LENGTH, b"\0") + extensions + name
    refcounts = struct.pack(">H", 1) * used
    return (
        (0, head),
        (refcount_table, struct.pack(">Q", refcount_block)),
        (refcount_block, refcounts),
    ), used * _CLUSTER


def _extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">II", kind, len(data)) + data.ljust(-(-len(data) // 8) * 8, b"\0")
