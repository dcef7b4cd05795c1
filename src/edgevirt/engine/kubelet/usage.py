"""How much disk a pod uses, against the limits it declared: what no control group enforces."""

from __future__ import annotations

import os
from pathlib import Path

from edgevirt.api import quantity
from edgevirt.api.core import Pod


def excess(pod: Pod, directory: Path) -> str:
    """Why the pod has to go, or "" while it keeps its limits. Walks the pod's files: call it in a thread."""
    assert pod.spec
    total = 0
    for volume in pod.spec.volumes:
        source = volume.empty_dir
        if source is None or source.medium:
            continue
        used = disk_usage(directory / "volumes" / "kubernetes.io~empty-dir" / volume.name)
        total += used
        if source.size_limit is not None and used > quantity.to_bytes(source.size_limit):
            return f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{source.size_limit}". '
    limits = [
        quantity.to_bytes(c.resources.limits["ephemeral-storage"])
        for c in pod.spec.containers
        if c.resources and "ephemeral-storage" in c.resources.limits
    ]
    if limits and len(limits) == len(pod.spec.containers):
        total += disk_usage(directory / "containers", skip="rootfs")
        if total > sum(limits):
            return f"Pod ephemeral local storage usage exceeds the total limit of containers {sum(limits)}. "
    return ""


def disk_usage(directory: Path, skip: str = "") -> int:
    """Bytes on disk below `directory`, links not followed, hard links counted once."""
    total = 0
    seen: set[int] = set()
    for _, directories, files, fd in os.fwalk(directory, follow_symlinks=False):
        if skip in directories:
            directories.remove(skip)
        for name in files:
            try:
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if info.st_ino not in seen:
                seen.add(info.st_ino)
                total += info.st_blocks * 512
    return total
