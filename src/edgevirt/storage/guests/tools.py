"""Running the external tools an image build needs (apt, dpkg, mke2fs, mtools, qemu-img, ...).

Every tool is run with an argument list, a small explicit environment, a deadline and its own process group,
so that an interrupted build leaves no process behind; what it says on stderr is kept (the last 4 KiB) and
becomes part of the error.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
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
    "setpriv": "util-linux",
    "sgdisk": "gdisk",
    "unshare": "util-linux",
}
"""Tool -> Debian package that carries it, for the error when it is missing."""

_ADVICE = (
    ("no space left on device", "free some disk space and build again"),
    ("you don't have enough free space", "free some disk space and build again"),
    ("could not resolve", "check this machine's network and DNS, or the proxy set in apt's configuration"),
    ("temporary failure resolving", "check this machine's network and DNS"),
    ("could not connect", "check this machine's network, or the proxy set in apt's configuration"),
    ("connection failed", "check this machine's network, or the proxy set in apt's configuration"),
    ("network is unreachable", "check this machine's network"),
    ("connection timed out", "check this machine's network"),
    ("404  not found", "the package lists are old: apt-get update, then build again"),
)
"""What tools say -> what to do about it."""

_WORDS = 4096
_GRACE_SECONDS = 10.0


class BuildError(Exception):
    """An image could not be built. The text says which step failed, why, and what to do."""


def require(*tools: str) -> None:
    """Raise BuildError naming the packages of all tools that are not installed."""
    missing = [tool for tool in tools if shutil.which(tool, path=ENVIRONMENT["PATH"]) is None]
    if missing:
        packages = " ".join(sorted({PACKAGES.get(tool, tool) for tool in missing}))
        verb = "is" if len(missing) == 1 else "are"
        raise BuildError(f"{', '.join(missing)} {verb} not installed: apt-get install {packages}")


def run(
    arguments: Sequence[str | Path],
    *,
    deadline: float = 120.0,
    directory: Path | None = None,
    stdin: bytes | None = None,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """Run one tool to its end and return its stdout. `deadline` is in seconds.

    Raises BuildError if it cannot be started, fails, or runs past its deadline. Then, and when the build is
    interrupted, the tool and all its children are ended before this returns.
    """
    command = [str(argument) for argument in arguments]
    try:
        # However this process ends, and in the moment before Popen returns too, the tool is told to end.
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            cwd=directory,
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**ENVIRONMENT, **_proxy_settings(), **(environment or {})},
            process_group=0,
        )
    except FileNotFoundError as missing:
        raise BuildError("setpriv is not installed: apt-get install util-linux") from missing
    try:
        output, errors = process.communicate(stdin, timeout=deadline)
    except BaseException as interruption:
        _end(process)
        if isinstance(interruption, subprocess.TimeoutExpired):
            raise BuildError(f"{command[0]} did not end within {deadline:.0f} s") from interruption
        raise
    if process.returncode != 0:
        words = errors[-_WORDS:].decode(errors="replace").strip() or "no message"
        raise BuildError(_explained(f"{command[0]} failed with exit code {process.returncode}: {words}"))
    return output


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process group: first so that it can clean up, then for certain."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=_GRACE_SECONDS)


def _explained(words: str) -> str:
    said = words.lower()
    for symptom, advice in _ADVICE:
        if symptom in said:
            return f"{words}\nWhat to do: {advice}."
    return words


def _proxy_settings() -> dict[str, str]:
    """The proxy variables of the caller: apt may need them to reach the archive."""
    names = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return {name: os.environ[name] for name in names if name in os.environ}
