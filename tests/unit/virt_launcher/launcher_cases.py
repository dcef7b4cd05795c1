"""VMIs for the domain tests: each shows one corner, together they use every field of the domain's types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edgevirt.api.kubevirt.instance import VirtualMachineInstance
from edgevirt.api.launcher import GuestLink
from edgevirt.storage.disks.header import ImageFormat
from edgevirt.storage.disks.qcow2 import Backing
from edgevirt.virt_launcher.domain.boot import DirectKernel
from edgevirt.virt_launcher.domain.build import FirmwareFiles, GuestPaths, build_domain
from edgevirt.virt_launcher.domain.disks import DiskImage
from edgevirt.virt_launcher.domain.domain import Domain

UID = "11111111-2222-3333-4444-555555555555"
DISKS = Path("/var/run/kubevirt-ephemeral-disks")
PATHS = GuestPaths(Path("/var/run/kubevirt-private") / UID)
FIRMWARE = FirmwareFiles(Path("/usr/share/OVMF/CODE.fd"), Path("/usr/share/OVMF/VARS.fd"))

KVM: dict[str, Any] = {"use_kvm": True}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "minimal": ({"domain": {"memory": {"guest": "128Mi"}, "devices": {}}}, {}),
    "containerdisk-cloudinit-bridge": (
        {
            "domain": {
                "cpu": {"sockets": 1, "cores": 2, "threads": 1, "model": "host-model"},
                "memory": {"guest": "1Gi"},
                "machine": {"type": "q35"},
                "firmware": {"uuid": "5d307ca9-b3ef-428c-8861-06e72d69f223"},
                "features": {"acpi": {"enabled": True}},
                "devices": {
                    "rng": {},
                    "disks": [
                        {"name": "root", "disk": {"bus": "virtio"}, "bootOrder": 1},
                        {"name": "seed", "cdrom": {"bus": "sata"}},
                        {"name": "scratch", "disk": {"bus": "scsi"}, "serial": "CVLY623300HK240D"},
                    ],
                    "interfaces": [{"name": "default", "bridge": {}}],
                },
            },
            "networks": [{"name": "default", "pod": {}}],
            "volumes": [
                {"name": "root", "containerDisk": {"image": "guest"}},
                {"name": "seed", "cloudInitNoCloud": {"userData": "#cloud-config"}},
                {"name": "scratch", "emptyDisk": {"capacity": "2Gi"}},
            ],
        },
        {"links": [GuestLink(name="default", tap="tap0", mac="0a:58:0a:f4:00:07", mtu=1450)]},
    ),
    "kvm-host-passthrough": (
        {
            "domain": {
                "cpu": {
                    "sockets": 2,
                    "cores": 3,
                    "threads": 2,
                    "model": "host-passthrough",
                    "features": [{"name": "vmx", "policy": "disable"}, {"name": "invtsc"}],
                },
                "memory": {"guest": "2Gi"},
                "devices": {},
            }
        },
        KVM,
    ),
    "kvm-windows": (
        {
            "domain": {
                "memory": {"guest": "2Gi"},
                "clock": {
                    "utc": {"offsetSeconds": -3600},
                    "timer": {
                        "rtc": {"tickPolicy": "catchup", "track": "guest"},
                        "pit": {"tickPolicy": "delay"},
                        "hpet": {"present": False},
                        "hyperv": {},
                        "kvm": {"present": False},
                    },
                },
                "features": {
                    "acpi": {},
                    "apic": {"endOfInterrupt": True},
                    "smm": {},
                    "pvspinlock": {"enabled": False},
                    "kvm": {"hidden": True},
                    "hyperv": {
                        "relaxed": {},
                        "vapic": {},
                        "spinlocks": {"spinlocks": 8191},
                        "vpindex": {},
                        "runtime": {},
                        "synic": {},
                        "synictimer": {"direct": {}},
                        "reset": {"enabled": False},
                        "vendorid": {"vendorid": "edge"},
                        "frequencies": {},
                        "reenlightenment": {},
                        "tlbflush": {},
                        "ipi": {},
                        "evmcs": {"enabled": False},
                    },
                },
                "firmware": {"bootloader": {"efi": {}}, "serial": "S-1"},
                "devices": {
                    "inputs": [{"name": "tablet", "type": "tablet", "bus": "usb"}],
                    "sound": {"name": "audio", "model": "ac97"},
                    "video": {"type": "virtio"},
                    "panicDevices": [{"model": "hyperv"}],
                },
            }
        },
        {**KVM, "firmware": FIRMWARE},
    ),
    "kvm-hyperv-passthrough": (
        {"domain": {"memory": {"guest": "1Gi"}, "features": {"hypervPassthrough": {}}, "devices": {}}},
        KVM,
    ),
    "efi": (
        {
            "domain": {
                "memory": {"guest": "512Mi"},
                "firmware": {"bootloader": {"efi": {"secureBoot": False}}},
                "clock": {"timezone": "Europe/Berlin"},
                "devices": {"video": {}, "autoattachInputDevice": True},
            }
        },
        {"firmware": FIRMWARE},
    ),
    "headless-kernel": (
        {
            "startStrategy": "Paused",
            "domain": {
                "memory": {"guest": "256Mi"},
                "rebootPolicy": "Terminate",
                "firmware": {"bootloader": {"bios": {"useSerial": True}}, "kernelBoot": {"kernelArgs": "x"}},
                "chassis": {
                    "manufacturer": "Maker & Sons",
                    "version": "1",
                    "serial": "2",
                    "asset": "3",
                    "sku": "4",
                },
                "features": {"acpi": {"enabled": False}, "apic": {"enabled": False}},
                "devices": {
                    "autoattachGraphicsDevice": False,
                    "autoattachMemBalloon": False,
                    "autoattachSerialConsole": False,
                    "disableHotplug": True,
                },
            },
        },
        {"kernel": DirectKernel("/boot/vmlinuz", "/boot/initrd", "console=ttyS0 a='b'")},
    ),
    "devices": (
        {
            "domain": {
                "cpu": {"cores": 2, "model": "Nehalem", "features": [{"name": "aes", "policy": "optional"}]},
                "resources": {"requests": {"memory": "300M"}},
                "devices": {
                    "useVirtioTransitional": True,
                    "blockMultiQueue": True,
                    "logSerialConsole": False,
                    "inputs": [{"name": "t", "type": "tablet", "bus": "virtio"}],
                    "watchdog": {"name": "dog", "i6300esb": {"action": "poweroff"}},
                    "disks": [
                        {
                            "name": "a",
                            "disk": {"bus": "virtio", "pciAddress": "0000:81:01.0", "readonly": True},
                            "cache": "none",
                            "io": "native",
                            "errorPolicy": "report",
                            "blockSize": {"custom": {"logical": 4096, "physical": 4096}},
                        },
                        {"name": "b"},
                        {"name": "c", "cdrom": {"bus": "usb", "tray": "open"}},
                    ],
                    "interfaces": [
                        {"name": "one", "masquerade": {}, "model": "e1000", "bootOrder": 2, "state": "down"},
                        {"name": "gone", "bridge": {}, "state": "absent"},
                        {"name": "two", "bridge": {}, "acpiIndex": 7, "pciAddress": "0000:82:00.0"},
                    ],
                },
            },
            "volumes": [
                {"name": "a", "emptyDisk": {"capacity": "1Gi"}},
                {"name": "b", "containerDisk": {"image": "x"}},
                {"name": "c", "cloudInitConfigDrive": {"userData": "x"}},
            ],
        },
        {
            "links": [
                GuestLink(name="one", tap="tap1", mac="02:00:00:00:00:01"),
                GuestLink(name="two", tap="tap2", mac="02:00:00:00:00:02", mtu=9000),
            ]
        },
    ),
}


def make_vmi(spec: dict[str, Any]) -> VirtualMachineInstance:
    metadata = {"name": "vm1", "namespace": "default", "uid": UID}
    return msgspec.convert({"metadata": metadata, "spec": spec}, VirtualMachineInstance)


def images_for(vmi: VirtualMachineInstance) -> dict[str, DiskImage]:
    """What `volumes.prepare` would make, without making it."""
    images = {}
    for index, volume in enumerate(vmi.spec.volumes):
        if volume.container_disk:
            image = Path(f"/var/run/kubevirt-image-volume/disk_{index}/disk/image")
            images[volume.name] = DiskImage(
                DISKS / f"{volume.name}.qcow2",
                ImageFormat.QCOW2,
                Backing(image, ImageFormat.RAW),
                direct_io=False,
            )
        elif volume.empty_disk:
            images[volume.name] = DiskImage(DISKS / f"{volume.name}.qcow2", ImageFormat.QCOW2)
        else:
            images[volume.name] = DiskImage(DISKS / f"{volume.name}.iso", ImageFormat.RAW)
    return images


def make_domain(spec: dict[str, Any], **given: Any) -> Domain:
    vmi = make_vmi(spec)
    arguments = {"links": (), "images": images_for(vmi), "use_kvm": False, "paths": PATHS, **given}
    return build_domain(vmi, **arguments)
