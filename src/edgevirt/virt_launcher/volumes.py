"""From the VMI's volumes to files QEMU can open: overlays, blank disks, seed disks.

Runs before the domain is defined and may run again after a failed start; every file is written anew and
appears complete. Where a volume's data comes from is what the pod mounts:

* containerDisk number i of `spec.volumes`: `<image volumes>/disk_<i>`, read-only;
* cloud-init data in a Secret: the Secret as `<private>/secret/<volume>/udata/` with a key `userdata` or
  `userData`, for network data `ndata/` with `networkdata` or `networkData`; or, as KubeVirt mounts them, the
  keys alone as files directly in `<private>/secret/<volume>/`;
* SSH keys: every key of `<private>/secret/<secret>-access-cred/`.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from pathlib import Path
from typing import Final

from edgevirt.api import quantity
from edgevirt.api.kubevirt.instance import VirtualMachineInstance
from edgevirt.api.kubevirt.volumes import CloudInitConfigDriveSource, CloudInitNoCloudSource, Volume
from edgevirt.storage.cloudinit import documents, iso9660
from edgevirt.storage.disks import qcow2
from edgevirt.storage.disks.direct_io import supports_direct_io
from edgevirt.storage.disks.errors import DiskError
from edgevirt.storage.disks.header import SECTOR, ImageFormat, read_header
from edgevirt.storage.disks.locate import find_image
from edgevirt.virt_launcher.domain.boot import DirectKernel
from edgevirt.virt_launcher.domain.build import FirmwareFiles, vmi_uuid
from edgevirt.virt_launcher.domain.disks import DiskImage
from edgevirt.virt_launcher.domain.errors import UnsupportedField
from edgevirt.virt_launcher.settings import Settings

CloudInitSource = CloudInitNoCloudSource | CloudInitConfigDriveSource

_MOST_KEYS: Final = 128
_LARGEST_KEY: Final = 64 * 1024
_OVMF_PLAIN: Final = (("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"), ("OVMF_CODE.fd", "OVMF_VARS.fd"))
_OVMF_SECURE: Final = (
    ("OVMF_CODE_4M.ms.fd", "OVMF_VARS_4M.ms.fd"),
    ("OVMF_CODE.secboot.fd", "OVMF_VARS.secboot.fd"),
)


def prepare(vmi: VirtualMachineInstance, settings: Settings) -> dict[str, DiskImage]:
    """Make the file of every volume; volume name -> image.

    Raises `UnsupportedField` naming the volume or the field that cannot be had, `OSError` if a file cannot
    be written.
    """
    return {
        volume.name: _image(vmi, volume, index, settings) for index, volume in enumerate(vmi.spec.volumes)
    }


def find_firmware(directories: tuple[Path, ...], *, secure: bool) -> FirmwareFiles | None:
    """The first complete pair of OVMF code and variables in `directories`; None if there is none."""
    for directory in directories:
        for code, variables in _OVMF_SECURE if secure else _OVMF_PLAIN:
            files = FirmwareFiles(directory / code, directory / variables)
            if files.code.is_file() and files.variables.is_file():
                return files
    return None


def find_kernel(vmi: VirtualMachineInstance, settings: Settings) -> DirectKernel | None:
    """The kernel and initrd in the mounted kernel container, if the VMI names one."""
    firmware = vmi.spec.domain.firmware
    boot = firmware.kernel_boot if firmware else None
    if boot is None:
        return None
    field = "spec.domain.firmware.kernelBoot"
    container = boot.container
    if container is None or not container.kernel_path:
        raise UnsupportedField(f"{field}.container.kernelPath", "a kernel is needed to boot from a container")
    try:
        kernel = find_image(settings.kernel_boot_dir, container.kernel_path)
        initrd = find_image(settings.kernel_boot_dir, container.initrd_path) if container.initrd_path else ""
    except (DiskError, OSError) as error:
        raise UnsupportedField(f"{field}.container", str(error)) from error
    return DirectKernel(str(kernel), str(initrd), boot.kernel_args)


def _image(vmi: VirtualMachineInstance, volume: Volume, index: int, settings: Settings) -> DiskImage:
    field = f"spec.volumes[{index}]"
    if not volume.name or "/" in volume.name or volume.name.startswith("."):
        raise UnsupportedField(f"{field}.name", f"{volume.name!r} cannot name a volume")
    directory = settings.ephemeral_disk_dir
    try:
        if volume.container_disk:
            mount = settings.image_volume_dir / f"disk_{index}"
            return _overlay(find_image(mount, volume.container_disk.path), directory / f"{volume.name}.qcow2")
        if volume.empty_disk:
            size = quantity.to_bytes(volume.empty_disk.capacity)
            return _blank(directory / f"{volume.name}.qcow2", size)
        source = volume.cloud_init_no_cloud or volume.cloud_init_config_drive
        if source:
            return _seed(vmi, volume.name, source, field, settings)
    except (DiskError, iso9660.IsoError, quantity.QuantityError) as error:
        raise UnsupportedField(field, str(error)) from error
    except FileNotFoundError as error:
        raise UnsupportedField(field, f"{error.filename} is missing in the pod") from error
    raise UnsupportedField(field, "this kind of volume is not supported by this version of edgevirt")


def _overlay(image: Path, overlay: Path) -> DiskImage:
    header = read_header(image)
    backing = qcow2.Backing(image, header.format)
    qcow2.create(overlay, header.virtual_size, backing)
    direct = supports_direct_io(overlay) and supports_direct_io(image)
    return DiskImage(overlay, ImageFormat.QCOW2, backing, direct_io=direct)


def _blank(path: Path, size: int) -> DiskImage:
    qcow2.create(path, -(-size // SECTOR) * SECTOR)
    return DiskImage(path, ImageFormat.QCOW2, direct_io=supports_direct_io(path))


def _seed(
    vmi: VirtualMachineInstance, name: str, source: CloudInitSource, field: str, settings: Settings
) -> DiskImage:
    is_no_cloud = isinstance(source, CloudInitNoCloudSource)
    field = f"{field}.{'cloudInitNoCloud' if is_no_cloud else 'cloudInitConfigDrive'}"
    mount = settings.secret_dir / name
    user_data = _document(
        field,
        ("userData", source.user_data),
        ("userDataBase64", source.user_data_base64),
        mount if source.secret_ref else None,
        "udata",
        ("userdata", "userData"),
    )
    network_data = _document(
        field,
        ("networkData", source.network_data),
        ("networkDataBase64", source.network_data_base64),
        mount if source.network_data_secret_ref else None,
        "ndata",
        ("networkdata", "networkData"),
    )
    who = documents.identity(
        vmi.metadata.namespace,
        vmi.metadata.name,
        firmware_uuid=str(vmi_uuid(vmi)),
        hostname=vmi.spec.hostname,
        public_keys=_public_keys(vmi, is_no_cloud, settings),
    )
    make = documents.no_cloud if is_no_cloud else documents.config_drive
    label = documents.NO_CLOUD_LABEL if is_no_cloud else documents.CONFIG_DRIVE_LABEL
    path = settings.ephemeral_disk_dir / f"{name}.iso"
    _write(path, iso9660.build(label, make(who, user_data or b"", network_data)))
    return DiskImage(path, ImageFormat.RAW, direct_io=supports_direct_io(path))


def _document(
    field: str,
    plain: tuple[str, str],
    encoded: tuple[str, str],
    mount: Path | None,
    directory: str,
    keys: tuple[str, str],
) -> bytes | None:
    """The one source given: inline text, inline base64, or the mounted Secret."""
    given = [bool(plain[1]), bool(encoded[1]), mount is not None]
    if sum(given) > 1:
        raise UnsupportedField(field, f"choose one source for {plain[0]}: text, base64 or a Secret")
    if plain[1]:
        data = plain[1].encode()
    elif encoded[1]:
        try:
            data = base64.b64decode(encoded[1], validate=True)
        except binascii.Error as error:
            raise UnsupportedField(f"{field}.{encoded[0]}", f"is not base64: {error}") from error
    elif mount is not None:
        data = _secret(field, (mount / directory, mount), keys)
    else:
        return None
    if len(data) > documents.LARGEST_DOCUMENT:
        raise UnsupportedField(
            f"{field}.{plain[0]}", f"has {len(data)} bytes; the limit is {documents.LARGEST_DOCUMENT}"
        )
    return data


def _secret(field: str, places: tuple[Path, ...], keys: tuple[str, str]) -> bytes:
    for place in places:
        for key in keys:
            data = _read(place / key, documents.LARGEST_DOCUMENT + 1)
            if data is not None:
                return data
    raise UnsupportedField(field, f"the Secret has neither a key {keys[0]!r} nor {keys[1]!r}")


def _public_keys(vmi: VirtualMachineInstance, is_no_cloud: bool, settings: Settings) -> tuple[str, ...]:
    keys: list[str] = []
    for index, credential in enumerate(vmi.spec.access_credentials):
        ssh = credential.ssh_public_key
        if ssh is None or ssh.source.secret is None:
            continue
        method = ssh.propagation_method
        if (method.no_cloud if is_no_cloud else method.config_drive) is None:
            continue
        directory = settings.secret_dir / f"{ssh.source.secret.secret_name}-access-cred"
        try:
            names = sorted(name for name in os.listdir(directory) if not name.startswith("."))
        except OSError as error:
            field = f"spec.accessCredentials[{index}].sshPublicKey.source.secret"
            raise UnsupportedField(field, f"is not mounted in the pod: {error.strerror}") from error
        for name in names:
            text = (_read(directory / name, _LARGEST_KEY) or b"").decode(errors="replace")
            keys += [line.strip() for line in text.splitlines() if line.strip()]
    return tuple(keys[:_MOST_KEYS])


def _read(path: Path, most: int) -> bytes | None:
    """At most `most` bytes of a mounted Secret's key; None if it is not a file.

    Kubernetes mounts keys as symbolic links, so links are followed: nobody but the kubelet writes here.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
    draft.rename(path)
