"""libvirt's records of what QEMU can do, made by the real libvirtd as the launchers' user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import edgevirt
from edgevirt.install.standalone import capabilities, host_image
from edgevirt.install.standalone.layout import Layout

pytestmark = pytest.mark.component

KVM_FLAG = "<flag name='kvm'/>"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    made.create()
    host_image.prepare(made)
    return made


def record(layout: Layout, view: str) -> str:
    (found,) = (layout.capabilities / view).glob("*.xml")
    return found.read_text()


def warm_elsewhere(python: Path, package: Path, layout: Layout, *prefix: str) -> str:
    """What `warm` returned in a process of its own, started by the command `prefix`."""
    program = (
        "from pathlib import Path;"
        "from edgevirt.install.standalone import capabilities, layout;"
        f"print(capabilities.warm(layout.Layout(Path({str(layout.root)!r})), capabilities.EMULATION))"
    )
    made = subprocess.run(
        [*prefix, python, "-c", program],
        env={"PYTHONPATH": str(package.parent), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return made.stdout + made.stderr


def test_record_tells_of_qemu_and_not_of_kvm(layout: Layout) -> None:
    assert capabilities.warm(layout, capabilities.EMULATION)
    made = record(layout, capabilities.EMULATION)
    assert "<arch>x86_64</arch>" in made
    assert KVM_FLAG not in made
    assert "cpu-unavailable-features" not in made


def test_record_is_not_made_again_for_the_same_programs(layout: Layout) -> None:
    assert capabilities.warm(layout, capabilities.EMULATION)
    (path,) = (layout.capabilities / capabilities.EMULATION).glob("*.xml")
    first = path.stat().st_ino
    assert capabilities.warm(layout, capabilities.EMULATION)
    assert path.stat().st_ino == first


@pytest.mark.skipif(not os.path.exists("/dev/kvm"), reason="the machine has no /dev/kvm")
def test_record_with_kvm_knows_kvm(layout: Layout) -> None:
    # libvirt only asks QEMU about KVM here; no guest runs under it.
    assert capabilities.warm(layout, capabilities.KVM)
    assert KVM_FLAG in record(layout, capabilities.KVM)


def test_record_is_made_by_an_installation_in_a_closed_directory(layout: Layout, tmp_path: Path) -> None:
    home = tmp_path / "home-of-root"
    home.mkdir(mode=0o700)
    package = Path(edgevirt.__file__).resolve().parent
    shutil.copytree(package, home / "clone/src/edgevirt", ignore=shutil.ignore_patterns("__pycache__"))
    environment = home / "clone/.venv"
    shutil.copytree(sys.prefix, environment, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    assert warm_elsewhere(environment / "bin/python", home / "clone/src/edgevirt", layout) == "True\n"


def test_record_is_made_on_a_machine_without_the_launchers_user(layout: Layout, tmp_path: Path) -> None:
    for name in ("passwd", "group"):
        (tmp_path / name).write_text("root:x:0:0:root:/root:/bin/sh\n" if name == "passwd" else "root:x:0:\n")
    without = f'for name in passwd group; do mount --bind "{tmp_path}/$name" /etc/$name; done; exec "$@"'
    prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-ec", without, "sh")
    package = Path(edgevirt.__file__).resolve().parent
    assert warm_elsewhere(Path(sys.executable), package, layout, *prefix) == "True\n"
