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


def test_record_is_made_on_a_machine_without_the_launchers_user(layout: Layout) -> None:
    assert ":107:" not in Path("/etc/group").read_text(), "this machine has a group 107, so it proves nothing"
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
    made = subprocess.run(
        [
            environment / "bin/python",
            "-c",
            "from pathlib import Path;"
            "from edgevirt.install.standalone import capabilities, layout;"
            f"print(capabilities.warm(layout.Layout(Path({str(tmp_path)!r})), capabilities.EMULATION))",
        ],
        env={"PYTHONPATH": str(home / "clone/src"), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert made.stdout == "True\n", made.stderr
