"""The documents of a seed disk."""

from __future__ import annotations

import json

import pytest

from edgevirt.storage.cloudinit import documents

pytestmark = pytest.mark.unit
UUID = "5d307ca9-b3ef-428c-8861-06e72d69f223"


def test_instance_id_is_the_firmware_uuid() -> None:
    assert documents.identity("ns", "vm", firmware_uuid=UUID.upper()).instance_id == UUID


def test_instance_id_without_firmware_uuid_is_stable_per_vm() -> None:
    first = documents.identity("ns", "vm")
    assert first == documents.identity("ns", "vm")
    assert first.instance_id != documents.identity("ns", "other").instance_id
    assert first.instance_id != documents.identity("other", "vm").instance_id


@pytest.mark.parametrize(
    ("hostname", "name", "expected"),
    [
        ("", "vm", "vm"),
        ("web", "vm", "web"),
        ("a.b.c", "vm", "a"),
        ("", "x" * 80, "x" * 63),
        ("", "vm.dev", "vm"),
    ],
)
def test_hostname_is_one_label(hostname: str, name: str, expected: str) -> None:
    assert documents.identity("ns", name, hostname=hostname).hostname == expected


def test_no_cloud_has_meta_data_user_data_and_network_config_only_if_given() -> None:
    who = documents.identity("ns", "vm", firmware_uuid=UUID, public_keys=("ssh-ed25519 A", "ssh-rsa B"))
    files = documents.no_cloud(who, b"#cloud-config\n", None)
    assert set(files) == {"meta-data", "user-data"}
    assert json.loads(files["meta-data"]) == {
        "instance-id": UUID,
        "local-hostname": "vm",
        "public-keys": ["ssh-ed25519 A", "ssh-rsa B"],
    }
    assert documents.no_cloud(who, b"", b"version: 2")["network-config"] == b"version: 2"


def test_config_drive_has_openstacks_layout() -> None:
    who = documents.identity("ns", "vm", firmware_uuid=UUID, public_keys=("k",))
    files = documents.config_drive(who, b"u", b"{}")
    meta = json.loads(files["openstack/latest/meta_data.json"])
    assert (meta["uuid"], meta["hostname"], meta["public_keys"]) == (UUID, "vm", {"0": "k"})
    assert files["openstack/latest/user_data"] == b"u"
    assert files["openstack/latest/network_data.json"] == b"{}"
