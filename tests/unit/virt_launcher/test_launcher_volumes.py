"""From volumes to files, on real files in a temporary pod."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import pytest
from launcher_cases import UID, make_vmi

from edgevirt.api.launcher import SyncRequest
from edgevirt.storage.disks.header import ImageFormat
from edgevirt.virt_launcher import volumes
from edgevirt.virt_launcher.domain.errors import UnsupportedField
from edgevirt.virt_launcher.errors import RequestFailed
from edgevirt.virt_launcher.preparation import prepare
from edgevirt.virt_launcher.settings import Settings

pytestmark = pytest.mark.unit


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = dataclasses.replace(
        Settings("vm1", "default", UID),
        private_dir=tmp_path / "private",
        ephemeral_disk_dir=tmp_path / "disks",
        image_volume_dir=tmp_path / "images",
        kernel_boot_dir=tmp_path / "kernel",
        ovmf_dirs=(tmp_path / "ovmf",),
    )
    for path in (made.private_dir, made.ephemeral_disk_dir, made.kernel_boot_dir):
        path.mkdir()
    return made


def container_disk(settings: Settings, index: int, content: bytes = b"\0" * 4096) -> Path:
    path = settings.image_volume_dir / f"disk_{index}" / "disk" / "guest.img"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def with_volumes(*given: dict[str, Any], **spec: Any) -> Any:
    disks = [{"name": volume["name"], "disk": {"bus": "virtio"}} for volume in given]
    return make_vmi(
        {"domain": {"memory": {"guest": "64Mi"}, "devices": {"disks": disks}}, "volumes": list(given), **spec}
    )


def seed(settings: Settings, source: dict[str, Any], kind: str = "cloudInitNoCloud", **spec: Any) -> bytes:
    images = volumes.prepare(with_volumes({"name": "seed", kind: source}, **spec), settings)
    return images["seed"].path.read_bytes()


def test_container_disk_is_looked_for_under_its_place_among_the_volumes(settings: Settings) -> None:
    image = container_disk(settings, 1)
    vmi = with_volumes(
        {"name": "a", "emptyDisk": {"capacity": "1M"}}, {"name": "b", "containerDisk": {"image": "x"}}
    )
    made = volumes.prepare(vmi, settings)
    assert made["b"].backing is not None
    assert (made["b"].backing.path, made["b"].backing.format) == (image, ImageFormat.RAW)
    assert made["b"].path == settings.ephemeral_disk_dir / "b.qcow2"
    assert made["a"].backing is None


def test_missing_container_disk_is_named(settings: Settings) -> None:
    with pytest.raises(UnsupportedField, match=r"spec\.volumes\[0\].*missing in the pod"):
        volumes.prepare(with_volumes({"name": "b", "containerDisk": {"image": "x"}}), settings)


@pytest.mark.parametrize("capacity", ["0", "lots", "100Ti"])
def test_impossible_capacity_is_refused_by_name(settings: Settings, capacity: str) -> None:
    with pytest.raises(UnsupportedField, match=r"spec\.volumes\[0\]"):
        volumes.prepare(with_volumes({"name": "b", "emptyDisk": {"capacity": capacity}}), settings)


@pytest.mark.parametrize("name", ["", "../x", ".x"])
def test_volume_name_cannot_lead_elsewhere(settings: Settings, name: str) -> None:
    with pytest.raises(UnsupportedField, match="cannot name a volume"):
        volumes.prepare(with_volumes({"name": name, "emptyDisk": {"capacity": "1M"}}), settings)


def test_user_data_comes_as_text_or_base64(settings: Settings) -> None:
    assert b"#cloud-config text" in seed(settings, {"userData": "#cloud-config text"})
    encoded = base64.b64encode(b"#cloud-config encoded").decode()
    assert b"#cloud-config encoded" in seed(settings, {"userDataBase64": encoded})
    assert b"version: 2" in seed(settings, {"userData": "x", "networkData": "version: 2"})


@pytest.mark.parametrize("directory", ["udata", "."])
@pytest.mark.parametrize("key", ["userdata", "userData"])
def test_user_data_comes_from_a_mounted_secret(settings: Settings, key: str, directory: str) -> None:
    mount = settings.secret_dir / "seed" / directory
    (mount / "..data").mkdir(parents=True)
    (mount / "..data" / key).write_text("#cloud-config secret")
    (mount / key).symlink_to(Path("..data") / key)
    assert b"#cloud-config secret" in seed(settings, {"secretRef": {"name": "s"}})


def test_secret_without_the_key_is_refused_even_if_a_directory_stands_there(settings: Settings) -> None:
    (settings.secret_dir / "seed" / "userdata").mkdir(parents=True)
    with pytest.raises(UnsupportedField, match="neither a key 'userdata' nor 'userData'"):
        seed(settings, {"secretRef": {"name": "s"}})


def test_bad_seeds_are_refused_by_field(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedField, match=r"cloudInitNoCloud\.userDataBase64: is not base64"):
        seed(settings, {"userDataBase64": "###"})
    with pytest.raises(UnsupportedField, match="choose one source for userData"):
        seed(settings, {"userData": "a", "userDataBase64": "YQ=="})
    monkeypatch.setattr(volumes.documents, "LARGEST_DOCUMENT", 10)
    with pytest.raises(UnsupportedField, match="11 bytes; the limit is 10"):
        seed(settings, {"userData": "x" * 11})


def test_ssh_keys_reach_only_the_seed_they_are_meant_for(settings: Settings) -> None:
    keys = settings.secret_dir / "keys-access-cred"
    keys.mkdir(parents=True)
    (keys / "one").write_text("ssh-ed25519 AAAA one\n\nssh-ed25519 BBBB two\n")
    (keys / "..data").mkdir()
    credential = {
        "sshPublicKey": {
            "source": {"secret": {"secretName": "keys"}},
            "propagationMethod": {"noCloud": {}},
        }
    }
    image = seed(settings, {"userData": "x"}, accessCredentials=[credential])
    assert b'"ssh-ed25519 AAAA one"' in image
    assert b'"ssh-ed25519 BBBB two"' in image
    assert b"ssh-ed25519" not in seed(
        settings, {"userData": "x"}, "cloudInitConfigDrive", accessCredentials=[credential]
    )


def test_firmware_is_found_by_either_distributions_name(tmp_path: Path) -> None:
    for name in ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd", "OVMF_CODE.secboot.fd", "OVMF_VARS.secboot.fd"):
        (tmp_path / name).touch()
    missing = tmp_path / "missing"
    plain = volumes.find_firmware((missing, tmp_path), secure=False)
    secure = volumes.find_firmware((missing, tmp_path), secure=True)
    assert plain is not None
    assert secure is not None
    assert (plain.code.name, secure.code.name) == ("OVMF_CODE_4M.fd", "OVMF_CODE.secboot.fd")
    assert volumes.find_firmware((missing,), secure=False) is None


def test_kernel_is_taken_from_the_mounted_container(settings: Settings) -> None:
    boot = {"kernelArgs": "quiet", "container": {"image": "x", "kernelPath": "/vmlinuz"}}
    vmi = make_vmi({"domain": {"devices": {}, "firmware": {"kernelBoot": boot}}})
    with pytest.raises(UnsupportedField, match=r"kernelBoot\.container: .*no usable /vmlinuz"):
        volumes.find_kernel(vmi, settings)
    (settings.kernel_boot_dir / "vmlinuz").touch()
    kernel = volumes.find_kernel(vmi, settings)
    assert kernel is not None
    assert (kernel.kernel, kernel.initrd, kernel.arguments) == (
        f"{settings.kernel_boot_dir}/vmlinuz",
        "",
        "quiet",
    )


def test_request_becomes_a_domain_and_its_errors_become_answers(settings: Settings) -> None:
    vmi = with_volumes({"name": "b", "emptyDisk": {"capacity": "1Gi"}})
    domain = prepare(SyncRequest(vmi=msgspec.Raw(msgspec.json.encode(vmi))), settings)
    assert domain.disks[0].path.endswith("b.qcow2")
    assert settings.guest_dir.stat().st_mode & 0o777 == 0o700
    for raw, words in (
        (b'{"spec": 3}', "cannot be read"),
        (b'{"spec": {"domain": {"devices": {"tpm": {}}}}}', "tpm"),
    ):
        with pytest.raises(RequestFailed, match=words) as caught:
            prepare(SyncRequest(vmi=msgspec.Raw(raw)), settings)
        assert caught.value.reason == "Invalid"
