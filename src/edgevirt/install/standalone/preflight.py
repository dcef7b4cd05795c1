"""What must be true of the machine before anything is started; each failure names what to do about it."""

from __future__ import annotations

import dataclasses
import errno
import ipaddress
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from edgevirt.install.standalone.config import Config
from edgevirt.install.standalone.supervise import SEARCH_PATH

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
    problems = [*_packages(), *_kernel(), *_disk(data), *_network(config), *_audit(config)]
    return [*problems, *(_ports(config) if ports else ())]


def _packages() -> list[Problem]:
    missing = {
        package for program, package in PROGRAMS.items() if shutil.which(program, path=SEARCH_PATH) is None
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


def _audit(config: Config) -> list[Problem]:
    if not config.audit_policy:
        return []
    from edgevirt.engine.apiserver.audit import WORDS, PolicyError, load

    try:
        load(config.audit_policy)
    except PolicyError as error:
        step = f"edgevirt up --audit-policy with one of {', '.join(WORDS)} or the path of a policy file"
        return [Problem(f"the audit policy cannot be used: {error}", step)]
    return []


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


def _network(config: Config, routes: Path = Path("/proc/net/route")) -> list[Problem]:
    """The bridge must be ours or new, and the pod subnet nobody else's on this machine."""
    link = Path("/sys/class/net") / config.bridge
    if link.exists() and not (link / "bridge").is_dir():
        return [
            Problem(
                f"there is a network interface {config.bridge} already, and it is not a bridge",
                "choose another: edgevirt up --bridge NAME",
            )
        ]
    subnet = ipaddress.IPv4Network(config.pod_subnet)
    for name, network in _routes(routes):
        if name != config.bridge and network.prefixlen > 0 and network.overlaps(subnet):
            return [
                Problem(
                    f"the pod subnet {subnet} overlaps with {network}, which this machine reaches by {name}",
                    "choose another: edgevirt up --pod-subnet 10.N.0.0/24",
                )
            ]
    return []


def _routes(table: Path) -> Iterator[tuple[str, ipaddress.IPv4Network]]:
    """Interface and destination of every IPv4 route; addresses are in the machine's byte order there."""
    for line in table.read_text().splitlines()[1:]:
        fields = line.split()
        address, mask = (int(fields[i], 16).to_bytes(4, sys.byteorder) for i in (1, 7))
        bits = int.from_bytes(mask, "big").bit_count()
        yield fields[0], ipaddress.IPv4Network((address, bits))


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
                if error.errno == errno.EADDRNOTAVAIL:
                    words = f"{address} (apiAddress) is no address of this machine"
                    problems.append(
                        Problem(words, "see `ip -br address`, or edgevirt up --api-address 0.0.0.0")
                    )
                    continue
                option = "--" + "".join(f"-{c.lower()}" if c.isupper() else c for c in key)
                held = f"{address}:{port} ({key}) cannot be used: {error.strerror}"
                see = f"see who holds it with `ss -ltnp 'sport = :{port}'`"
                problems.append(Problem(held, f"{see}, or choose another: edgevirt up {option} N"))
    return problems
