"""libvirt's records of what this machine's QEMU can do, made once and bound into every launcher.

Without them the private libvirtd of every launcher probes QEMU anew, which costs each start 0.3 to 0.7 s.
They are made as the launchers' user, one set without /dev/kvm and, where KVM is proven, one with it, because
libvirt discards a record whose view of /dev/kvm differs from its own; launchers take the set that is like
them. A record that does not fit costs time, never correctness: libvirt checks it.
They are bound rather than part of the host image's layer, because the kubelet takes that layer when it starts
and the records are made after that.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from edgevirt.install.standalone.layout import Layout

log = logging.getLogger("edgevirt.node")

IN_LAUNCHER = Path("/var/cache/edgevirt/libvirt-capabilities")
"""Where launchers look for the records."""
LAUNCHER_UID = 107
EMULATION, KVM = "emulation", "kvm"
"""The two views of /dev/kvm, and the directories of their records; virt-launcher knows the names too."""
_PROGRAMS = (Path("/usr/bin/qemu-system-x86_64"), Path("/usr/sbin/libvirtd"))
_DEADLINE = 30.0
_MOST_WORDS = 1000
_TEDIOUS = re.compile(rb"^\s*<flag name='cpu-unavailable-features'/>\n", re.MULTILINE)
_RECIPE = "3"
"""Changes when this module makes other records of the same programs."""
# In a mount namespace of its own, the machine looks as it does to a launcher: /dev/kvm is either a device
# that everybody may open or a file that nobody but root may, the users and groups are the launchers', which
# the machine need not have, and the installation can be reached even if it lies in root's home.
_SCRIPT = """
view=$1 users=$2 groups=$3 closed=$4 installed=$5
shift 5
work=$(mktemp -d)
mount -t tmpfs -o mode=0755,size=64k tmpfs "$work"
if [ -e /dev/kvm ]; then
    case "$view" in
        kvm) mknod -m 0666 "$work/kvm" c $(stat -c '0x%t 0x%T' /dev/kvm) ;;
        *) install -m 0600 /dev/null "$work/kvm" ;;
    esac
    mount --bind "$work/kvm" /dev/kvm
fi
mount --bind "$users" /etc/passwd
mount --bind "$groups" /etc/group
if [ "$closed" ]; then
    mkdir "$work/installed"
    mount --bind "$installed" "$work/installed"
    mount -t tmpfs -o mode=0755,size=64k tmpfs "$closed"
    mkdir -p "$installed"
    mount --bind "$work/installed" "$installed"
fi
exec setpriv --reuid 107 --regid 107 --clear-groups "$@"
"""


def warm(layout: Layout, view: str) -> bool:
    """Make the records of one view if QEMU, libvirt or the kernel changed since; True if they are there now.

    `view` is `EMULATION` or `KVM`. Blocking. A failure is logged and costs only start time.
    """
    target = layout.capabilities / view
    stamp = target / "made-for"
    wanted = _fingerprint()
    if stamp.exists() and stamp.read_text() == wanted:
        return True
    try:
        records = _ask_libvirt(layout.host_image / "etc", view)
    except (OSError, subprocess.SubprocessError) as error:
        words = getattr(error, "stderr", None) or str(error).encode()
        log.warning(
            "capabilities were not recorded; guests start more slowly",
            extra={"view": view, "error": words.decode(errors="replace").strip()[-_MOST_WORDS:]},
        )
        return False
    target.mkdir(parents=True, exist_ok=True)
    for name, content in records.items():
        part = target / f".{name}.part"
        part.write_bytes(brisk(content) if view == EMULATION else content)
        part.chmod(0o644)
        os.replace(part, target / name)
    if records:
        stamp.write_text(wanted)
    return bool(records)


def _ask_libvirt(launcher_etc: Path, view: str) -> dict[str, bytes]:
    launcher = Path(__file__).resolve().parents[2] / "virt_launcher" / "__main__.py"
    with tempfile.TemporaryDirectory(prefix="edgevirt-caps-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        work = directory / "work"
        work.mkdir()
        shutil.chown(work, LAUNCHER_UID, LAUNCHER_UID)
        users, groups = str(launcher_etc / "passwd"), str(launcher_etc / "group")
        installed = os.path.commonpath((launcher, Path(sys.prefix)))
        closed = next((str(path) for path in _ancestors(Path(installed)) if _is_closed(path)), "")
        unshare = ("unshare", "--mount", "--propagation", "private")
        ask = (sys.executable, "-I", "-S", str(launcher), "--warm-capabilities", str(work))
        subprocess.run(
            [*unshare, "sh", "-ec", _SCRIPT, "sh", view, users, groups, closed, installed, *ask],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DEADLINE,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(work), "LANG": "C.UTF-8"},
            check=True,
            start_new_session=True,
        )
        # Only the records: the launchers' user could have written anything into its directory.
        return {
            path.name: path.read_bytes()
            for path in work.glob("*.xml")
            if path.is_file() and not path.is_symlink()
        }


def _ancestors(path: Path) -> list[Path]:
    return [*reversed(path.parents), path]


def _is_closed(directory: Path) -> bool:
    return not directory.stat().st_mode & stat.S_IXOTH


def brisk(record: bytes) -> bytes:
    """A record with which libvirt learns the guest's CPU from QEMU in two questions instead of 400.

    Told that QEMU can name the CPU features it lacks, libvirt 9 asks for every property of the guest's CPU,
    one by one and twice over, which takes longer than all the rest of a start. Not told, it asks for CPUID
    words. What it cannot do then is check features that live in model-specific registers: without KVM there
    are none, and records made with KVM stay as libvirt wrote them.
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
