"""The layer that lies above the machine's root in a host image, where overlayfs takes it.

overlayfs refuses a lower directory that lies inside another one, and on most machines the layer does lie
somewhere below `/`. It is then copied to a small tmpfs, made anew by every kubelet; containers that run keep
the one they were started with.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from pathlib import Path

from edgevirt.engine.kubelet import mounts
from edgevirt.storage.images.host import HostImage

_MAX_BYTES = 64 << 20


def place(host: HostImage, run_dir: Path) -> HostImage:
    """The host image with its layer on a file system of its own. OSError when the layer is too large."""
    if os.stat(host.layer).st_dev != os.stat("/").st_dev:
        return host
    name = hashlib.sha256(str(host.layer).encode()).hexdigest()[:16]
    target = run_dir / "layers" / name
    target.mkdir(parents=True, exist_ok=True)
    while mounts.unmount(target):
        pass
    mounts.tmpfs(target, size=_MAX_BYTES)
    shutil.copytree(host.layer, target, symlinks=True, dirs_exist_ok=True)
    for base, directories, files in os.walk(host.layer):
        for entry in (*directories, *files):
            source = Path(base, entry)
            info = source.lstat()
            os.chown(target / source.relative_to(host.layer), info.st_uid, info.st_gid, follow_symlinks=False)
    return dataclasses.replace(host, layer=target)
