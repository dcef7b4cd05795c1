"""What a seed disk says: cloud-init's NoCloud and ConfigDrive layouts.

NoCloud has the label `cidata` and the files `meta-data`, `user-data`, `network-config`; ConfigDrive has the
label `config-2` and OpenStack's `openstack/latest` tree. The instance id decides whether a guest runs its
first-boot modules again, so it is derived from the VM's firmware UUID, which is kept over stop and start.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Final

NO_CLOUD_LABEL: Final = "cidata"
CONFIG_DRIVE_LABEL: Final = "config-2"
LARGEST_DOCUMENT: Final = 2 * 1024 * 1024
"""Most bytes of user data or network data, whatever their source; a Secret holds at most 1 MiB."""
_IDENTITY: Final = uuid.UUID("6f3b2f2c-64a5-5d43-9d6a-4c1f9a3d6b10")


@dataclass(frozen=True, slots=True)
class InstanceIdentity:
    """Who the guest is, stable for the life of the VM."""

    instance_id: str
    hostname: str
    public_keys: tuple[str, ...] = ()


def identity(
    namespace: str,
    name: str,
    *,
    firmware_uuid: str = "",
    hostname: str = "",
    public_keys: tuple[str, ...] = (),
) -> InstanceIdentity:
    """The identity of a VM. Without a firmware UUID the id is derived from namespace and name.

    The host name is the first label of `hostname`, else of `name`, at most 63 characters.
    """
    instance_id = firmware_uuid or str(uuid.uuid5(_IDENTITY, f"{namespace}/{name}"))
    label = (hostname or name).split(".", 1)[0][:63].rstrip("-")
    return InstanceIdentity(instance_id.lower(), label, public_keys)


def no_cloud(who: InstanceIdentity, user_data: bytes, network_data: bytes | None) -> dict[str, bytes]:
    """The files of a NoCloud seed; `network_data` None leaves the guest to its own network default."""
    meta: dict[str, object] = {"instance-id": who.instance_id, "local-hostname": who.hostname}
    if who.public_keys:
        meta["public-keys"] = list(who.public_keys)
    files = {"meta-data": _json(meta), "user-data": user_data}
    if network_data is not None:
        files["network-config"] = network_data
    return files


def config_drive(who: InstanceIdentity, user_data: bytes, network_data: bytes | None) -> dict[str, bytes]:
    """The files of a ConfigDrive seed; network data is network_data.json exactly as the user wrote it."""
    meta: dict[str, object] = {
        "uuid": who.instance_id,
        "instance_id": who.instance_id,
        "hostname": who.hostname,
        "local_hostname": who.hostname,
    }
    if who.public_keys:
        meta["public_keys"] = {str(index): key for index, key in enumerate(who.public_keys)}
    files = {"openstack/latest/meta_data.json": _json(meta), "openstack/latest/user_data": user_data}
    if network_data is not None:
        files["openstack/latest/network_data.json"] = network_data
    return files


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
