"""Where everything of one edgevirt instance lies on disk.

Configuration and keys in /etc/edgevirt, data in /var/lib/edgevirt, sockets and pid files in /run/edgevirt,
logs in /var/log/edgevirt. `$EDGEVIRT_ROOT` is put before all of them, so that several instances can live on
one machine.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

ROOT_VARIABLE = "EDGEVIRT_ROOT"


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    root: Path = Path("/")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Layout:
        """The layout below `$EDGEVIRT_ROOT`, or below / if that is not set. Raises ValueError if relative."""
        root = Path(environment.get(ROOT_VARIABLE) or "/")
        if not root.is_absolute():
            raise ValueError(f"{ROOT_VARIABLE} is '{root}' but must be an absolute path")
        return cls(root)

    @property
    def etc(self) -> Path:
        return self.root / "etc/edgevirt"

    @property
    def config_file(self) -> Path:
        return self.etc / "config.yaml"

    @property
    def pki(self) -> Path:
        return self.etc / "pki"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.etc / "admin.conf"

    def kubeconfig(self, component: str) -> Path:
        return self.etc / "kubeconfig" / f"{component}.conf"

    @property
    def data(self) -> Path:
        return self.root / "var/lib/edgevirt"

    @property
    def store(self) -> Path:
        return self.data / "store"

    @property
    def images(self) -> Path:
        return self.data / "images"

    @property
    def pods(self) -> Path:
        return self.data / "pods"

    @property
    def guests(self) -> Path:
        """Work directory of image builds; downloads stay in it."""
        return self.data / "guests"

    @property
    def host_image(self) -> Path:
        """Layer above the machine's own root that makes it the launchers' image."""
        return self.data / "host-image"

    @property
    def capabilities(self) -> Path:
        """libvirt's records of what this machine's QEMU can do, bound into every launcher."""
        return self.data / "libvirt-capabilities"

    @property
    def handler_state(self) -> Path:
        return self.data / "virt-handler"

    @property
    def run(self) -> Path:
        return self.root / "run/edgevirt"

    @property
    def logs(self) -> Path:
        return self.root / "var/log/edgevirt"

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit/audit.log"

    def log_file(self, process: str) -> Path:
        return self.logs / f"{process}.log"

    def create(self) -> None:
        """Make the directories that must exist before anything starts. Idempotent."""
        for directory, mode in (
            (self.etc, 0o755),
            (self.pki, 0o700),
            (self.etc / "kubeconfig", 0o700),
            (self.data, 0o711),
            (self.store, 0o700),
            (self.run, 0o755),
            (self.logs, 0o750),
            (self.handler_state, 0o700),
        ):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(mode)
