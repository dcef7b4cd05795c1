"""Reads what a disk image says about itself: its format and the size the guest will see.

Only qcow2 and raw are taken. A qcow2 image that names another file (backing file, external data file) is
refused: that name would be opened with the launcher's rights. Formats that are recognisably neither are
refused as well, because handed to a guest as raw they would be a disk full of noise. The layout of the
qcow2 header is the one in QEMU's interoperability documentation, versions 2 and 3.
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from edgevirt.storage.disks.errors import DiskError

SECTOR: Final = 512
QCOW2_MAGIC: Final = b"QFI\xfb"
_FOREIGN: Final = {
    b"KDMV": "a VMDK image",
    b"# Di": "a VMDK descriptor",
    b"COWD": "a VMDK image",
    b"vhdx": "a VHDX image",
    b"cone": "a VHD image",
    b"<<< ": "a VDI image",
    b"\x1f\x8b\x08\x00": "a gzip archive",
    b"\xfd7zX": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
}
_INCOMPATIBLE_CORRUPT: Final = 1 << 1
_INCOMPATIBLE_EXTERNAL_DATA: Final = 1 << 2


class ImageFormat(StrEnum):
    """The formats a guest disk may have, in QEMU's spelling."""

    QCOW2 = "qcow2"
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """`virtual_size` is the number of bytes the guest sees, a multiple of 512."""

    format: ImageFormat
    virtual_size: int


def read_header(path: Path) -> ImageHeader:
    """Examine the regular file `path`; the last component may not be a symbolic link.

    Raises `DiskError` if it is no regular file, empty, damaged, encrypted, refers to other files or has a
    format other than qcow2 and raw; `OSError` if it cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise DiskError(f"{path} is not a regular file")
        if status.st_size == 0:
            raise DiskError(f"{path} is empty")
        return parse_header(os.pread(fd, 112, 0), status.st_size, str(path))
    finally:
        os.close(fd)


def parse_header(head: bytes, file_size: int, name: str) -> ImageHeader:
    """The pure part of `read_header`: `head` is the start of the file, at least 112 bytes if it has them."""
    if head[:4] == QCOW2_MAGIC:
        return ImageHeader(ImageFormat.QCOW2, _qcow2_size(head, name))
    foreign = _FOREIGN.get(head[:4])
    if foreign:
        raise DiskError(f"{name} is {foreign}; a disk must be qcow2 or raw: convert it with qemu-img convert")
    return ImageHeader(ImageFormat.RAW, -(-file_size // SECTOR) * SECTOR)


def _qcow2_size(head: bytes, name: str) -> int:
    if len(head) < 72:
        raise DiskError(f"{name} is a truncated qcow2 image")
    version, backing, _, cluster_bits, size, encryption = struct.unpack_from(">IQIIQI", head, 4)
    if version not in (2, 3):
        raise DiskError(f"{name} has qcow2 version {version}; only 2 and 3 are known")
    if not 9 <= cluster_bits <= 21:
        raise DiskError(f"{name} is a damaged qcow2 image: cluster size 2^{cluster_bits}")
    if backing:
        raise DiskError(f"{name} needs a backing file; flatten it first: qemu-img convert -O qcow2")
    if encryption:
        raise DiskError(f"{name} is encrypted; encrypted disks are not supported")
    if version == 3:
        if len(head) < 104:
            raise DiskError(f"{name} is a truncated qcow2 image")
        (incompatible,) = struct.unpack_from(">Q", head, 72)
        if incompatible & _INCOMPATIBLE_CORRUPT:
            raise DiskError(f"{name} is marked corrupt; repair it with qemu-img check -r all")
        if incompatible & _INCOMPATIBLE_EXTERNAL_DATA:
            raise DiskError(
                f"{name} keeps its data in another file; convert it first: qemu-img convert -O qcow2"
            )
    if size == 0 or size > 1 << 62:
        raise DiskError(f"{name} is a damaged qcow2 image: virtual size {size}")
    return int(-(-size // SECTOR) * SECTOR)
