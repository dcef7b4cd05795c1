"""A guest's hardware apart from its devices: CPUs, memory, firmware, clock and features."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from edgevirt.api.kubevirt.devices import Devices, FeatureState
from edgevirt.api.meta import Quantity, Struct
from edgevirt.api.schema import Schema


class CPUFeature(Struct):
    """A CPU feature asked for by name."""

    name: str
    """Name as libvirt knows it."""
    policy: str = ""
    """force, require (default), optional, disable or forbid."""


class NUMAGuestMappingPassthrough(Struct):
    """Present: the guest sees the NUMA layout of its CPUs and memory."""


class NUMA(Struct):
    """NUMA layout of the guest."""

    guest_mapping_passthrough: NUMAGuestMappingPassthrough | None = None
    """Mirror the host's; needs dedicated CPUs and huge pages."""


class Realtime(Struct):
    """Real-time scheduling of vCPUs."""

    mask: str = ""
    """Which vCPUs, e.g. "0-3,^1"; absent means all."""


class CPU(Struct):
    """The guest's processors: sockets x cores x threads vCPUs."""

    cores: int | None = None
    """Cores per socket; default 1."""
    dedicated_cpu_placement: bool | None = None
    """Pin each vCPU to a CPU of its own."""
    features: tuple[CPUFeature, ...] = ()
    """Features to add, require or hide."""
    isolate_emulator_thread: bool | None = None
    """One more dedicated CPU for QEMU itself."""
    max_sockets: int | None = None
    """How far sockets may be added while the guest runs."""
    model: str = ""
    """Model: a name libvirt knows, host-model (default) or host-passthrough."""
    numa: NUMA | None = None
    """NUMA layout."""
    realtime: Realtime | None = None
    """Real-time scheduling."""
    sockets: int | None = None
    """Sockets; default 1, or as many as the CPU limit or request asks for."""
    threads: int | None = None
    """Threads per core; default 1."""


class Chassis(Struct):
    """The SMBIOS chassis the guest reads."""

    asset: str = ""
    """Asset tag."""
    manufacturer: str = ""
    """Manufacturer."""
    serial: str = ""
    """Serial number."""
    sku: str = ""
    """SKU number."""
    version: str = ""
    """Version."""


class ClockOffsetUTC(Struct):
    """The guest's clock starts from UTC."""

    offset_seconds: int | None = None
    """Seconds ahead of UTC."""


class HPETTimer(Struct):
    """High precision event timer."""

    present: bool | None = None
    """Whether the guest has it; default true."""
    tick_policy: str = ""
    """Ticks missed: delay, catchup, merge or discard."""


class HypervTimer(Struct):
    """Reference clock for Windows."""

    present: bool | None = None
    """Whether the guest has it; default true."""


class KVMTimer(Struct):
    """KVM's clock."""

    present: bool | None = None
    """Whether the guest has it; default true."""


class PITTimer(Struct):
    """Programmable interval timer."""

    present: bool | None = None
    """Whether the guest has it; default true."""
    tick_policy: str = ""
    """Ticks missed: delay, catchup or discard."""


class RTCTimer(Struct):
    """Real-time clock."""

    present: bool | None = None
    """Whether the guest has it; default true."""
    tick_policy: str = ""
    """Ticks missed: delay or catchup."""
    track: str = ""
    """Follow guest or wall time."""


class Timer(Struct):
    """The guest's timers."""

    hpet: HPETTimer | None = None
    """High precision event timer."""
    hyperv: HypervTimer | None = None
    """Reference clock for Windows."""
    kvm: KVMTimer | None = None
    """KVM's clock."""
    pit: PITTimer | None = None
    """Programmable interval timer."""
    rtc: RTCTimer | None = None
    """Real-time clock."""


class Clock(Struct):
    """The guest's clock: at most one of a time zone and an offset from UTC."""

    timer: Timer | None = None
    """Timers."""
    timezone: str = ""
    """Local time of this zone, e.g. Europe/Berlin."""
    utc: ClockOffsetUTC | None = None
    """UTC with an offset; the default, with offset 0."""


class DiskIOThreads(Struct):
    """A pool of I/O threads."""

    supplemental_pool_thread_count: int | None = None
    """Threads in the pool."""


class FeatureAPIC(Struct):
    """The interrupt controller."""

    enabled: bool | None = None
    """False removes it; default true."""
    end_of_interrupt: bool | None = None
    """Speed up end-of-interrupt notices."""


