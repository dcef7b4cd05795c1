"""The monitor, as the single file it is, with a launcher that does as the test says."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import edgevirt.virt_launcher.monitor as monitor
from edgevirt.virt_launcher.daemon import DaemonPaths, LibvirtdFailed, environment, listen, prepare, tail
from edgevirt.virt_launcher.settings import Settings

pytestmark = pytest.mark.unit


def start(directory: Path, launcher: str, *arguments: str) -> subprocess.Popen[str]:
    shutil.copy(monitor.__file__, directory / "monitor.py")
    (directory / "__main__.py").write_text(f"import os, signal, sys, time\n{launcher}\n")
    command = [sys.executable, "-I", "-S", str(directory / "monitor.py"), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = process.communicate(timeout=20)
    return process.returncode, out


def test_arguments_go_to_the_launcher_and_its_code_comes_back(tmp_path: Path) -> None:
    process = start(tmp_path, "print(sys.argv[1:], flush=True); sys.exit(7)", "--name", "vm1")
    assert ended(process) == (7, "['--name', 'vm1']\n")


def test_killed_launcher_gives_the_codes_shells_give(tmp_path: Path) -> None:
    assert ended(start(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)"))[0] == 128 + 9


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signals_of_the_pod_reach_the_launcher_as_terminate(tmp_path: Path, which: signal.Signals) -> None:
    launcher = (
        "signal.signal(15, lambda *a: sys.exit(3)); print('up', flush=True)\nwhile True: signal.pause()"
    )
    process = start(tmp_path, launcher)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(which)
    assert ended(process)[0] == 3


def test_launcher_starts_with_no_signal_blocked(tmp_path: Path) -> None:
    assert ended(start(tmp_path, "print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"))[1] == "set()\n"


def test_monitor_outside_a_pod_leaves_other_processes_alone() -> None:
    assert os.getpid() != 1
    assert monitor._qemu_pids() == []


def test_qemu_is_known_by_the_name_of_its_program(tmp_path: Path) -> None:
    fake = tmp_path / "qemu-system-x86_64"
    fake.symlink_to("/bin/cat")
    process = subprocess.Popen([str(fake)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(b"up\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"up\n"
        assert monitor._is_qemu(str(process.pid))
        assert not monitor._is_qemu(str(os.getpid()))
        assert not monitor._is_qemu("999999999")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("usable", "view"), [(True, "kvm"), (False, "emulation")])
def test_libvirtd_gets_its_configuration_and_the_nodes_records(
    usable: bool, view: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: usable if path == "/dev/kvm" else True)
    paths = DaemonPaths(
        tmp_path / "private" / "libvirt", tmp_path / "run" / "libvirt", tmp_path / "private" / "libvirt"
    )
    warm = tmp_path / "warm"
    for name in ("kvm", "emulation"):
        (warm / name).mkdir(parents=True)
        (warm / name / "abc.xml").write_text(f"<qemuCaps>{name}</qemuCaps>")
    try:
        prepare(paths, warm)
        prepare(paths, warm)  # a restarted launcher finds everything there
    except LibvirtdFailed:
        pytest.skip("libvirt's QEMU driver is not installed")
    assert 'stdio_handler = "file"' in (paths.config / "qemu.conf").read_text()
    assert (paths.capabilities / "abc.xml").read_text() == f"<qemuCaps>{view}</qemuCaps>"
    variables = environment(paths, {"PATH": "/bin", "LD_PRELOAD": "evil.so"})
    assert variables["XDG_RUNTIME_DIR"] == str(tmp_path / "run")
    assert "LD_PRELOAD" not in variables
    prepare(paths, tmp_path / "missing")


def test_socket_is_there_before_libvirtd(tmp_path: Path) -> None:
    paths = DaemonPaths(tmp_path, tmp_path, tmp_path)
    for _ in range(2):
        with listen(paths):
            assert paths.socket.stat().st_mode & 0o777 == 0o600


def test_daemon_paths_are_in_the_pods_volumes() -> None:
    paths = DaemonPaths.for_settings(Settings("n", "ns", "u"))
    assert str(paths.socket) == "/var/run/libvirt/libvirt-sock"
    assert str(paths.qemu_log("ns_n")) == "/var/run/kubevirt-private/libvirt/qemu/log/ns_n.log"


def test_tail_is_bounded_clean_and_follows_no_link(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 100 + b"\x1b[31mlast\xff words\n")
    assert tail(log, 20).endswith("last\ufffd words")
    assert len(tail(log, 20)) <= 20
    assert "\x1b" not in tail(log, 200)
    (tmp_path / "link").symlink_to(log)
    assert tail(tmp_path / "link", 20) == ""
    assert tail(tmp_path / "missing", 20) == ""
