"""Whether KVM really runs guests here, proven by running one.

A /dev/kvm that opens, and whose guests hang, exists in the field (nested clouds, broken firmware). So the
node boots `kvm_payload` under KVM with a deadline and believes only its exit status. The verdict is kept per
boot and QEMU build; a timeout is believed only when it was seen twice, because a busy boot can cause it too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import stat
import subprocess
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import msgspec

from edgevirt.api.meta import Struct
from edgevirt.linux.readiness import readable
from edgevirt.virt_handler import kvm_payload, state_file

KVM_DEVICE = Path("/dev/kvm")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STDERR_TAIL = 1000
_CONFIRMING_TIMEOUTS = 2
_KILL_TIMEOUT = 2.0

_log = logging.getLogger("edgevirt.virt_handler")


class KVMState(StrEnum):
    """The outcome, as the reason of the node's KVMAvailable condition."""

    PROVEN = "Proven"
    NO_DEVICE = "NoDevice"
    PROBE_TIMED_OUT = "ProbeTimedOut"
    PROBE_FAILED = "ProbeFailed"


class Verdict(Struct):
    state: KVMState
    message: str = ""

    @property
    def proven(self) -> bool:
        return self.state is KVMState.PROVEN


class _Remembered(Struct):
    boot: str
    qemu: str
    verdict: Verdict
    timeouts: int = 0


async def kvm_verdict(
    qemu: Path, state_dir: Path, timeout: float = 3.0, device: Path = KVM_DEVICE
) -> Verdict:
    """The verdict for this boot: remembered if possible, else probed within `timeout` seconds.

    Never raises for a machine without usable KVM; that is a verdict.
    """
    missing = _missing_device(device)
    if missing is not None:
        return missing
    path = state_dir / "kvm-verdict.json"
    boot, build = _BOOT_ID.read_text("ascii").strip(), _build(qemu)
    known = _recall(path)
    timeouts = 0
    if known is not None and (known.boot, known.qemu) == (boot, build):
        timeouts = known.timeouts
        if known.verdict.state is not KVMState.PROBE_TIMED_OUT or timeouts >= _CONFIRMING_TIMEOUTS:
            return known.verdict
    verdict = await probe(qemu, state_dir, "kvm", timeout)
    timed_out = verdict.state is KVMState.PROBE_TIMED_OUT
    remembered = _Remembered(boot=boot, qemu=build, verdict=verdict, timeouts=timeouts + timed_out)
    await asyncio.to_thread(state_file.write, path, msgspec.json.encode(remembered))
    _log.info("Probed KVM", extra={"verdict": verdict.state.value, "detail": verdict.message})
    return verdict


async def probe(qemu: Path, state_dir: Path, accelerator: str, timeout: float) -> Verdict:
    """Boot the payload under `accelerator` ("kvm" or "tcg") and judge by QEMU's exit status."""
    image = state_dir / "kvm-probe.bin"
    await asyncio.to_thread(state_file.write, image, kvm_payload.firmware())
    errors = os.memfd_create("kvm-probe-stderr")
    try:
        process = subprocess.Popen(  # noqa: ASYNC220 - spawning is quick; waiting is done on the pidfd
            _command(qemu, image, accelerator),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            process_group=0,
        )
    except OSError as error:
        os.close(errors)
        return Verdict(state=KVMState.PROBE_FAILED, message=f"could not start {qemu}: {error}")
    try:
        finished = await _ends_within(process, timeout)
        return _judge(process.returncode if finished else None, timeout, _tail(errors))
    finally:
        await _end(process)
        os.close(errors)


def _command(qemu: Path, image: Path, accelerator: str) -> list[str]:
    return [
        str(qemu),
        *("-M", "q35", "-accel", accelerator, "-m", "4", "-bios", str(image)),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-device", f"isa-debug-exit,iobase={kvm_payload.EXIT_PORT:#x},iosize=0x04"),
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
    ]


def _judge(status: int | None, timeout: float, stderr: str) -> Verdict:
    said = f"; QEMU said: {stderr}" if stderr else ""
    if status == kvm_payload.EXIT_STATUS:
        return Verdict(state=KVMState.PROVEN, message="a 64-bit test guest ran under KVM")
    if status is None:
        return Verdict(
            state=KVMState.PROBE_TIMED_OUT,
            message=f"a 64-bit test guest did not finish within {timeout:g} s under KVM{said}",
        )
    return Verdict(
        state=KVMState.PROBE_FAILED, message=f"the test guest's QEMU ended with status {status}{said}"
    )


async def _ends_within(process: subprocess.Popen[bytes], timeout: float) -> bool:
    pidfd = os.pidfd_open(process.pid)
    try:
        async with asyncio.timeout(timeout):
            await readable(pidfd)
    except TimeoutError:
        return False
    finally:
        os.close(pidfd)
    process.wait()  # it has ended: this only reaps it
    return True


async def _end(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if not await _ends_within(process, _KILL_TIMEOUT):
        # Stuck in the kernel, as a hanging KVM can be; init reaps it when we end.
        _log.error("The KVM probe can't be killed", extra={"pid": process.pid})


def _tail(fd: int) -> str:
    size = os.fstat(fd).st_size
    raw = os.pread(fd, _STDERR_TAIL, max(0, size - _STDERR_TAIL))
    return raw.decode(errors="replace").strip()


def _missing_device(device: Path) -> Verdict | None:
    try:
        mode = device.stat().st_mode
    except OSError as error:
        hint = "this machine offers no hardware virtualization, or its module is not loaded"
        return Verdict(state=KVMState.NO_DEVICE, message=f"{device}: {error.strerror}; {hint}")
    if not stat.S_ISCHR(mode):
        return Verdict(state=KVMState.NO_DEVICE, message=f"{device} is not a character device")
    return None


def _build(qemu: Path) -> str:
    """Identifies a QEMU binary without running it."""
    try:
        found = qemu.stat()
    except OSError:
        return f"{qemu}: missing"
    return f"{qemu}:{found.st_size}:{found.st_mtime_ns}"


def _recall(path: Path) -> _Remembered | None:
    raw = state_file.read(path)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=_Remembered)
    except msgspec.DecodeError:
        return None  # an older version's, or damaged: the probe is cheap
