"""How much memory a launcher pod needs beyond the guest's RAM.

Unlike KubeVirt's fixed 240 MiB plus parts, the terms are what was measured for this launcher
(docs/performance.md): launcher, private libvirtd and monitor together, QEMU's own heap and tables, its
display, and under emulation the translation cache, which is capped in the domain to the number used here.
The sum becomes the pod's memory request and is shown in the instance's status.
"""

from __future__ import annotations

from edgevirt.api import quantity
from edgevirt.api.kubevirt.domain import DomainSpec

MIB = 1024 * 1024
MANAGEMENT = 48 * MIB
QEMU = 64 * MIB
GRAPHICS = 16 * MIB
PER_VCPU = 4 * MIB
EFI = 16 * MIB
PAGE_TABLE_SHARE = 512

SMALL_GUEST = 256 * MIB
TRANSLATION_CACHE_SMALL = 64 * MIB
TRANSLATION_CACHE = 128 * MIB


def vcpus(domain: DomainSpec) -> int:
    """sockets x cores x threads, each 1 when absent."""
    cpu = domain.cpu
    if cpu is None:
        return 1
    return (cpu.sockets or 1) * (cpu.cores or 1) * (cpu.threads or 1)


def guest_memory(domain: DomainSpec) -> int:
    """Bytes of RAM the guest sees. Admission guarantees that one of the sources is set."""
    if domain.memory is not None and domain.memory.guest is not None:
        return quantity.to_bytes(domain.memory.guest)
    resources = domain.resources
    for source in (resources.requests, resources.limits) if resources else ():
        if "memory" in source:
            return quantity.to_bytes(source["memory"])
    raise ValueError("neither domain.memory.guest nor domain.resources says how much memory the guest has")


def memory_overhead(domain: DomainSpec, *, emulation: bool) -> int:
    """Bytes to add to the guest's RAM for the pod, rounded up to a MiB."""
    guest = guest_memory(domain)
    total = MANAGEMENT + QEMU + PER_VCPU * vcpus(domain) + guest // PAGE_TABLE_SHARE
    if domain.devices.autoattach_graphics_device is not False:
        total += GRAPHICS
    if domain.firmware and domain.firmware.bootloader and domain.firmware.bootloader.efi:
        total += EFI
    if emulation:
        total += TRANSLATION_CACHE_SMALL if guest <= SMALL_GUEST else TRANSLATION_CACHE
    return -(-total // MIB) * MIB
