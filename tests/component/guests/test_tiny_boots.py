"""The tiny guest is built from Debian's archive and boots by BIOS, under emulation, to its ready line."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import pytest

from edgevirt.storage.guests import build

pytestmark = pytest.mark.component

READY = b"TINY-READY from-seed after "
BOOT_SECONDS = 60.0
SEED = {
    "meta-data": '{"instance-id": "i-1", "local-hostname": "from-seed"}',
    "user-data": "#!/bin/sh\necho user data ran as $(hostname)\n",
}


def _console_of(disk: Path, seed: Path, until: bytes) -> bytes:
    """Boot without network and return what the serial line said up to `until`, or to the machine's end."""
    ours, its = socket.socketpair()
    command: list[str | Path] = [
        *("qemu-system-x86_64", "-machine", "q35,accel=tcg", "-m", "128", "-nodefaults", "-display", "none"),
        *("-no-reboot", "-snapshot", "-drive", f"file={disk},format=qcow2,if=virtio"),
        *("-drive", f"file={seed},format=raw,if=virtio,readonly=on"),
        *("-chardev", f"socket,id=line,fd={its.fileno()}", "-serial", "chardev:line"),
    ]
    qemu = subprocess.Popen(command, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL)
    its.close()
    said = b""
    deadline = time.monotonic() + BOOT_SECONDS
    try:
        while until not in said:
            ours.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                received = ours.recv(65536)
            except TimeoutError:
                pytest.fail(f"no {until!r} within {BOOT_SECONDS:.0f} s; the console said: {said[-2000:]!r}")
            if not received:
                break
            said += received
    finally:
        qemu.kill()
        qemu.wait(10)
        ours.close()
    return said


def test_tiny_is_built_and_boots_and_runs_its_user_data(tmp_path: Path) -> None:
    disk = tmp_path / "tiny.qcow2"
    build("tiny", disk, tmp_path / "work")
    assert disk.stat().st_size < 64 << 20
    for name, content in SEED.items():
        (tmp_path / name).write_text(content)
    seed = tmp_path / "seed.iso"
    files = [tmp_path / name for name in SEED]
    iso = ["genisoimage", "-quiet", "-output", seed, "-volid", "cidata", "-joliet", "-rock", *files]
    subprocess.run(iso, check=True, timeout=30)

    said = _console_of(disk, seed, READY)

    assert b"user data ran as from-seed" in said
    assert READY in said
