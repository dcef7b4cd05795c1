"""Guest images built on the spot from Debian's packages, without loop mounts.

`tiny` is a busybox system of about 25 MB that is ready in seconds; `debian` is Debian 12 with cloud-init
and the QEMU guest agent. Both are qcow2 disks that boot by BIOS and by UEFI. The packages come from the
machine's own apt sources and are unpacked, never installed.
"""

from __future__ import annotations

from edgevirt.storage.guests.build import GUESTS, GuestImage, build, built

__all__ = ["GUESTS", "GuestImage", "build", "built"]
