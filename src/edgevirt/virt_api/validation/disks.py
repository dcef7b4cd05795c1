"""Rules about the guest's disks and their volumes' names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from edgevirt.api.meta import StatusCause
from edgevirt.virt_api.causes import duplicate, invalid, not_supported
from edgevirt.virt_api.json_values import JsonObject, items

BUSES: Final = ("virtio", "sata", "scsi", "usb")
CDROM_BUSES: Final = ("sata", "scsi", "usb")
CACHES: Final = ("none", "writethrough", "writeback")
_SERIAL: Final = re.compile(r"[A-Za-z0-9_.+-]{1,256}")
_TARGETS: Final = ("disk", "cdrom", "lun")


def check(spec: JsonObject, path: str) -> Iterator[StatusCause]:
    """What is wrong with `domain.devices.disks`, and with boot orders there and of interfaces."""
    disks = items(spec, "domain", "devices", "disks")
    volumes = {each.get("name") for each in items(spec, "volumes")}
    seen: set[object] = set()
    for index, disk in enumerate(disks):
        here = f"{path}.domain.devices.disks[{index}]"
        name = disk.get("name")
        if name in seen:
            yield duplicate(f"{here}.name", f'{here}.name: there is already a disk named "{name}"')
        seen.add(name)
        if name not in volumes:
            yield invalid(f"{here}.name", f'{here}.name: there is no volume named "{name}" in {path}.volumes')
        yield from _disk(disk, here)
    yield from _boot_order(spec, path)


def _disk(disk: JsonObject, path: str) -> Iterator[StatusCause]:
    targets = [target for target in _TARGETS if disk.get(target) is not None]
    if len(targets) > 1:
        yield invalid(path, f"{path}: choose one of {' and '.join(targets)}")
    for target in targets:
        body = disk[target]
        bus = body.get("bus")
        here = f"{path}.{target}.bus"
        if bus and bus not in BUSES:
            yield invalid(here, f'{here}: "{bus}" is not a bus; use {", ".join(BUSES)}')
        elif target == "cdrom" and bus and bus not in CDROM_BUSES:
            yield invalid(here, f"{here}: an optical drive cannot be on {bus}; use {', '.join(CDROM_BUSES)}")
        elif target == "disk" and bus == "sata" and body.get("readonly"):
            yield invalid(here, f"{here}: a read-only disk cannot be on sata; use virtio, scsi or a cdrom")
    cache = disk.get("cache")
    if cache and cache not in CACHES:
        yield not_supported(f"{path}.cache", f'{path}.cache: "{cache}" is not one of {", ".join(CACHES)}')
    serial = disk.get("serial")
    if serial and not _SERIAL.fullmatch(serial):
        yield invalid(
            f"{path}.serial", f"{path}.serial may have at most 256 characters, of A-Z a-z 0-9 _ . + and -"
        )


def _boot_order(spec: JsonObject, path: str) -> Iterator[StatusCause]:
    places = [
        (f"{path}.domain.devices.{kind}[{index}].bootOrder", each["bootOrder"])
        for kind in ("disks", "interfaces")
        for index, each in enumerate(items(spec, "domain", "devices", kind))
        if each.get("bootOrder") is not None
    ]
    counts = Counter(order for _, order in places)
    earlier: set[int] = set()
    for here, order in places:
        if order < 1:
            yield invalid(here, f"{here} must be at least 1, not {order}")
        elif counts[order] > 1 and order in earlier:
            yield invalid(here, f"{here}: {order} is used by another device already")
        earlier.add(order)
