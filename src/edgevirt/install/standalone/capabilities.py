"""libvirt's records of what this machine's QEMU can do, made once and bound into every launcher.

Without them the private libvirtd of every launcher probes QEMU anew, which costs each start 0.3 to 0.7 s.
They are made as the launchers' user and without /dev/kvm, because libvirt discards a record whose view of
/dev/kvm differs from its own. A record that does not fit costs time, never correctness: libvirt checks it.
They are bound rather than part of the host image's layer, because the kubelet takes that layer when it starts
and the records are made after that.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from edgevirt.install.standalone.layout import Layout

log = logging.getLogger("edgevirt.node")

IN_LAUNCHER = Path("/var/cache/edgevirt/libvirt-capabilities")
"""Where launchers look for the records."""
LAUNCHER_UID = 107
_PROGRAMS = (Path("/usr/bin/qemu-system-x86_64"), Path("/usr/sbin/libvirtd"))
_DEADLINE = 30.0
_TEDIOUS = re.compile(rb"^\s*<flag name='cpu-unavailable-features'/>\n", re.MULTILINE)
_RECIPE = "2"
"""Changes when this module makes other records of the same programs."""
# In a mount namespace of its own: a file nobody but root may open takes the place of /dev/kvm, and the
# launchers' list of users that of the machine's, which need not have theirs.
_SCRIPT = """
if [ -e /dev/kvm ]; then mount --bind "$1" /dev/kvm; fi
mount --bind "$2" /etc/passwd
shift 2
exec setpriv --reuid 107 --regid 107 --clear-groups "$@"
"""


def warm(layout: Layout) -> bool:
    """Make the records if QEMU, libvirt or the kernel changed since. Blocking; True if they are there now.

    A failure is logged and costs only start time.
    """
    target = layout.capabilities
    stamp = target / "made-for"
    wanted = _fingerprint()
    if stamp.exists() and stamp.read_text() == wanted:
        return True
    try:
        records = _ask_libvirt(layout.host_image / "etc/passwd")
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("capabilities were not recorded; guests start more slowly", extra={"error": str(error)})
        return False
    target.mkdir(parents=True, exist_ok=True)
    for name, content in records.items():
        part = target / f".{name}.part"
        part.write_bytes(content)
        part.chmod(0o644)
        os.replace(part, target / name)
    if records:
        stamp.write_text(wanted)
    return bool(records)


def _ask_libvirt(users: Path) -> dict[str, bytes]:
    launcher = Path(__file__).resolve().parents[2] / "virt_launcher" / "__main__.py"
    with tempfile.TemporaryDirectory(prefix="edgevirt-caps-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        hidden, work = directory / "no-kvm", directory / "work"
        hidden.touch(0o600)
        work.mkdir()
        shutil.chown(work, LAUNCHER_UID, LAUNCHER_UID)
        command = [sys.executable, "-I", "-S", str(launcher), "--warm-capabilities", str(work)]
        subprocess.run(
            [
                "unshare",
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-ec",
                _SCRIPT,
                "sh",
                str(hidden),
                str(users),
                *command,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DEADLINE,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(work), "LANG": "C.UTF-8"},
            check=True,
            start_new_session=True,
        )
        # Only the records: the launchers' user could have written anything into its directory.
        return {
            path.name: brisk(path.read_bytes())
            for path in work.glob("*.xml")
            if path.is_file() and not path.is_symlink()
        }


def brisk(record: bytes) -> bytes:
    """A record with which libvirt learns the guest's CPU from QEMU in two questions instead of 400.

    Told that QEMU can name the CPU features it lacks, libvirt 9 asks for every property of the guest's CPU,
    one by one and twice over, which takes longer than all the rest of a start. Not told, it asks for CPUID
    words. What it cannot do then is check features that live in model-specific registers: without KVM, which
    is what these records are about, there are none.
    """
    return _TEDIOUS.sub(b"", record)


def _fingerprint() -> str:
    parts = [_RECIPE, os.uname().release]
    for program in _PROGRAMS:
        try:
            seen = program.stat()
        except FileNotFoundError:
            continue
        parts.append(f"{program} {seen.st_mtime_ns} {seen.st_size}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
