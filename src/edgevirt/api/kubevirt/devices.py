"""kubevirt.io/v1 types: devices."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.kubevirt.networks import Interface
from edgevirt.api.meta import Struct


class ClientPassthroughDevices(Struct):
    pass


class CustomBlockSize(Struct):
    discard_granularity: int | None = None
    logical: int | None = None
    physical: int | None = None


class FeatureState(Struct):
    enabled: bool | None = None


class BlockSize(Struct):
    custom: CustomBlockSize | None = None
    match_volume: FeatureState | None = None


class CDRomTarget(Struct):
    bus: str = ""
    readonly: bool | None = None
    tray: str = ""


class DiskTarget(Struct):
    bus: str = ""
    pci_address: str = ""
    readonly: bool | None = None


class LunTarget(Struct):
    bus: str = ""
    readonly: bool | None = None
    reservation: bool | None = None


class Disk(Struct):
    block_size: BlockSize | None = None
    boot_order: int | None = None
    cache: str = ""
    cdrom: CDRomTarget | None = None
    changed_block_tracking: bool | None = None
    dedicated_io_thread: bool | None = field(default=None, name="dedicatedIOThread")
    disk: DiskTarget | None = None
    error_policy: str = ""
    io: str = ""
    lun: LunTarget | None = None
    name: str
    serial: str = ""
    shareable: bool | None = None
    tag: str = ""


class DownwardMetrics(Struct):
    pass


class FilesystemVirtiofs(Struct):
    pass


class Filesystem(Struct):
    name: str
    virtiofs: FilesystemVirtiofs


class VGPUDisplayOptions(Struct):
    enabled: bool | None = None
    ram_fb: FeatureState | None = field(default=None, name="ramFB")


class VGPUOptions(Struct):
    display: VGPUDisplayOptions | None = None


class GPU(Struct):
    claim_name: str = ""
    device_name: str = ""
    name: str
    request_name: str = ""
    tag: str = ""
    virtual_gpu_options: VGPUOptions | None = field(default=None, name="virtualGPUOptions")


class HostDevice(Struct):
    claim_name: str = ""
    device_name: str = ""
    name: str
    request_name: str = ""
    tag: str = ""


class Input(Struct):
    bus: str = ""
    name: str
    type: str


class PanicDevice(Struct):
    model: str = ""


class Rng(Struct):
    pass


class SoundDevice(Struct):
    model: str = ""
    name: str


class TPMDevice(Struct):
    enabled: bool | None = None
    persistent: bool | None = None


class VideoDevice(Struct):
    type: str = ""


class Diag288Watchdog(Struct):
    action: str = ""


class I6300ESBWatchdog(Struct):
    action: str = ""


class Watchdog(Struct):
    diag288: Diag288Watchdog | None = None
    i6300esb: I6300ESBWatchdog | None = None
    name: str


class Devices(Struct):
    autoattach_graphics_device: bool | None = None
    autoattach_input_device: bool | None = None
    autoattach_mem_balloon: bool | None = None
    autoattach_pod_interface: bool | None = None
    autoattach_serial_console: bool | None = None
    autoattach_vsock: bool | None = field(default=None, name="autoattachVSOCK")
    block_multi_queue: bool | None = None
    client_passthrough: ClientPassthroughDevices | None = None
    disable_hotplug: bool | None = None
    disks: tuple[Disk, ...] = ()
    downward_metrics: DownwardMetrics | None = None
    filesystems: tuple[Filesystem, ...] = ()
    gpus: tuple[GPU, ...] = ()
    host_devices: tuple[HostDevice, ...] = ()
    inputs: tuple[Input, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    log_serial_console: bool | None = None
    network_interface_multiqueue: bool | None = None
    panic_devices: tuple[PanicDevice, ...] = ()
    rng: Rng | None = None
    sound: SoundDevice | None = None
    tpm: TPMDevice | None = None
    use_virtio_transitional: bool | None = None
    video: VideoDevice | None = None
    watchdog: Watchdog | None = None
