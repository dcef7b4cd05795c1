"""`edgevirt up` on a machine that lacks a package: an overlay without its file takes the place of /usr."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.component

_WITHOUT = """
mount -t tmpfs tmpfs "$1"
mkdir -p "$1/upper/bin" "$1/work"
mknod "$1/upper/bin/crun" c 0 0
mount -t overlay overlay -o "lowerdir=/usr,upperdir=$1/upper,workdir=$1/work" /usr
shift
exec "$@"
"""
"""A character device 0/0 is how overlayfs notes that a file of the lower layer is gone."""


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_missing_package_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    overlay, root = tmp_path / "overlay", tmp_path / "root"
    overlay.mkdir()
    ports = [
        word
        for name in ("api", "virt-api", "virt-handler", "kubelet")
        for word in (f"--{name}-port", free_port())
    ]
    answer = subprocess.run(
        [
            *("unshare", "--mount", "--propagation", "private", "sh", "-ec", _WITHOUT, "sh", str(overlay)),
            *(str(Path(sys.executable).with_name("edgevirt")), "up", *ports),
        ],
        env={**os.environ, "EDGEVIRT_ROOT": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 1
    assert "missing: crun\n" in answer.stderr
    assert "next: apt-get install crun\n" in answer.stderr
    assert not root.exists()
