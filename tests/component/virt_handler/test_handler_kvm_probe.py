from __future__ import annotations

import contextlib
import os
import select
from pathlib import Path

import msgspec
import pytest

from edgevirt.virt_handler import kvm_payload, kvm_probe
from edgevirt.virt_handler.kvm_probe import KVMState, kvm_verdict, probe

pytestmark = pytest.mark.component

QEMU = Path("/usr/bin/qemu-system-x86_64")
needs_qemu = pytest.mark.skipif(not QEMU.exists(), reason="QEMU is not installed")


def fake_qemu(directory: Path, script: str) -> Path:
    path = directory / "qemu"
    path.write_text(f"#!/bin/sh\necho run >> {directory}/runs\n{script}\n")
    path.chmod(0o755)
    return path


def runs(directory: Path) -> int:
    return len((directory / "runs").read_text().splitlines())


@needs_qemu
async def test_the_payload_reaches_long_mode_and_ends_as_it_should(tmp_path: Path) -> None:
    """Under TCG, which every machine has: what KVM must do is exactly this."""
    verdict = await probe(QEMU, tmp_path, "tcg", 30)
    assert verdict.state is KVMState.PROVEN, verdict.message


@needs_qemu
async def test_a_firmware_that_does_nothing_is_no_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kvm_payload, "firmware", lambda: b"\xf4" * 0x10000)
    assert (await probe(QEMU, tmp_path, "tcg", 1.0)).state is KVMState.PROBE_TIMED_OUT


@needs_qemu
@pytest.mark.skipif(not os.path.exists("/dev/kvm"), reason="no /dev/kvm here")
async def test_kvm_of_this_machine_gets_a_verdict_with_a_reason(tmp_path: Path) -> None:
    verdict = await probe(QEMU, tmp_path, "kvm", 3.0)
    assert verdict.state in (KVMState.PROVEN, KVMState.PROBE_TIMED_OUT, KVMState.PROBE_FAILED)
    assert verdict.message


async def test_a_machine_without_the_device_is_told_so(tmp_path: Path) -> None:
    verdict = await kvm_verdict(QEMU, tmp_path, device=tmp_path / "kvm")
    assert verdict.state is KVMState.NO_DEVICE
    assert "kvm" in verdict.message


async def test_qemus_last_words_are_in_the_verdict_and_bounded(tmp_path: Path) -> None:
    qemu = fake_qemu(tmp_path, "head -c 100000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 1")
    verdict = await probe(qemu, tmp_path, "kvm", 10)
    assert verdict.state is KVMState.PROBE_FAILED
    assert "status 1" in verdict.message
    assert verdict.message.endswith("the end")
    assert len(verdict.message) < 1200


async def test_a_qemu_that_cannot_be_started_is_a_failed_probe(tmp_path: Path) -> None:
    verdict = await probe(tmp_path / "missing", tmp_path, "kvm", 10)
    assert verdict.state is KVMState.PROBE_FAILED


async def test_a_hanging_probe_is_killed_with_all_its_children(tmp_path: Path) -> None:
    qemu = fake_qemu(tmp_path, f"sleep 1000 & echo $! > {tmp_path}/child; wait")
    verdict = await probe(qemu, tmp_path, "kvm", 0.5)
    assert verdict.state is KVMState.PROBE_TIMED_OUT
    child = int((tmp_path / "child").read_text())
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(child)
        ended, _, _ = select.select([pidfd], [], [], 10)
        os.close(pidfd)
        assert ended


async def test_a_verdict_is_remembered_for_the_boot_and_the_qemu(tmp_path: Path) -> None:
    qemu = fake_qemu(tmp_path, f"exit {kvm_payload.EXIT_STATUS}")
    device = Path("/dev/null")
    assert (await kvm_verdict(qemu, tmp_path, device=device)).proven
    assert (await kvm_verdict(qemu, tmp_path, device=device)).proven
    assert runs(tmp_path) == 1
    qemu = fake_qemu(tmp_path, "exit 3 # another build")
    assert (await kvm_verdict(qemu, tmp_path, device=device)).state is KVMState.PROBE_FAILED


async def test_a_timeout_is_believed_only_when_seen_twice(tmp_path: Path) -> None:
    qemu = fake_qemu(tmp_path, "exec sleep 1000")
    for expected in (1, 2, 2):
        verdict = await kvm_verdict(qemu, tmp_path, 0.2, device=Path("/dev/null"))
        assert verdict.state is KVMState.PROBE_TIMED_OUT
        assert runs(tmp_path) == expected


async def test_a_verdict_of_another_boot_or_a_damaged_one_is_not_believed(tmp_path: Path) -> None:
    qemu = fake_qemu(tmp_path, f"exit {kvm_payload.EXIT_STATUS}")
    (tmp_path / "kvm-verdict.json").write_bytes(b"{")
    assert (await kvm_verdict(qemu, tmp_path, device=Path("/dev/null"))).proven
    known = msgspec.json.decode((tmp_path / "kvm-verdict.json").read_bytes())
    known["boot"] = "another"
    known["verdict"]["state"] = KVMState.PROBE_FAILED.value
    (tmp_path / "kvm-verdict.json").write_bytes(msgspec.json.encode(known))
    assert (await kvm_verdict(qemu, tmp_path, device=Path("/dev/null"))).proven
    assert kvm_probe._recall(tmp_path / "kvm-verdict.json") is not None
