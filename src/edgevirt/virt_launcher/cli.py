"""The program: command line in, libvirtd off as early as can be, then everything else."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Sequence
from pathlib import Path

from edgevirt.virt_launcher.daemon import DaemonPaths, LibvirtdFailed, listen, prepare, spawn
from edgevirt.virt_launcher.settings import UsageError, parse


def main(arguments: Sequence[str]) -> int:
    """Run virt-launcher; the exit code. 2 for a command line it cannot follow."""
    if len(arguments) == 2 and arguments[0] == "--warm-capabilities":
        return _warm(Path(arguments[1]))
    try:
        settings = parse(arguments, os.environ)
    except UsageError as error:
        print(f"virt-launcher: {error}", file=sys.stderr)
        return 2
    if os.geteuid() == 0:
        print("virt-launcher: refuses to run as root; run it as the pod's unprivileged user", file=sys.stderr)
        return 2
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        line = f"qemu:x:{os.geteuid()}:{os.getegid()}:qemu:{settings.private_dir}:/usr/sbin/nologin"
        print(
            f"virt-launcher: user {os.geteuid()} is not in /etc/passwd, which libvirt needs; add: {line}",
            file=sys.stderr,
        )
        return 1
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

    from edgevirt.virt_launcher import launcher, logs

    logs.set_up()
    try:
        return asyncio.run(launcher.run(settings, paths, listening, pid, asyncio.Event()))
    except* (LibvirtdFailed, OSError) as group:
        for failure in group.exceptions:
            print(f"virt-launcher: {failure}", file=sys.stderr)
    return 1


def _warm(directory: Path) -> int:
    from edgevirt.virt_launcher.warm import warm

    records = warm(directory)
    print("\n".join(map(str, records)))
    return 0 if records else 1
