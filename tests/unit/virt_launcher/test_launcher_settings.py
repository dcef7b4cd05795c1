"""The command line, which is KubeVirt's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from edgevirt.virt_launcher.settings import Settings, UsageError, parse

pytestmark = pytest.mark.unit
MINIMAL = ["--name", "vm1", "--uid", "u1", "--namespace", "ns1", "--image-volume"]


def test_kubevirts_command_line_is_understood() -> None:
    values = {
        "--qemu-timeout": "302s",
        "--name": "vm1",
        "--uid": "u-3",
        "--namespace": "ns1",
        "--kubevirt-share-dir": "/run/share",
        "--ephemeral-disk-dir": "/run/disks",
        "--container-disk-dir": "/run/cd",
        "--grace-period-seconds": "45",
        "--hook-sidecars": "0",
        "--ovmf-path": "/usr/share/edk2/ovmf",
        "--disk-memory-limit": "2097152000",
        "--hypervisor": "kvm",
    }
    switches = ("--run-as-nonroot", "--image-volume", "--upgrade-ordinal-ifaces", "--allow-emulation")
    arguments = [word for pair in values.items() for word in pair] + list(switches)
    settings = parse(arguments, {"XDG_CONFIG_HOME": "/run/private", "XDG_RUNTIME_DIR": "/run"})
    assert (settings.domain_name, settings.uid) == ("ns1_vm1", "u-3")
    assert (settings.qemu_timeout, settings.grace_period) == (302.0, 45.0)
    assert settings.socket_dir == Path("/run/share/sockets")
    assert settings.guest_dir == Path("/run/private/u-3")
    assert settings.ovmf_dirs == (Path("/usr/share/edk2/ovmf"), Path("/usr/share/OVMF"))
    assert settings.ephemeral_disk_dir == Path("/run/disks")


def test_defaults_are_the_pods_directories() -> None:
    assert parse(MINIMAL, {}) == Settings("vm1", "ns1", "u1")


@pytest.mark.parametrize(
    ("text", "seconds"), [("4m3s", 243.0), ("1h", 3600.0), ("1.5s", 1.5), ("250ms", 0.25)]
)
def test_timeout_is_a_go_duration(text: str, seconds: float) -> None:
    assert parse([*MINIMAL, f"--qemu-timeout={text}"], {}).qemu_timeout == seconds


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--name, --uid, --namespace must be given"),
        ([*MINIMAL, "--keep-after-failure"], "unknown argument '--keep-after-failure'"),
        ([*MINIMAL, "stray"], "unknown argument 'stray'"),
        ([*MINIMAL, "--hook-sidecars", "1"], "hook sidecars are not supported"),
        ([*MINIMAL, "--hypervisor", "xen"], "'xen' is not supported"),
        ([*MINIMAL, "--qemu-timeout", "soon"], "takes a duration"),
        ([*MINIMAL, "--grace-period-seconds", "-1"], "takes a number"),
        ([*MINIMAL, "--ovmf-path"], "needs a value"),
        ([*MINIMAL, "--run-as-nonroot=maybe"], "takes true or false"),
        ([*MINIMAL, "--image-volume=false", "--uid", "../x"], "is not a UID"),
        (MINIMAL[:-1], "--image-volume must be given"),
    ],
)
def test_command_line_it_cannot_follow_is_refused(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse(arguments, {})


REFERENCE = os.environ.get("EDGEVIRT_REFERENCE", "")


@pytest.mark.skipif(not REFERENCE, reason="EDGEVIRT_REFERENCE is not set")
def test_every_recorded_launcher_pod_is_understood() -> None:
    found = 0
    for path in sorted(Path(REFERENCE, "kubevirt-recordings", "controller").glob("vmi-shape-*.json")):
        for container in _compute_containers(json.loads(path.read_text())):
            parse([argument.replace("<uid-", "uid-") for argument in container.get("args", [])], {})
            found += 1
    assert found


def _compute_containers(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [found for item in value for found in _compute_containers(item)]
    if not isinstance(value, dict):
        return []
    own = [value] if value.get("name") == "compute" and "args" in value else []
    return own + [found for item in value.values() for found in _compute_containers(item)]
