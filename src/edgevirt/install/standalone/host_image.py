"""The layer above the machine's own root that makes it the launchers' image.

It carries the launcher's entry point at the path every launcher image has it, and the user the launcher runs
as. Everything on the machine that is no business of a guest is masked; the installation itself is bound
read-only when it does not lie on the root file system.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import edgevirt
from edgevirt.install.standalone import capabilities
from edgevirt.install.standalone.layout import Layout
from edgevirt.storage.images.host import HostImage

NAME = "edgevirt.host/root:latest"
"""Image name of the host image; its registry does not exist, so it can never be pulled."""

_PASSWD = """\
root:x:0:0:root:/root:/usr/sbin/nologin
qemu:x:107:107:qemu:/var/run/kubevirt-private:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUP = "root:x:0:\nqemu:x:107:\nnogroup:x:65534:\n"
_MASKED = ("/root", "/home", "/boot", "/mnt", "/media", "/srv", "/etc/ssh", "/etc/ssl/private")


def prepare(layout: Layout) -> HostImage:
    """Write the layer and describe the image. Idempotent; running launchers keep what they have."""
    layer = layout.host_image
    package = Path(edgevirt.__file__ or "").resolve().parent
    python = Path(sys.executable)
    monitor = package / "virt_launcher" / "monitor.py"
    entry = (
        "#!/bin/sh\n"
        "# Entry point of launcher pods; the program itself lies where edgevirt is installed.\n"
        f'EDGEVIRT_PYTHON="{python}" exec "{python}" -I -S "{monitor}" "$@"\n'
    )
    for path, text, mode in (
        ("usr/bin/virt-launcher-monitor", entry, 0o755),
        ("etc/passwd", _PASSWD, 0o644),
        ("etc/group", _GROUP, 0o644),
    ):
        _write(layer / path, text, mode)
    # Made before anything is recorded: what is bound must exist, and its content may come later.
    layout.capabilities.mkdir(mode=0o755, parents=True, exist_ok=True)
    masked = {*_MASKED, str(layout.etc), str(layout.data), str(layout.logs)}
    needed = _needed_directories(package, python)
    # A mask must not hide what is bound for the launcher; binds are made after masks.
    return HostImage(
        layer=layer,
        masks=tuple(sorted(masked)),
        binds=(
            *((str(path), str(path)) for path in needed),
            (str(layout.capabilities), str(capabilities.IN_LAUNCHER)),
        ),
        user=capabilities.LAUNCHER_UID,
    )


def _needed_directories(package: Path, python: Path) -> list[Path]:
    """Directories of the installation that the launcher's Python must see under the same path."""
    environment = Path(sys.prefix)
    found = {environment, package.parent, python.resolve().parent.parent}
    system = (Path("/usr"), Path("/"))
    return sorted(path for path in found if path not in system and not path.is_relative_to("/usr"))


def _write(path: Path, text: str, mode: int) -> None:
    """Replace the file only if it differs: it may be the lower layer of running launchers."""
    try:
        if path.read_text() == text:
            return
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.chmod(mode)
    os.replace(part, path)
