"""kubevirt.io/v1 types: domain."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.kubevirt.devices import Devices, FeatureState
from edgevirt.api.meta import Quantity, Struct


class CPUFeature(Struct):
    name: str
    policy: str = ""


class NUMAGuestMappingPassthrough(Struct):
    pass


class NUMA(Struct):
    guest_mapping_passthrough: NUMAGuestMappingPassthrough | None = None


class Realtime(Struct):
    mask: str = ""


class CPU(Struct):
    cores: int | None = None
    dedicated_cpu_placement: bool | None = None
    features: tuple[CPUFeature, ...] = ()
    isolate_emulator_thread: bool | None = None
    max_sockets: int | None = None
    model: str = ""
    numa: NUMA | None = None
    realtime: Realtime | None = None
    sockets: int | None = None
    threads: int | None = None


class Chassis(Struct):
    asset: str = ""
    manufacturer: str = ""
    serial: str = ""
    sku: str = ""
    version: str = ""


class ClockOffsetUTC(Struct):
    offset_seconds: int | None = None


class HPETTimer(Struct):
    present: bool | None = None
    tick_policy: str = ""


class HypervTimer(Struct):
    present: bool | None = None


class KVMTimer(Struct):
    present: bool | None = None


class PITTimer(Struct):
    present: bool | None = None
    tick_policy: str = ""


class RTCTimer(Struct):
    present: bool | None = None
    tick_policy: str = ""
    track: str = ""


class Timer(Struct):
    hpet: HPETTimer | None = None
    hyperv: HypervTimer | None = None
    kvm: KVMTimer | None = None
    pit: PITTimer | None = None
    rtc: RTCTimer | None = None


class Clock(Struct):
    timer: Timer | None = None
    timezone: str = ""
    utc: ClockOffsetUTC | None = None


class DiskIOThreads(Struct):
    supplemental_pool_thread_count: int | None = None


class FeatureAPIC(Struct):
    enabled: bool | None = None
    end_of_interrupt: bool | None = None


class FeatureSpinlocks(Struct):
    enabled: bool | None = None
    spinlocks: int | None = None


class FeatureVendorID(Struct):
    enabled: bool | None = None
    vendorid: str = ""


class SyNICTimer(Struct):
    direct: FeatureState | None = None
    enabled: bool | None = None


class TLBFlush(Struct):
    direct: FeatureState | None = None
    enabled: bool | None = None
    extended: FeatureState | None = None


class FeatureHyperv(Struct):
    evmcs: FeatureState | None = None
    frequencies: FeatureState | None = None
    ipi: FeatureState | None = None
    reenlightenment: FeatureState | None = None
    relaxed: FeatureState | None = None
    reset: FeatureState | None = None
    runtime: FeatureState | None = None
    spinlocks: FeatureSpinlocks | None = None
    synic: FeatureState | None = None
    synictimer: SyNICTimer | None = None
    tlbflush: TLBFlush | None = None
    vapic: FeatureState | None = None
    vendorid: FeatureVendorID | None = None
    vpindex: FeatureState | None = None


class FeatureKVM(Struct):
    hidden: bool | None = None


class HyperVPassthrough(Struct):
    enabled: bool | None = None


class Features(Struct):
    acpi: FeatureState | None = None
    apic: FeatureAPIC | None = None
    hyperv: FeatureHyperv | None = None
    hyperv_passthrough: HyperVPassthrough | None = None
    kvm: FeatureKVM | None = None
    pvspinlock: FeatureState | None = None
    smm: FeatureState | None = None


class ACPI(Struct):
    msdm_name_ref: str = ""
    slic_name_ref: str = ""


class BIOS(Struct):
    use_serial: bool | None = None


class EFI(Struct):
    persistent: bool | None = None
    secure_boot: bool | None = None


class Bootloader(Struct):
    bios: BIOS | None = None
    efi: EFI | None = None


class KernelBootContainer(Struct):
    image: str
    image_pull_policy: str = ""
    image_pull_secret: str = ""
    initrd_path: str = ""
    kernel_path: str = ""


class KernelBoot(Struct):
    container: KernelBootContainer | None = None
    kernel_args: str = ""


class Firmware(Struct):
    acpi: ACPI | None = None
    bootloader: Bootloader | None = None
    kernel_boot: KernelBoot | None = None
    serial: str = ""
    uuid: str = ""


class SEVAttestation(Struct):
    pass


class SEVPolicy(Struct):
    encrypted_state: bool | None = None


class SEV(Struct):
    attestation: SEVAttestation | None = None
    dh_cert: str = ""
    policy: SEVPolicy | None = None
    session: str = ""


class SEVSNP(Struct):
    pass


class TDX(Struct):
    pass


class LaunchSecurity(Struct):
    sev: SEV | None = None
    snp: SEVSNP | None = None
    tdx: TDX | None = None


class Machine(Struct):
    type: str = ""


class Hugepages(Struct):
    page_size: str = ""


class ReservedOverhead(Struct):
    added_overhead: Quantity | None = None
    mem_lock: str = ""


class Memory(Struct):
    guest: Quantity | None = None
    hugepages: Hugepages | None = None
    max_guest: Quantity | None = None
    reserved_overhead: ReservedOverhead | None = None


class ResourceRequirements(Struct):
    limits: dict[str, Quantity] = field(default_factory=dict)
    overcommit_guest_overhead: bool | None = None
    requests: dict[str, Quantity] = field(default_factory=dict)


class DomainSpec(Struct):
    chassis: Chassis | None = None
    clock: Clock | None = None
    cpu: CPU | None = None
    devices: Devices
    features: Features | None = None
    firmware: Firmware | None = None
    io_threads: DiskIOThreads | None = None
    io_threads_policy: str = ""
    launch_security: LaunchSecurity | None = None
    machine: Machine | None = None
    memory: Memory | None = None
    reboot_policy: str = ""
    resources: ResourceRequirements | None = None
