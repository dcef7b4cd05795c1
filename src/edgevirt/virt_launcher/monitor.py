"""PID 1 of the pod: starts virt-launcher, reaps everything, forwards signals, leaves no QEMU behind.

libvirt daemonises QEMU, and waits until a QEMU it killed is gone; a PID 1 that does not reap orphans keeps it
waiting for minutes. So this file does nothing else. It imports nothing that costs memory and nothing of
edgevirt, and runs as a plain file: `python3 -I -S monitor.py <virt-launcher's arguments>`. The same
interpreter runs virt-launcher. Exit code: virt-launcher's, 128 + signal if it was killed.
"""

from __future__ import annotations

import os
import signal
import sys
import time

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
QEMU_GRACE_SECONDS = 10
_QEMU_NAMES = (b"qemu-system", b"qemu-kvm")


def main(arguments: list[str]) -> int:
    """Run virt-launcher with `arguments` to its end; the exit code."""
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")
    watched = {signal.SIGCHLD, *FORWARDED}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    command = [sys.executable, "-I", "-S", program, *arguments]
    launcher = os.posix_spawn(command[0], command, dict(os.environ), setsigmask=())
    code = _supervise(launcher, watched)
    _end_qemu()
    return code


def _supervise(launcher: int, watched: set[signal.Signals]) -> int:
    while True:
        received = signal.sigwait(watched)
        if received in FORWARDED:
            # Interrupt and quit mean the same to a pod as terminate: an orderly end.
            _send(launcher, signal.SIGTERM)
            continue
        for pid, status in _reap():
            if pid == launcher:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


def _reap() -> list[tuple[int, int]]:
    reaped: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return reaped
        if pid == 0:
            return reaped
        reaped.append((pid, status))


def _end_qemu() -> None:
    """Ask every QEMU left in this PID namespace to end, and make it end after the grace."""
    for last_word in (signal.SIGTERM, signal.SIGKILL):
        left = _qemu_pids()
        if not left:
            return
        print(f"virt-launcher-monitor: {last_word.name} to QEMU {left}", file=sys.stderr, flush=True)
        for pid in left:
            _send(pid, last_word)
        _await_end(left)


def _await_end(pids: list[int]) -> None:
    """Return when none of `pids` is left, or after the grace. Only our own children can be waited for."""
    deadline = time.monotonic() + QEMU_GRACE_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        _reap()
        if not any(_alive(pid) for pid in pids):
            return
        # Wakes at once for a child; the second is the bound for a QEMU whose parent is somebody else.
        signal.sigtimedwait({signal.SIGCHLD}, min(left, 1))


def _qemu_pids() -> list[int]:
    """Our own user's QEMU processes, when we are PID 1 and every process here belongs to this pod."""
    if os.getpid() != 1:
        return []
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and _is_qemu(name)]


def _is_qemu(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            program = file.read(4096).partition(b"\0")[0]
    except OSError:
        return False
    return program.rpartition(b"/")[2].startswith(_QEMU_NAMES)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _send(pid: int, which: signal.Signals) -> None:
    try:
        os.kill(pid, which)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
