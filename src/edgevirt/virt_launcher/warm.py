"""Finds out once per node what its QEMU can do, so that no launcher has to.

Run at node start, as the launchers' user, with an empty directory that user may write:
`setpriv --reuid 107 --regid 107 --clear-groups <python> -I -S <package>/virt_launcher/__main__.py
--warm-capabilities <directory>`. The records found there afterwards belong, owned by root, into the
launchers' capabilities directory. They hold for this libvirt, QEMU, kernel and access to /dev/kvm; libvirt
checks that itself, so a stale record only costs the time it should have saved.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from edgevirt.virt_launcher.daemon import DaemonPaths, listen, prepare, spawn


def warm(directory: Path) -> list[Path]:
    """Leave libvirt's records of this node's QEMU in `directory`; their paths. Takes about a second.

    Raises `LibvirtdFailed` or `libvirt.libvirtError` if libvirt cannot be asked.
    """
    import libvirt

    work = directory / "work"
    paths = DaemonPaths(work / "libvirt", work / "run" / "libvirt", work / "libvirt")
    prepare(paths, Path("/nonexistent"))
    pid = spawn(paths, listen(paths))
    try:
        connection = libvirt.open(paths.uri)
        connection.getDomainCapabilities(arch="x86_64", machine="q35", virttype="qemu")
        connection.close()
        return [
            Path(shutil.copyfile(record, directory / record.name))
            for record in sorted(paths.capabilities.glob("*.xml"))
        ]
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        shutil.rmtree(work, ignore_errors=True)