class FeatureSpinlocks(Struct):
    """Tell the guest how often to spin before it yields."""

    enabled: bool | None = None
    """False turns it off; absent means on."""
    spinlocks: int | None = None
    """Tries, at least 4096; default 4096."""


class FeatureVendorID(Struct):
    """The hypervisor vendor Windows reads."""

    enabled: bool | None = None
    """False turns it off; absent means on."""
    vendorid: str = ""
    """At most 12 characters."""


class SyNICTimer(Struct):
    """Synthetic timers."""

    direct: FeatureState | None = None
    """Expire directly in the virtual processor."""
    enabled: bool | None = None
    """False turns them off; absent means on."""


class TLBFlush(Struct):
    """Flush the TLBs of other vCPUs by a call."""

    direct: FeatureState | None = None
    """Directly from nested guests."""
    enabled: bool | None = None
    """False turns it off; absent means on."""
    extended: FeatureState | None = None
    """With ranges of addresses."""


class FeatureHyperv(Struct):
    """What Windows guests use to run faster on a hypervisor."""

    evmcs: FeatureState | None = None
    """Enlightened VMCS, for nesting; needs vapic."""
    frequencies: FeatureState | None = None
    """Report TSC and APIC frequencies."""
    ipi: FeatureState | None = None
    """Inter-processor interrupts by a call; needs vpindex."""
    reenlightenment: FeatureState | None = None
    """Tell the guest when the TSC changes after a migration."""
    relaxed: FeatureState | None = None
    """Do not bluescreen on late timer ticks."""
    reset: FeatureState | None = None
    """Reset by a call."""
    runtime: FeatureState | None = None
    """Report the time vCPUs really ran."""
    spinlocks: FeatureSpinlocks | None = None
    """Spinlock hints."""
    synic: FeatureState | None = None
    """Synthetic interrupt controller; needs vpindex."""
    synictimer: SyNICTimer | None = None
    """Synthetic timers; needs synic."""
    tlbflush: TLBFlush | None = None
    """TLB flush by a call; needs vpindex."""
    vapic: FeatureState | None = None
    """Faster interrupt controller access."""
    vendorid: FeatureVendorID | None = None
    """Vendor the guest reads."""
    vpindex: FeatureState | None = None
    """Virtual processor numbers."""


class FeatureKVM(Struct):
    """How KVM shows itself."""

    hidden: bool | None = None
    """Hide from the guest that it runs on KVM."""


class HyperVPassthrough(Struct):
    """All that the host can do for Windows guests."""

    enabled: bool | None = None
    """Turn it on; such a guest cannot migrate."""


class Features(Struct):
    """Hardware features of the machine."""

    acpi: FeatureState | None = None
    """ACPI; default on. Without it a guest cannot be asked to shut down."""
    apic: FeatureAPIC | None = None
    """Interrupt controller."""
    hyperv: FeatureHyperv | None = None
    """Features for Windows guests."""
    hyperv_passthrough: HyperVPassthrough | None = None
    """All Windows features of the host; excludes `hyperv`."""
    kvm: FeatureKVM | None = None
    """How KVM shows itself."""
    pvspinlock: FeatureState | None = None
    """Paravirtual spinlocks; default on."""
    smm: FeatureState | None = None
    """System management mode; Secure Boot needs it."""


class ACPI(Struct):
    """ACPI tables handed to the firmware."""

    msdm_name_ref: str = ""
    """Secret volume with the MSDM table."""
    slic_name_ref: str = ""
    """Secret volume with the SLIC table."""


class BIOS(Struct):
    """Boot with SeaBIOS; the default on amd64."""

    use_serial: bool | None = None
    """Show the BIOS on the serial console."""


class EFI(Struct):
    """Boot with UEFI firmware."""

    persistent: bool | None = None
    """Keep the UEFI variables over restarts of the instance."""
    secure_boot: bool | None = None
    """Verify signatures of what is booted; default true, and needs SMM."""


class Bootloader(Struct):
    """The firmware that boots: at most one."""

    bios: BIOS | None = None
    """SeaBIOS."""
    efi: EFI | None = None
    """UEFI."""


class KernelBootContainer(Struct):
    """An OCI image with a kernel or an initial RAM disk."""

    image: str
    """Reference of the OCI image."""
    image_pull_policy: str = ""
    """When to fetch: Always, IfNotPresent or Never."""
    image_pull_secret: str = ""
    """Secret with the registry's credentials."""
    initrd_path: str = ""
    """Path of the initial RAM disk in the image."""
    kernel_path: str = ""
    """Path of the kernel in the image."""


