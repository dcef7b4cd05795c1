"""How long a machine that does not come up, or does not stay up, waits before it is started again.

An instance that ends without ever having been Running is a start failure, counted once per instance in
`status.startFailure`: 10 s times the square of the count, plus up to half of that at random, at most 300 s
(KubeVirt's numbers). An instance that was Running and then failed is replaced at once the first time, as in
KubeVirt; a machine that keeps crashing within `STABLE_AFTER` is slowed down by the same formula, which
KubeVirt does not do: a guest that crashes at boot would otherwise keep a small box busy.
"""

from __future__ import annotations

import dataclasses
import datetime

from edgevirt.api.kubevirt import VirtualMachineInstance
from edgevirt.api.kubevirt.machine import VirtualMachineStartFailure
from edgevirt.api.kubevirt.phases import Phase, is_final
from edgevirt.virt_controller.run_strategy import phase_of

BASE_SECONDS = 10.0
CAP_SECONDS = 300.0
STABLE_AFTER = 600.0
"""Seconds of Running after which earlier crashes are forgotten."""


@dataclasses.dataclass(frozen=True, slots=True)
class Crashes:
    """Consecutive quick crashes of one machine; kept in memory only, because it is only a courtesy."""

    count: int = 0
    last_uid: str = ""


def delay(failures: int, jitter: float) -> float:
    """Seconds to wait after `failures` consecutive ones; `jitter` in [0, 1)."""
    if failures <= 0:
        return 0.0
    base = BASE_SECONDS * failures * failures
    return min(base + jitter * base / 2, CAP_SECONDS)


def parse_time(text: str) -> datetime.datetime | None:
    """An RFC 3339 time, or None for "" and for what is not one."""
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return None


def format_time(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def reached(vmi: VirtualMachineInstance, phase: Phase) -> datetime.datetime | None:
    """When the instance entered `phase`, or None if it never did."""
    for entry in vmi.status.phase_transition_timestamps if vmi.status else ():
        if entry.phase == phase:
            return parse_time(entry.phase_transition_timestamp)
    return None


def count_crash(crashes: Crashes, vmi: VirtualMachineInstance) -> Crashes:
    """The crash count after seeing `vmi`; idempotent for one instance."""
    if phase_of(vmi) is not Phase.FAILED or crashes.last_uid == vmi.metadata.uid:
        return crashes
    running, failed = reached(vmi, Phase.RUNNING), reached(vmi, Phase.FAILED)
    if running is None or failed is None:
        return crashes
    stable = (failed - running).total_seconds() >= STABLE_AFTER
    return Crashes(count=1 if stable else crashes.count + 1, last_uid=vmi.metadata.uid)


def after_failure(
    failure: VirtualMachineStartFailure | None,
    vmi: VirtualMachineInstance | None,
    crashes: Crashes,
    now: datetime.datetime,
    jitter: float,
) -> VirtualMachineStartFailure | None:
    """`status.startFailure` after seeing `vmi`: once per failed instance, cleared by one that is Running."""
    if vmi is None:
        return failure
    ever_ran = reached(vmi, Phase.RUNNING) is not None
    if not is_final(phase_of(vmi)):
        return None if ever_ran else failure
    if failure is not None and failure.last_failed_vmiuid == vmi.metadata.uid:
        return failure
    if not ever_ran:
        count = (failure.consecutive_fail_count or 0 if failure else 0) + 1
        seconds = delay(count, jitter)
    elif phase_of(vmi) is Phase.FAILED and crashes.count > 1:
        count = crashes.count
        seconds = delay(count - 1, jitter)
    else:
        return None
    return VirtualMachineStartFailure(
        consecutive_fail_count=count,
        last_failed_vmiuid=vmi.metadata.uid,
        retry_after_timestamp=format_time(now + datetime.timedelta(seconds=seconds)),
    )


def seconds_left(failure: VirtualMachineStartFailure | None, now: datetime.datetime) -> float:
    """Seconds until the machine may be started again; 0 when it may be now."""
    retry = parse_time(failure.retry_after_timestamp) if failure else None
    return max(0.0, (retry - now).total_seconds()) if retry else 0.0
