"""What this release implements of the KubeVirt API: the one table that admission and documentation read.

A field that is in the schema but not in the table is refused on admission, naming it, so nothing is ever
accepted and then ignored. To support a field, implement it and add its line here; `docs/compatibility.md`
is generated from this table by `python -m edgevirt.api.compatibility`.

A path is written with wire names, `[]` after lists; it covers everything below it. `values` limits a field
to some of its values, usually to what it means anyway when it is absent.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from edgevirt.api.kubevirt.strategies import EvictionStrategy, RunStrategy


@dataclasses.dataclass(frozen=True, slots=True)
class Supported:
    """One line of the table."""

    path: str
    values: tuple[str | bool, ...] = ()
    """The only values that are supported; () for all the field may have."""
    deep: bool = True
    """Whether what is below the path is supported as well."""
    note: str = ""
    """For readers of the documentation."""


@dataclasses.dataclass(frozen=True, slots=True)
class Unsupported:
    """A place in an object that this release does not implement."""

    path: str
    """Full path with list indices, e.g. spec.domain.devices.disks[0].lun."""
    message: str
    """What is not supported, and what is."""


_OFF: Final = (False,)

INSTANCE: Final = (
    Supported("architecture", values=("amd64",)),
    Supported("domain.clock.timezone"),
    Supported("domain.clock.utc.offsetSeconds"),
    Supported("domain.cpu.cores"),
    Supported("domain.cpu.dedicatedCpuPlacement", values=_OFF),
    Supported("domain.cpu.isolateEmulatorThread", values=_OFF),
    Supported("domain.cpu.model"),
    Supported("domain.cpu.sockets"),
    Supported("domain.cpu.threads"),
    Supported("domain.devices.autoattachGraphicsDevice"),
    Supported("domain.devices.autoattachInputDevice", values=_OFF),
    Supported("domain.devices.autoattachMemBalloon"),
    Supported("domain.devices.autoattachPodInterface"),
    Supported("domain.devices.autoattachSerialConsole"),
    Supported("domain.devices.autoattachVSOCK", values=_OFF),
    Supported("domain.devices.blockMultiQueue", values=_OFF),
    Supported("domain.devices.disks[].bootOrder"),
    Supported("domain.devices.disks[].cache"),
    Supported("domain.devices.disks[].cdrom.bus"),
    Supported("domain.devices.disks[].cdrom.readonly", values=(True,)),
    Supported("domain.devices.disks[].cdrom.tray", values=("closed",)),
    Supported("domain.devices.disks[].disk.bus"),
    Supported("domain.devices.disks[].disk.readonly"),
    Supported("domain.devices.disks[].name"),
    Supported("domain.devices.disks[].serial"),
    Supported("domain.devices.disks[].shareable", values=_OFF),
    Supported("domain.devices.interfaces[].bridge", deep=False),
    Supported("domain.devices.interfaces[].macAddress"),
    Supported("domain.devices.interfaces[].model", values=("virtio", "e1000", "e1000e", "rtl8139")),
    Supported("domain.devices.interfaces[].name"),
    Supported("domain.devices.logSerialConsole", values=_OFF),
    Supported("domain.devices.networkInterfaceMultiqueue", values=_OFF),
    Supported("domain.devices.rng"),
    Supported("domain.devices.useVirtioTransitional", values=_OFF),
    Supported("domain.features.acpi.enabled"),
    Supported("domain.firmware.bootloader.bios.useSerial", values=_OFF),
    Supported("domain.firmware.bootloader.efi.persistent", values=_OFF),
    Supported(
        "domain.firmware.bootloader.efi.secureBoot",
        values=_OFF,
        note="must be given, because absent means true",
    ),
    Supported("domain.firmware.serial"),
    Supported("domain.firmware.uuid"),
    Supported("domain.machine.type"),
    Supported("domain.memory.guest"),
    Supported("domain.resources.limits.cpu"),
    Supported("domain.resources.limits.memory"),
    Supported("domain.resources.overcommitGuestOverhead", values=_OFF),
    Supported("domain.resources.requests.cpu"),
    Supported("domain.resources.requests.memory"),
    Supported("evictionStrategy", values=(EvictionStrategy.NONE.value,)),
    Supported("hostname"),
    Supported("networks[].name"),
    Supported("networks[].pod", deep=False, note="the guest has the pod's own address"),
    Supported("nodeSelector"),
    Supported("schedulerName", values=("default-scheduler",)),
    Supported("terminationGracePeriodSeconds"),
    Supported("tolerations"),
    Supported("volumes[].cloudInitNoCloud"),
    Supported("volumes[].containerDisk"),
    Supported("volumes[].emptyDisk"),
    Supported("volumes[].name"),
)
"""Paths below `spec` of a VirtualMachineInstance."""

MACHINE: Final = (
    Supported("running"),
    Supported(
        "runStrategy",
        values=(
            RunStrategy.ALWAYS.value,
            RunStrategy.HALTED.value,
            RunStrategy.MANUAL.value,
            RunStrategy.RERUN_ON_FAILURE.value,
            RunStrategy.ONCE.value,
        ),
    ),
    Supported("template.metadata"),
    *(dataclasses.replace(line, path=f"template.spec.{line.path}") for line in INSTANCE),
    Supported("updateVolumesStrategy", values=("Replacement",)),
)
"""Paths below `spec` of a VirtualMachine."""

CONFIGURATION: Final = (
    Supported(
        "configuration.developerConfiguration.featureGates",
        note="kept, but no gate changes anything yet",
    ),
    Supported("configuration.developerConfiguration.useEmulation"),
)
"""Paths below `spec` of a KubeVirt."""


def unsupported(spec: Mapping[str, Any], prefix: str = "spec") -> list[Unsupported]:
    """What the spec of a VirtualMachineInstance asks for that is not implemented, in document order."""
    return list(_walk(spec, _tree(INSTANCE), prefix))


def unsupported_machine(spec: Mapping[str, Any], prefix: str = "spec") -> list[Unsupported]:
    """What the spec of a VirtualMachine, its template included, asks for that is not implemented."""
    return list(_walk(spec, _tree(MACHINE), prefix))


def unsupported_configuration(spec: Mapping[str, Any], prefix: str = "spec") -> list[Unsupported]:
    """What the spec of a KubeVirt asks for that is not implemented."""
    return list(_walk(spec, _tree(CONFIGURATION), prefix))


@dataclasses.dataclass(slots=True)
class _Node:
    children: dict[str, _Node] = dataclasses.field(default_factory=dict)
    line: Supported | None = None


@functools.cache
def _tree(table: tuple[Supported, ...]) -> _Node:
    root = _Node()
    for line in table:
        node = root
        for step in line.path.replace("[]", ".[]").split("."):
            node = node.children.setdefault(step, _Node())
        node.line = line
    return root


def _walk(value: Any, node: _Node, path: str) -> Iterator[Unsupported]:
    if _is_absent(value):
        return
    if node.line is not None and node.line.deep:
        if node.line.values and value not in node.line.values:
            choices = " or ".join(_text(each) for each in node.line.values)
            yield Unsupported(path, f"{path}: {_text(value)} is not supported yet; use {choices}")
        return
    if isinstance(value, Mapping):
        for key, below in value.items():
            child = node.children.get(key)
            if child is None:
                if not _is_absent(below):
                    yield Unsupported(f"{path}.{key}", f"{path}.{key} is not supported yet; leave it out")
            else:
                yield from _walk(below, child, f"{path}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, below in enumerate(value):
            child = node.children.get("[]")
            if child is None:
                yield Unsupported(f"{path}[{index}]", f"{path}[{index}] is not supported yet; leave it out")
            else:
                yield from _walk(below, child, f"{path}[{index}]")


def _is_absent(value: Any) -> bool:
    """Whether a value says no more than the field's absence. Empty objects do: presence is their meaning."""
    return value is None or value == [] or value == ""


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else "this"
