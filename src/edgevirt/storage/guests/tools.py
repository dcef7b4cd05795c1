"""Running the external tools an image build needs (apt, dpkg, mke2fs, mtools, qemu-img, ...).

Every tool is run with an argument list, a small explicit environment and a deadline; what it says on
stderr is kept (the last 4 KiB) and becomes part of the error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}

PACKAGES = {
    "cpio": "cpio",
    "depmod": "kmod",
    "dpkg-deb": "dpkg",
    "mcopy": "mtools",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "sgdisk": "gdisk",
}
"""Tool -> Debian package that carries it, for the error when it is missing."""


class BuildError(Exception):
    """An image could not be built. The text says which step failed, why, and what to do."""


def require(*tools: str) -> None:
    """Raise BuildError naming the package of the first tool that is not installed."""
    for tool in tools:
        if shutil.which(tool, path=ENVIRONMENT["PATH"]) is None:
            package = PACKAGES.get(tool, tool)
            raise BuildError(f"{tool} is not installed: apt-get install {package}")


def run(
    arguments: Sequence[str | Path],
    *,
    deadline: float = 120.0,
    directory: Path | None = None,
    stdin: bytes | None = None,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """Run one tool to its end and return its stdout. `deadline` is in seconds.

    Raises BuildError if it cannot be started, fails, or runs past its deadline (it is killed then).
    """
    command = [str(argument) for argument in arguments]
    env = {**ENVIRONMENT, **_proxy_settings(), **(environment or {})}
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            timeout=deadline,
            env=env,
            check=False,
        )
    except FileNotFoundError as missing:
        raise BuildError(f"{command[0]} is not installed") from missing
    except subprocess.TimeoutExpired as late:
        raise BuildError(f"{command[0]} did not end within {deadline:.0f} s") from late
    if done.returncode != 0:
        words = done.stderr[-4096:].decode(errors="replace").strip() or "no message"
        raise BuildError(f"{command[0]} failed with exit code {done.returncode}: {words}")
    return done.stdout


def _proxy_settings() -> dict[str, str]:
    """The proxy variables of the caller: apt may need them to reach the archive."""
    names = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return {name: os.environ[name] for name in names if name in os.environ}
