"""From a request to a domain ready to be defined: the VMI is read, its disks are made, its XML is planned.

Kept apart from the rest because it brings the whole VMI type with it, which takes longer to load than the
launcher needs to become ready; it is loaded right after that.
"""

from __future__ import annotations

import msgspec

from edgevirt.api.kubevirt.instance import VirtualMachineInstance
from edgevirt.api.launcher import SyncRequest
from edgevirt.virt_launcher import volumes
from edgevirt.virt_launcher.domain.build import GuestPaths, build_domain, needs_efi, needs_secure_boot
from edgevirt.virt_launcher.domain.domain import Domain
from edgevirt.virt_launcher.domain.errors import UnsupportedField
from edgevirt.virt_launcher.domain.honoured import refuse_unsupported
from edgevirt.virt_launcher.errors import RequestFailed, invalid
from edgevirt.virt_launcher.settings import Settings


def prepare(request: SyncRequest, settings: Settings) -> Domain:
    """Make every file the domain needs; the domain. May be repeated; blocks for some milliseconds.

    Raises `RequestFailed`: Invalid with the field that cannot be honoured, Internal if files cannot be made.
    """
    try:
        vmi = msgspec.json.decode(request.vmi, type=VirtualMachineInstance)
    except msgspec.MsgspecError as error:
        raise invalid(f"the VirtualMachineInstance cannot be read: {error}") from error
    try:
        refuse_unsupported(vmi.spec)
        settings.guest_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        firmware = None
        if needs_efi(vmi):
            firmware = volumes.find_firmware(settings.ovmf_dirs, secure=needs_secure_boot(vmi))
        return build_domain(
            vmi,
            links=request.links,
            images=volumes.prepare(vmi, settings),
            use_kvm=request.use_kvm,
            paths=GuestPaths(settings.guest_dir),
            firmware=firmware,
            kernel=volumes.find_kernel(vmi, settings),
        )
    except UnsupportedField as error:
        raise invalid(str(error)) from error
    except OSError as error:
        raise RequestFailed("Internal", f"the disks cannot be made: {error}") from error
