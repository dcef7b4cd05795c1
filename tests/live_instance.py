"""An edgevirt of its own for tests: a temporary root, free ports, its own bridge, subnet and control group.

The tiny guest's image is built once through the command and kept in a cache directory under a name made from
the sources that build it, so later runs only import it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import edgevirt.storage.guests

EDGEVIRT = Path(sys.executable).with_name("edgevirt")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgevirt-tests"
IMAGE = "tiny"
_CACHED_IMAGES = 3
"""How many images of earlier sources are kept; the least recently used go."""


class Instance:
    """Made at once, running after `up`. Paths are short: sockets deep below the root must stay nameable."""

    def __init__(self) -> None:
        self.name = f"evt-{secrets.token_hex(3)}"
        self.root = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir="/tmp"))
        self.root.chmod(0o711)
        self.subnet = _free_subnet()
        self.bridge = self.name
        self.cgroup = self.name
        self._ports = _free_ports(4)

    @property
    def gateway(self) -> str:
        """The machine's own address on the bridge."""
        return str(next(self.subnet.hosts()))

    @property
    def kubeconfig(self) -> Path:
        return self.root / "etc/edgevirt/admin.conf"

    @property
    def data(self) -> Path:
        return self.root / "var/lib/edgevirt"

    @property
    def run_dir(self) -> Path:
        return self.root / "run/edgevirt"

    @property
    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "EDGEVIRT_ROOT": str(self.root), "KUBECONFIG": str(self.kubeconfig)}

    def edgevirt(
        self, *arguments: str, timeout: float = 180.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the command on this instance; fails the test if it fails and `check`."""
        done = subprocess.run(
            [str(EDGEVIRT), *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"edgevirt {' '.join(arguments)}: {done.stderr}{self.logs()}")
        return done

    def up(self) -> None:
        options = ("--api-port", "--virt-api-port", "--kubelet-port", "--virt-handler-port")
        ports = [word for pair in zip(options, map(str, self._ports), strict=True) for word in pair]
        self.edgevirt(
            "up", *ports, "--bridge", self.bridge, "--cgroup", self.cgroup, "--pod-subnet", str(self.subnet)
        )

    def up_if_down(self) -> None:
        """Start whatever does not run, with the settings of the first start."""
        if len(self.processes()) < 2:
            self.edgevirt("up")

    def down(self, timeout: float = 60.0) -> None:
        self.edgevirt("down", "--timeout", str(timeout), timeout=timeout + 90)

    def processes(self) -> dict[str, int]:
        """The pids of the running processes by name (control-plane, node)."""
        status = json.loads(self.edgevirt("status", "-o", "json", check=False).stdout)
        return {name: of["pid"] for name, of in status["processes"].items() if of["pid"] is not None}

    def provide_image(self) -> None:
        """Have the tiny guest's image in the instance's store."""
        cached = CACHE / f"{IMAGE}-{_sources_digest()}.qcow2"
        if cached.exists():
            cached.touch()
            self.edgevirt("image", "import", str(cached), IMAGE)
            return
        self.edgevirt("image", "build", IMAGE, timeout=600)
        (disk,) = (self.data / "images/trees").glob(f"*/disk/{IMAGE}.qcow2")
        CACHE.mkdir(parents=True, exist_ok=True)
        part = cached.with_name(f"{cached.name}.{os.getpid()}")
        shutil.copyfile(disk, part)
        part.replace(cached)
        for old in sorted(CACHE.glob("*.qcow2"), key=lambda path: path.stat().st_mtime)[:-_CACHED_IMAGES]:
            old.unlink()
        shutil.rmtree(self.data / "guests")

    def disk_of_image(self) -> Path:
        """A file with the tiny guest's disk, to import under other names."""
        return CACHE / f"{IMAGE}-{_sources_digest()}.qcow2"

    def logs(self) -> str:
        """The end of both processes' logs."""
        parts = []
        for path in sorted((self.root / "var/log/edgevirt").glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-40:]
            parts.append(f"\n--- {path.name}\n" + "\n".join(line[:400] for line in lines))
        return "".join(parts)

    def remove(self) -> None:
        """Delete the root; never through a mount that was left behind, which may lead out of it."""
        if f" {self.root}/" in Path("/proc/self/mountinfo").read_text():
            raise AssertionError(f"something is still mounted below {self.root}; it is not deleted")
        shutil.rmtree(self.root)


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(edgevirt.storage.guests.__path__[0]).glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below the range the kernel gives to outgoing connections."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def _free_subnet() -> ipaddress.IPv4Network:
    """A /24 of 10.245.0.0/16 that no route of this machine touches."""
    shown = subprocess.run(
        ["ip", "-j", "-4", "route", "show", "table", "all"], capture_output=True, check=True
    )
    routes = [
        ipaddress.ip_network(route["dst"], strict=False)
        for route in json.loads(shown.stdout)
        if route["dst"] != "default"
    ]
    candidates = list(ipaddress.ip_network("10.245.0.0/16").subnets(new_prefix=24))
    random.shuffle(candidates)
    for candidate in candidates:
        if not any(candidate.overlaps(route) for route in routes):
            assert isinstance(candidate, ipaddress.IPv4Network)
            return candidate
    raise AssertionError("10.245.0.0/16 is in use on this machine")
