"""A guest's devices: disks, network interfaces and everything else that is plugged in."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from edgevirt.api.kubevirt.networks import Interface
from edgevirt.api.meta import Struct
from edgevirt.api.schema import ATOMIC, Schema


class ClientPassthroughDevices(Struct):
    """Present: USB devices of a client may be attached to the guest over the network."""


class CustomBlockSize(Struct):
    """Block sizes a disk reports to the guest, in bytes."""

    discard_granularity: int | None = None
    """Unit of discard requests; a multiple of `logical`."""
    logical: int | None = None
    """Smallest addressable block; a power of two from 512 to 2097152."""
    physical: int | None = None
    """Size the device works with internally; at least `logical`."""


class FeatureState(Struct):
    """A switch that is on unless it says otherwise."""

    enabled: bool | None = None
    """False turns the feature off; absent means on."""


class BlockSize(Struct):
    """Where a disk's block size comes from: exactly one of the two."""

    custom: CustomBlockSize | None = None
    """Sizes given by hand."""
    match_volume: FeatureState | None = None
    """Take the sizes of the volume behind the disk."""


class CDRomTarget(Struct):
    """The volume appears as an optical drive."""

    bus: str = ""
    """Controller: sata, scsi or usb (virtio is refused for drives)."""
    readonly: bool | None = None
    """Drives are read-only unless this is false; default true."""
    tray: str = ""
    """Whether the drive's tray is open or closed at start; default closed."""


class DiskTarget(Struct):
    """The volume appears as a hard disk."""

    bus: str = ""
    """Controller: virtio, sata, scsi or usb; the default is chosen by the architecture."""
    pci_address: str = ""
    """Fixed PCI address "dddd:bb:ss.f"; only on the virtio bus."""
    readonly: bool | None = None
    """The guest may only read."""


class LunTarget(Struct):
    """The volume is passed as a SCSI logical unit, with SCSI commands going through."""

    bus: str = ""
    """Controller: scsi, sata or virtio."""
    readonly: bool | None = None
    """The guest may only read."""
    reservation: bool | None = None
    """Persistent SCSI reservations go through to the storage."""


class Disk(Struct):
    """One storage device of the guest. It shows the volume of the same name."""

    block_size: BlockSize | None = None
    """Block sizes the guest sees."""
    boot_order: int | None = None
    """Place in the boot sequence, from 1, unique among disks and interfaces."""
    cache: str = ""
    """How the host caches writes: none, writethrough or writeback; absent picks the safest that works."""
    cdrom: CDRomTarget | None = None
    """Attach as an optical drive."""
    changed_block_tracking: bool | None = None
    """Track changed blocks for incremental backup."""
    dedicated_io_thread: bool | None = field(default=None, name="dedicatedIOThread")
    """Give the disk an I/O thread of its own; only on the virtio bus."""
    disk: DiskTarget | None = None
    """Attach as a hard disk; the default."""
    error_policy: str = ""
    """On an I/O error: stop the guest, report, ignore, or stop only when out of space."""
    io: str = ""
    """How QEMU does I/O: native or threads."""
    lun: LunTarget | None = None
    """Attach as a SCSI logical unit."""
    name: str
    """Name of the volume this disk shows."""
    serial: str = ""
    """Serial number the guest reads, at most 256 of A-Z a-z 0-9 _ . + -."""
    shareable: bool | None = None
    """Several guests may write to the volume at once."""
    tag: str = ""
    """Mark handed to the guest in its cloud-init metadata."""


class DownwardMetrics(Struct):
    """Present: the guest may read metrics of itself and of its host."""


class FilesystemVirtiofs(Struct):
    """Present: shared by virtiofs."""


class Filesystem(Struct):
    """A volume shared with the guest as a file system."""

    name: str
    """Name of the volume, and tag the guest mounts."""
    virtiofs: FilesystemVirtiofs
    """Share by virtiofs."""


class VGPUDisplayOptions(Struct):
    """Display of a virtual GPU."""

    enabled: bool | None = None
    """Whether the GPU drives a display; default true."""
    ram_fb: FeatureState | None = field(default=None, name="ramFB")
    """Frame buffer in RAM for the time before the guest's driver runs."""


class VGPUOptions(Struct):
    """Options of a virtual GPU."""

    display: VGPUDisplayOptions | None = None
    """Its display."""


class GPU(Struct):
    """A graphics device passed through to the guest."""

    claim_name: str = ""
    """Entry of `resourceClaims` the device comes from."""
    device_name: str = ""
    """Extended resource of the node that provides the device."""
    name: str
    """Name of the device in this instance."""
    request_name: str = ""
    """Request within the claim."""
    tag: str = ""
    """Mark handed to the guest in its metadata."""
    virtual_gpu_options: VGPUOptions | None = field(default=None, name="virtualGPUOptions")
    """Options for a mediated (virtual) GPU."""


