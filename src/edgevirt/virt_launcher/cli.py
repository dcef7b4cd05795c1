"""The program: command line in, libvirtd off as early as can be, then everything else."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Final

from edgevirt.virt_launcher.libvirtd import DaemonPaths, LibvirtdFailed, listen, prepare, spawn
from edgevirt.virt_launcher.settings import UsageError, parse

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class KeyValueFormatter(logging.Formatter):
    """`time level message key=value ...`: constant messages, details as pairs."""

    def format(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {key}={value!r}" for key, value in record.__dict__.items() if key not in _STANDARD)
        return f"{super().format(record)}{pairs}"


def main(arguments: Sequence[str]) -> int:
    """Run virt-launcher; the exit code. 2 for a command line it cannot follow."""
    handler = logging.StreamHandler()
    handler.setFormatter(KeyValueFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        settings = parse(arguments, os.environ)
    except UsageError as error:
        print(f"virt-launcher: {error}", file=sys.stderr)
        return 2
    if os.geteuid() == 0:
        print("virt-launcher: refuses to run as root; run it as the pod's unprivileged user", file=sys.stderr)
        return 2
    os.umask(0o077)
    paths = DaemonPaths.for_settings(settings)
    try:
        prepare(paths, settings.capabilities_dir)
        listening = listen(paths)
        pid = spawn(paths, listening)
    except (OSError, LibvirtdFailed) as error:
        print(f"virt-launcher: libvirtd cannot be started: {error}", file=sys.stderr)
        return 1
    # libvirtd starts up on another core while the libraries below are read.
    import asyncio

    from edgevirt.virt_launcher import launcher

    try:
        return asyncio.run(launcher.run(settings, paths, listening, pid, asyncio.Event()))
    except* (LibvirtdFailed, OSError) as group:
        for failure in group.exceptions:
            print(f"virt-launcher: {failure}", file=sys.stderr)
    return 1
