"""What runs inside the guests: every script parses, and the tiny guest reads its seed rightly."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from edgevirt.storage.guests import debian, tiny

pytestmark = pytest.mark.unit

SCRIPTS = {
    "tiny init": tiny._INIT,
    "tiny dhcp": tiny._DHCP,
    "tiny power button": tiny._POWER_BUTTON,
    "tiny shutdown": tiny._SHUTDOWN,
    "debian setup": debian.SETUP,
    "debian customize": debian.CUSTOMIZE,
    "debian initramfs hook": debian.INITRAMFS_HOOK,
}


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("shell", [["/bin/sh"], ["/bin/busybox", "sh"]], ids=["dash", "busybox"])
def test_script_parses(name: str, shell: list[str]) -> None:
    checked = subprocess.run([*shell, "-n"], input=SCRIPTS[name].encode(), capture_output=True, timeout=10)
    assert (checked.returncode, checked.stderr) == (0, b"")
    assert SCRIPTS[name].startswith("#!/bin/sh\n")


def _init_block(first: str, last: str) -> str:
    found = re.search(
        rf"^ *{re.escape(first)}.*?{re.escape(last)}[^\n]*$", tiny._INIT, re.DOTALL | re.MULTILINE
    )
    assert found, f"the init script has no lines from {first} to {last}"
    return found.group()


@pytest.mark.parametrize(
    ("meta_data", "expected"),
    [
        ("instance-id: i-1\nlocal-hostname: box\n", "box"),
        ('local-hostname: "box"\n', "box"),
        ('{"instance-id": "i-1", "local-hostname": "box"}', "box"),
        ('{"local-hostname":"box-7.example","instance-id":"i-1"}', "box-7.example"),
        ("instance-id: i-1\n", ""),
    ],
)
def test_tiny_takes_its_host_name_from_meta_data(tmp_path: Path, meta_data: str, expected: str) -> None:
    (tmp_path / "meta-data").write_text(meta_data)
    block = _init_block("json=", "tr -d")
    script = f'seed={tmp_path}\n{block}\nprintf %s "$name"\n'
    run = subprocess.run(
        ["/bin/busybox", "sh", "-c", script], capture_output=True, text=True, timeout=10, check=True
    )
    assert run.stdout == expected


@pytest.mark.parametrize(
    ("user_data", "expected"),
    [
        ("#cloud-config\npassword: secret\nchpasswd: { expire: false }\n", "secret"),
        ('#cloud-config\npassword: "two words"\n', "two words"),
        ("#cloud-config\nhostname: box\n", ""),
        ("#!/bin/sh\necho hello\n", ""),
    ],
)
def test_tiny_takes_its_password_from_a_cloud_config(tmp_path: Path, user_data: str, expected: str) -> None:
    (tmp_path / "user-data").write_text(user_data)
    script = f'seed={tmp_path}\n{_init_block("password=", "tr -d")}\nprintf %s "$password"\n'
    run = subprocess.run(
        ["/bin/busybox", "sh", "-c", script], capture_output=True, text=True, timeout=10, check=True
    )
    assert run.stdout == expected


def test_debian_has_the_cloud_init_modules_that_the_documented_keys_need() -> None:
    config = yaml.safe_load(debian.CLOUD_CONFIG)
    modules = {module for stage in ("init", "config", "final") for module in config[f"cloud_{stage}_modules"]}
    assert modules >= {"set_hostname", "users-groups", "ssh", "set-passwords", "runcmd", "write-files"}
    assert modules >= {"growpart", "resizefs", "scripts-user", "bootcmd"}


def test_documentation_names_every_cloud_init_module_that_is_left() -> None:
    page = (Path(__file__).parents[4] / "docs/guests.md").read_text()
    config = yaml.safe_load(debian.CLOUD_CONFIG)
    for stage in ("init", "config", "final"):
        for module in config[f"cloud_{stage}_modules"]:
            assert f"`{module}`" in page, f"docs/guests.md does not name cloud-init's module {module}"


def test_debian_initramfs_loads_every_disk_bus_and_the_cd_rom() -> None:
    assert set(debian.INITRAMFS_HOOK.split()) >= {
        "virtio_blk",
        "virtio_scsi",
        "ahci",
        "sd_mod",
        "sr_mod",
        "isofs",
    }


def test_tiny_knows_every_nic_model_and_disk_bus_it_can_meet() -> None:
    assert set(tiny.MODULES) >= {
        "virtio_net",
        "e1000",
        "e1000e",
        "virtio_blk",
        "virtio_scsi",
        "ahci",
        "sr_mod",
    }
