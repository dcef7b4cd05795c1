"""virt-launcher's command line, which is KubeVirt's, and the directories of its pod.

Flags that concern what this launcher has no part for are accepted only with the value that asks for nothing
(`--hook-sidecars 0`); an unknown flag is refused, so nothing a controller asks for is ignored. Parsed by
hand: argparse would cost 1 MB in every VM's pod.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SWITCHES: Final = ("run-as-nonroot", "image-volume", "upgrade-ordinal-ifaces", "allow-emulation")
_VALUES: Final = (
    "name",
    "uid",
    "namespace",
    "kubevirt-share-dir",
    "ephemeral-disk-dir",
    "container-disk-dir",
    "grace-period-seconds",
    "hook-sidecars",
    "ovmf-path",
    "qemu-timeout",
    "disk-memory-limit",
    "hypervisor",
)
_REQUIRED: Final = ("name", "uid", "namespace")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class UsageError(ValueError):
    """The command line cannot be understood or asks for something that does not exist."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything virt-launcher is told by its pod. Times in seconds."""

    name: str
    namespace: str
    uid: str
    grace_period: float = 30.0
    qemu_timeout: float = 240.0
    share_dir: Path = Path("/var/run/kubevirt")
    private_dir: Path = Path("/var/run/kubevirt-private")
    runtime_dir: Path = Path("/var/run")
    ephemeral_disk_dir: Path = Path("/var/run/kubevirt-ephemeral-disks")
    image_volume_dir: Path = Path("/var/run/kubevirt-image-volume")
    kernel_boot_dir: Path = Path("/var/run/kubevirt-kernel-boot")
    capabilities_dir: Path = Path("/var/cache/edgevirt/libvirt-capabilities")
    ovmf_dirs: tuple[Path, ...] = (Path("/usr/share/OVMF"),)

    @property
    def socket_dir(self) -> Path:
        return self.share_dir / "sockets"

    @property
    def guest_dir(self) -> Path:
        """The guest's consoles and firmware variables."""
        return self.private_dir / self.uid

    @property
    def secret_dir(self) -> Path:
        return self.private_dir / "secret"

    @property
    def domain_name(self) -> str:
        return f"{self.namespace}_{self.name}"


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """The settings of a command line; raises `UsageError` with a message for the pod's log."""
    values, switches = _split(arguments)
    missing = [f"--{name}" for name in _REQUIRED if not values.get(name)]
    if missing:
        raise UsageError(f"{', '.join(missing)} must be given")
    if "/" in values["uid"] or values["uid"] in (".", ".."):
        raise UsageError(f"--uid {values['uid']!r} is not a UID")
    if "image-volume" not in switches:
        raise UsageError("--image-volume must be given: container disks are mounted as image volumes only")
    if _number(values, "hook-sidecars", "0") != 0:
        raise UsageError("--hook-sidecars: hook sidecars are not supported, only 0")
    if values.get("hypervisor", "kvm") != "kvm":
        raise UsageError(f"--hypervisor {values['hypervisor']!r} is not supported, only kvm")
    defaults = Settings(values["name"], values["namespace"], values["uid"])
    ovmf = values.get("ovmf-path")
    return Settings(
        name=values["name"],
        namespace=values["namespace"],
        uid=values["uid"],
        grace_period=_number(values, "grace-period-seconds", "30"),
        qemu_timeout=_seconds("qemu-timeout", values.get("qemu-timeout", "240s")),
        share_dir=Path(values.get("kubevirt-share-dir", defaults.share_dir)),
        private_dir=Path(environment.get("XDG_CONFIG_HOME") or defaults.private_dir),
        runtime_dir=Path(environment.get("XDG_RUNTIME_DIR") or defaults.runtime_dir),
        ephemeral_disk_dir=Path(values.get("ephemeral-disk-dir", defaults.ephemeral_disk_dir)),
        ovmf_dirs=((Path(ovmf),) if ovmf else ()) + defaults.ovmf_dirs,
    )


def _split(arguments: Sequence[str]) -> tuple[dict[str, str], set[str]]:
    values: dict[str, str] = {}
    switches: set[str] = set()
    rest = list(arguments)
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        name = flag.removeprefix("--")
        if not flag.startswith("--") or name not in (*_SWITCHES, *_VALUES):
            raise UsageError(f"unknown argument {flag!r}")
        if name in _SWITCHES:
            if equals and value not in ("true", "false"):
                raise UsageError(f"{flag} takes true or false, not {value!r}")
            if value != "false":
                switches.add(name)
            continue
        if not equals:
            if not rest:
                raise UsageError(f"{flag} needs a value")
            value = rest.pop(0)
        values[name] = value
    return values, switches


def _number(values: Mapping[str, str], name: str, default: str) -> int:
    text = values.get(name, default)
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"--{name} takes a number, not {text!r}")
    return int(text)


def _seconds(name: str, text: str) -> float:
    parts = list(_DURATION.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        raise UsageError(f"--{name} takes a duration such as 4m5s, not {text!r}")
    return sum(float(part[1]) * _SECONDS[part[2]] for part in parts)
