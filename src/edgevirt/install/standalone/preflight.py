"""What must be true of the machine before anything is started; each failure names what to do about it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
from pathlib import Path

from edgevirt.install.standalone.config import Config

PROGRAMS = {
    "crun": "crun",
    "ip": "iproute2",
    "libvirtd": "libvirt-daemon",
    "nft": "nftables",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "skopeo": "skopeo",
    "genisoimage": "genisoimage",
}
"""Program -> Debian package."""
FILES = {
    Path("/usr/lib/cni/bridge"): "containernetworking-plugins",
    Path("/usr/lib/python3/dist-packages/libvirt.py"): "python3-libvirt",
}
MIN_FREE_BYTES = 64 * 1024 * 1024
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    words: str
    next_step: str


def check(config: Config, data: Path, *, ports: bool = True) -> list[Problem]:
    """Everything that would keep edgevirt from working; empty when nothing would. Changes nothing.

    `ports`: look whether they are free, which they are not while a part of edgevirt runs.
    """
    if os.geteuid() != 0:
        return [
            Problem("edgevirt makes namespaces, mounts and bridges, which needs root", "sudo edgevirt up")
        ]
    return [*_packages(), *_kernel(), *_disk(data), *(_ports(config) if ports else ())]


def _packages() -> list[Problem]:
    missing = {
        package for program, package in PROGRAMS.items() if shutil.which(program, path=_SEARCH_PATH) is None
    }
    missing |= {package for path, package in FILES.items() if not path.exists()}
    if not missing:
        return []
    names = " ".join(sorted(missing))
    return [Problem(f"these packages are missing: {names}", f"apt-get install {names}")]


def _kernel() -> list[Problem]:
    problems = []
    if not Path("/dev/net/tun").exists():
        problems.append(Problem("there is no /dev/net/tun, so guests would have no network", "modprobe tun"))
    if "overlay" not in Path("/proc/filesystems").read_text().split():
        problems.append(Problem("the kernel has no overlay file system", "modprobe overlay"))
    return problems


def _disk(data: Path) -> list[Problem]:
    existing = data
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free >= MIN_FREE_BYTES:
        return []
    return [
        Problem(
            f"the disk of {data} has only {free // 2**20} MiB free, and what is acknowledged must fit on it",
            f"free some space: df -h {existing}",
        )
    ]


def _ports(config: Config) -> list[Problem]:
    problems = []
    for key, address, port in (
        ("apiPort", config.api_address, config.api_port),
        ("virtApiPort", "127.0.0.1", config.virt_api_port),
        ("kubeletPort", "127.0.0.1", config.kubelet_port),
        ("virtHandlerPort", "127.0.0.1", config.virt_handler_port),
    ):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                option = "--" + "".join(f"-{c.lower()}" if c.isupper() else c for c in key)
                held = f"{address}:{port} ({key}) cannot be used: {error.strerror}"
                see = f"see who holds it with `ss -ltnp 'sport = :{port}'`"
                problems.append(Problem(held, f"{see}, or choose another: edgevirt up {option} N"))
    return problems