class KernelBoot(Struct):
    """Boot a kernel directly instead of from a disk."""

    container: KernelBootContainer | None = None
    """Where kernel and initial RAM disk come from."""
    kernel_args: str = ""
    """Kernel command line."""


class Firmware(Struct):
    """Firmware and the identity it shows."""

    acpi: ACPI | None = None
    """ACPI tables."""
    bootloader: Bootloader | None = None
    """Which firmware boots."""
    kernel_boot: KernelBoot | None = None
    """Direct kernel boot."""
    serial: str = ""
    """Serial number of the machine in SMBIOS; chosen once and kept."""
    uuid: str = ""
    """UUID of the machine in SMBIOS; chosen once and kept."""


class SEVAttestation(Struct):
    """Present: wait for an attestation before the guest runs."""


class SEVPolicy(Struct):
    """Policy of an encrypted guest."""

    encrypted_state: bool | None = None
    """Encrypt registers too (SEV-ES)."""


class SEV(Struct):
    """Memory encryption by AMD SEV."""

    attestation: SEVAttestation | None = None
    """Attest before running."""
    dh_cert: str = ""
    """Diffie-Hellman key of the guest's owner, base64."""
    policy: SEVPolicy | None = None
    """Policy."""
    session: str = ""
    """Session blob of the guest's owner, base64."""


class SEVSNP(Struct):
    """Present: memory encryption and integrity by AMD SEV-SNP."""


class TDX(Struct):
    """Present: a trust domain of Intel TDX."""


class LaunchSecurity(Struct):
    """Confidential computing: exactly one kind."""

    sev: SEV | None = None
    """AMD SEV."""
    snp: SEVSNP | None = None
    """AMD SEV-SNP."""
    tdx: TDX | None = None
    """Intel TDX."""


class Machine(Struct):
    """The machine model."""

    type: str = ""
    """Name as QEMU knows it, e.g. q35; the newest of its family if no version is given."""


class Hugepages(Struct):
    """Memory backed by huge pages."""

    page_size: str = ""
    """2Mi or 1Gi on amd64."""


class ReservedOverhead(Struct):
    """Memory set aside for QEMU beyond what is calculated."""

    added_overhead: Quantity | None = None
    """How much."""
    mem_lock: Annotated[str, Schema(enum=("NotRequired", "Required"))] = ""
    """Required raises the limit for locked memory to cover it; NotRequired does not."""


class Memory(Struct):
    """The guest's memory."""

    guest: Quantity | None = None
    """How much the guest sees."""
    hugepages: Hugepages | None = None
    """Back it with huge pages."""
    max_guest: Quantity | None = None
    """How far it may grow while the guest runs."""
    reserved_overhead: ReservedOverhead | None = None
    """More for QEMU itself."""


class ResourceRequirements(Struct):
    """Resources of the launcher pod; what is absent follows from CPU and memory."""

    limits: dict[str, Quantity] = field(default_factory=dict)
    """Upper bounds: cpu, memory."""
    overcommit_guest_overhead: bool | None = None
    """Leave QEMU's own memory out of the request."""
    requests: dict[str, Quantity] = field(default_factory=dict)
    """What scheduling counts: cpu, memory."""


class DomainSpec(Struct):
    """The guest's hardware."""

    chassis: Chassis | None = None
    """SMBIOS chassis."""
    clock: Annotated[Clock | None, Schema(lenient=True)] = None
    """Clock and timers."""
    cpu: CPU | None = None
    """Processors."""
    devices: Devices
    """Devices."""
    features: Features | None = None
    """Hardware features."""
    firmware: Firmware | None = None
    """Firmware and identity."""
    io_threads: DiskIOThreads | None = None
    """Pool of I/O threads."""
    io_threads_policy: str = ""
    """How disks share I/O threads: shared, auto or supplementalPool."""
    launch_security: LaunchSecurity | None = None
    """Confidential computing."""
    machine: Machine | None = None
    """Machine model."""
    memory: Memory | None = None
    """Memory."""
    reboot_policy: Annotated[str, Schema(enum=("Reboot", "Terminate"))] = ""
    """When the guest reboots: Reboot it in place (default), or Terminate the instance."""
    resources: ResourceRequirements | None = None
    """Resources of the launcher pod."""
