"""The pod's private libvirtd: its configuration, its socket, its start.

It runs unprivileged as a session daemon with the QEMU driver alone, keeps everything in the pod's emptyDirs
and takes its socket from us, as systemd would hand it over: the socket exists before libvirtd does and
outlives it, so a client neither looks for it nor fails while libvirtd is away, it waits. This module imports
little, so that libvirtd is on its way while the rest of the launcher is still being loaded.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgevirt.virt_launcher.settings import Settings

PROGRAM: Final = "/usr/sbin/libvirtd"
_DRIVER: Final = "libvirt_driver_qemu.so"
_DRIVER_DIRS: Final = (
    "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver",
    "/usr/lib64/libvirt/connection-driver",
)
_QEMU_CONF: Final = """\
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
stdio_handler = "file"
namespaces = [ ]
cgroup_controllers = [ ]
seccomp_sandbox = 1
"""
_LIBVIRTD_CONF: Final = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
min_workers = 1
max_workers = 6
prio_workers = 1
max_clients = 16
max_anonymous_clients = 16
keepalive_interval = -1
log_outputs = "3:file:{log}"
"""
_FIRST_LISTENING_FD: Final = 3
_MOST_CAPABILITIES_BYTES: Final = 4 << 20


class LibvirtdFailed(RuntimeError):
    """libvirtd does not start or does not stay; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class DaemonPaths:
    """Where the daemon keeps its things; `for_settings` puts them into the pod's volumes."""

    config: Path
    runtime: Path
    cache: Path

    @classmethod
    def for_settings(cls, settings: Settings) -> DaemonPaths:
        private = settings.private_dir / "libvirt"
        return cls(private, settings.runtime_dir / "libvirt", private)

    @property
    def socket(self) -> Path:
        return self.runtime / "libvirt-sock"

    @property
    def log(self) -> Path:
        return self.config / "libvirtd.log"

    @property
    def output(self) -> Path:
        """What libvirtd itself prints: only about its own command line and configuration."""
        return self.config / "libvirtd.out"

    @property
    def capabilities(self) -> Path:
        return self.cache / "qemu" / "cache" / "capabilities"

    def qemu_log(self, domain_name: str) -> Path:
        return self.cache / "qemu" / "log" / f"{domain_name}.log"

    @property
    def uri(self) -> str:
        return f"qemu+unix:///session?socket={self.socket}&mode=legacy"


def prepare(paths: DaemonPaths, warm_capabilities: Path) -> None:
    """Write the configuration; take over the node's record of what its QEMU can do, if there is one.

    Without that record libvirtd starts QEMU twice to find out, which costs the first start 0.6 s. libvirt
    checks it against the QEMU and the kernel it finds, so a stale one is as good as none.
    """
    paths.runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    drivers = paths.config / "drivers"
    drivers.mkdir(mode=0o700, parents=True, exist_ok=True)
    source = next((Path(d) / _DRIVER for d in _DRIVER_DIRS if (Path(d) / _DRIVER).exists()), None)
    if source is None:
        raise LibvirtdFailed(
            f"libvirt's QEMU driver is not installed (no {_DRIVER} in {', '.join(_DRIVER_DIRS)})"
        )
    with contextlib.suppress(FileExistsError):
        (drivers / _DRIVER).symlink_to(source)
    (paths.config / "qemu.conf").write_text(_QEMU_CONF)
    (paths.config / "libvirtd.conf").write_text(_LIBVIRTD_CONF.format(log=paths.log))
    paths.capabilities.mkdir(mode=0o700, parents=True, exist_ok=True)
    # libvirt discards a record made by somebody whose view of /dev/kvm was another.
    view = "kvm" if os.access("/dev/kvm", os.R_OK | os.W_OK) else "emulation"
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for record in (warm_capabilities / view).glob("*.xml"):
            if record.stat().st_size <= _MOST_CAPABILITIES_BYTES:
                (paths.capabilities / record.name).write_bytes(record.read_bytes())


def environment(paths: DaemonPaths, inherited: Mapping[str, str]) -> dict[str, str]:
    """libvirtd's whole environment; QEMU gets a part of it from libvirtd."""
    home = str(paths.config.parent)
    return {
        "PATH": inherited.get("PATH") or "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": home,
        "XDG_CONFIG_HOME": home,
        "XDG_CACHE_HOME": str(paths.cache.parent),
        "XDG_DATA_HOME": home,
        "XDG_RUNTIME_DIR": str(paths.runtime.parent),
        "LIBVIRT_DRIVER_DIR": str(paths.config / "drivers"),
        "LISTEN_FDS": "1",
        "LISTEN_FDNAMES": "libvirtd.socket",
    }


def listen(paths: DaemonPaths) -> socket.socket:
    """The socket libvirtd will serve; connecting to it succeeds from now on."""
    with contextlib.suppress(FileNotFoundError):
        paths.socket.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listening.bind(str(paths.socket))
    paths.socket.chmod(0o600)
    listening.listen(16)
    return listening


def spawn(paths: DaemonPaths, listening: socket.socket) -> int:
    """Start libvirtd in a session of its own; its pid, which the caller must wait for."""
    # The receiver of a socket checks that it is meant by its own pid, which only the shell knows in time.
    handover = ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "libvirtd", PROGRAM]
    arguments = ["-f", str(paths.config / "libvirtd.conf"), "-p", str(paths.runtime / "libvirtd.pid")]
    output_flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    return os.posix_spawn(
        handover[0],
        handover + arguments,
        environment(paths, os.environ),
        file_actions=[
            (os.POSIX_SPAWN_DUP2, listening.fileno(), _FIRST_LISTENING_FD),
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(paths.output), output_flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGTERM),
        setsigmask=(),
    )


def tail(path: Path, most: int) -> str:
    """At most the last `most` bytes of a log as text, without control characters; "" if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with open(descriptor, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - most))
        text = file.read(most).decode(errors="replace")
    return "".join(c for c in text if c >= " " or c in "\n\t").strip()