class HostDevice(Struct):
    """A device of the node passed through to the guest."""

    claim_name: str = ""
    """Entry of `resourceClaims` the device comes from."""
    device_name: str = ""
    """Extended resource of the node that provides the device."""
    name: str
    """Name of the device in this instance."""
    request_name: str = ""
    """Request within the claim."""
    tag: str = ""
    """Mark handed to the guest in its metadata."""


class Input(Struct):
    """An input device."""

    bus: str = ""
    """usb (default) or virtio."""
    name: str
    """Name of the device."""
    type: str
    """tablet: a pointer with absolute positions."""


class PanicDevice(Struct):
    """A device by which a crashing guest tells the host."""

    model: str = ""
    """hyperv, isa or pvpanic."""


class Rng(Struct):
    """Present: a virtio random number generator fed by the host."""


class SoundDevice(Struct):
    """A sound card; what the guest plays is discarded."""

    model: str = ""
    """ich9 (default) or ac97."""
    name: str
    """Name of the device."""


class TPMDevice(Struct):
    """An emulated TPM 2.0."""

    enabled: bool | None = None
    """False removes a TPM that a preference adds; default true."""
    persistent: bool | None = None
    """Keep the TPM's state over restarts of the instance."""


class VideoDevice(Struct):
    """The graphics adapter."""

    type: str = ""
    """Model: vga, cirrus, virtio, ramfb or bochs, as the architecture allows."""


class Diag288Watchdog(Struct):
    """The watchdog of s390x."""

    action: str = ""
    """When it fires: poweroff, reset (default) or shutdown."""


class I6300ESBWatchdog(Struct):
    """The watchdog of x86."""

    action: str = ""
    """When it fires: poweroff, reset (default) or shutdown."""


class Watchdog(Struct):
    """A watchdog timer the guest must keep alive."""

    diag288: Diag288Watchdog | None = None
    """The s390x model."""
    i6300esb: I6300ESBWatchdog | None = None
    """The x86 model."""
    name: str
    """Name of the device."""


class Devices(Struct):
    """The guest's devices."""

    autoattach_graphics_device: bool | None = None
    """Attach a graphics adapter and VNC; default true."""
    autoattach_input_device: bool | None = None
    """Attach a tablet; default false."""
    autoattach_mem_balloon: bool | None = None
    """Attach a memory balloon; default true."""
    autoattach_pod_interface: bool | None = None
    """Attach the pod network if no network is named; default true."""
    autoattach_serial_console: bool | None = None
    """Attach a serial console; default true."""
    autoattach_vsock: bool | None = field(default=None, name="autoattachVSOCK")
    """Attach a vsock device; default false."""
    block_multi_queue: bool | None = None
    """One virtio queue per vCPU for each disk."""
    client_passthrough: ClientPassthroughDevices | None = None
    """Let clients pass USB devices through."""
    disable_hotplug: bool | None = None
    """Leave out what hot-plugging disks needs."""
    disks: Annotated[tuple[Disk, ...], Schema(max_items=256)] = ()
    """Storage devices; each shows the volume of its name."""
    downward_metrics: DownwardMetrics | None = None
    """Channel over which the guest reads metrics."""
    filesystems: Annotated[tuple[Filesystem, ...], ATOMIC] = ()
    """Volumes shared as file systems."""
    gpus: Annotated[tuple[GPU, ...], ATOMIC] = ()
    """Graphics devices passed through."""
    host_devices: Annotated[tuple[HostDevice, ...], ATOMIC] = ()
    """Other devices passed through."""
    inputs: tuple[Input, ...] = ()
    """Input devices."""
    interfaces: Annotated[tuple[Interface, ...], Schema(max_items=256)] = ()
    """Network interfaces; each belongs to the network of its name."""
    log_serial_console: bool | None = None
    """Write the serial console to a log."""
    network_interface_multiqueue: bool | None = None
    """One queue per vCPU for each virtio network interface."""
    panic_devices: tuple[PanicDevice, ...] = ()
    """Panic notifiers."""
    rng: Rng | None = None
    """Random number generator."""
    sound: SoundDevice | None = None
    """Sound card."""
    tpm: TPMDevice | None = None
    """TPM."""
    use_virtio_transitional: bool | None = None
    """Speak virtio 0.9 as well, for old guests."""
    video: VideoDevice | None = None
    """Graphics adapter."""
    watchdog: Watchdog | None = None
    """Watchdog."""
