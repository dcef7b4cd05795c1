"""Tap devices and the one ethtool switch a pod's bridge needs, by ioctl.

Netlink can't create a tap, and pyroute2 would do it in the wrong namespace. Every function works in the
calling thread's network namespace and is idempotent.
"""

from __future__ import annotations

import array
import fcntl
import os
import socket
import struct

_TUNSETIFF = 0x400454CA
_TUNSETPERSIST = 0x400454CB
_TUNSETOWNER = 0x400454CC
_TUNSETGROUP = 0x400454CE
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
_IFF_MULTI_QUEUE = 0x0100
_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x00000017
_NAME_SIZE = 16


def make_tap(name: str, *, uid: int, gid: int, multi_queue: bool) -> None:
    """Make persistent tap `name`, which user `uid` and group `gid` may open; an existing one gets the owner.

    Raises OSError, for instance EBUSY while QEMU has a single-queue tap open.
    """
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR | (_IFF_MULTI_QUEUE if multi_queue else 0)
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", _encoded(name), flags))
        fcntl.ioctl(fd, _TUNSETOWNER, uid)
        fcntl.ioctl(fd, _TUNSETGROUP, gid)
        fcntl.ioctl(fd, _TUNSETPERSIST, 1)
    finally:
        os.close(fd)


def checksum_in_software(name: str) -> None:
    """Turn transmit checksum offload of link `name` off."""
    value = array.array("B", struct.pack("II", _ETHTOOL_STXCSUM, 0))
    address, _ = value.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP16x", _encoded(name), address))


def _encoded(name: str) -> bytes:
    raw = name.encode()
    if not 0 < len(raw) < _NAME_SIZE:
        raise ValueError(f"link name {name!r} must have 1 to {_NAME_SIZE - 1} bytes")
    return raw
