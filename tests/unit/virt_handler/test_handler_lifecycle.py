from __future__ import annotations

import dataclasses

import msgspec
import pytest

from edgevirt.api.kubevirt import VirtualMachineInstance
from edgevirt.api.kubevirt.phases import Phase
from edgevirt.api.launcher import DomainState, DomainStatus, StateReason
from edgevirt.virt_handler import lifecycle
from edgevirt.virt_handler.lifecycle import EndReason, Failure, Observed, PodState, Step, decide

pytestmark = pytest.mark.unit


def make_vmi(
    phase: str = "Scheduled", grace: int | None = None, acpi: bool | None = None
) -> VirtualMachineInstance:
    features = {} if acpi is None else {"features": {"acpi": {"enabled": acpi}}}
    spec = {"domain": {"devices": {}, **features}}
    if grace is not None:
        spec["terminationGracePeriodSeconds"] = grace  # type: ignore[assignment]
    return msgspec.convert({"spec": spec, "status": {"phase": phase}}, VirtualMachineInstance)


def domain(state: DomainState, reason: StateReason = StateReason.UNKNOWN, message: str = "") -> DomainStatus:
    return DomainStatus(uid="u1", state=state, reason=reason, message=message)


NOTHING = DomainStatus()
RUNNING = domain(DomainState.RUNNING)


def see(**fields: object) -> Observed:
    return dataclasses.replace(Observed(now=1000.0, domain=NOTHING), **fields)  # type: ignore[arg-type]


def test_a_scheduled_vmi_without_domain_is_started() -> None:
    decision = decide(make_vmi(), see())
    assert (decision.phase, decision.steps) == (Phase.SCHEDULED, (Step.SYNC,))


@pytest.mark.parametrize(
    "state", [DomainState.RUNNING, DomainState.BLOCKED, DomainState.PAUSED, DomainState.PM_SUSPENDED]
)
def test_a_domain_that_lives_means_running(state: DomainState) -> None:
    decision = decide(make_vmi(), see(domain=domain(state)))
    assert (decision.phase, decision.steps, decision.again) == (Phase.RUNNING, (), None)


def test_a_domain_that_is_starting_up_is_not_running_yet() -> None:
    starting = domain(DomainState.PAUSED, StateReason.PAUSED_STARTING_UP)
    assert decide(make_vmi(), see(domain=starting)).phase is Phase.SCHEDULED


@pytest.mark.parametrize(
    ("state", "reason", "grace", "acpi", "phase", "why"),
    [
        (DomainState.SHUTOFF, StateReason.SHUTDOWN, None, None, Phase.SUCCEEDED, ""),
        (DomainState.SHUTOFF, StateReason.SAVED, None, None, Phase.SUCCEEDED, ""),
        (DomainState.SHUTOFF, StateReason.FROM_SNAPSHOT, None, None, Phase.SUCCEEDED, ""),
        (DomainState.SHUTOFF, StateReason.DESTROYED, None, None, Phase.FAILED, EndReason.KILLED),
        (DomainState.SHUTOFF, StateReason.DESTROYED, None, True, Phase.FAILED, EndReason.KILLED),
        (DomainState.SHUTOFF, StateReason.DESTROYED, None, False, Phase.SUCCEEDED, ""),
        (DomainState.SHUTOFF, StateReason.DESTROYED, 0, None, Phase.SUCCEEDED, ""),
        (DomainState.SHUTOFF, StateReason.CRASHED, None, None, Phase.FAILED, EndReason.GUEST_CRASHED),
        (DomainState.SHUTOFF, StateReason.FAILED, None, None, Phase.FAILED, EndReason.START_FAILED),
        (DomainState.CRASHED, StateReason.PANICKED, None, None, Phase.FAILED, EndReason.GUEST_PANICKED),
        (DomainState.CRASHED, StateReason.UNKNOWN, None, None, Phase.FAILED, EndReason.GUEST_CRASHED),
    ],
)
@pytest.mark.parametrize("before", ["Scheduled", "Running"])
def test_how_a_domain_ended_decides_the_final_phase(
    before: str, state: DomainState, reason: StateReason, grace: int | None, acpi: bool | None,
    phase: Phase, why: str,
) -> None:  # fmt: skip
    decision = decide(make_vmi(before, grace, acpi), see(domain=domain(state, reason)))
    assert (decision.phase, decision.reason) == (phase, why)
    assert decision.steps == (Step.RELEASE,)
    assert decision.message


def test_qemus_own_words_are_in_the_verdict() -> None:
    crashed = domain(DomainState.SHUTOFF, StateReason.CRASHED, "signal 9")
    assert "signal 9" in decide(make_vmi("Running"), see(domain=crashed)).message


def test_a_migrated_domain_does_not_end_its_vmi() -> None:
    gone = domain(DomainState.SHUTOFF, StateReason.MIGRATED)
    assert decide(make_vmi("Scheduled"), see(domain=gone)).phase is Phase.SCHEDULED


def test_a_running_vmi_whose_domain_vanished_failed() -> None:
    decision = decide(make_vmi("Running"), see())
    assert (decision.phase, decision.reason) == (Phase.FAILED, EndReason.DOMAIN_VANISHED)


def test_a_final_vmi_only_has_its_launcher_released() -> None:
    decision = decide(make_vmi("Succeeded"), see(domain=RUNNING))
    assert (decision.phase, decision.steps) == (Phase.SUCCEEDED, (Step.RELEASE,))


# Stopping


def test_stopping_asks_the_guest_first() -> None:
    decision = decide(make_vmi("Running"), see(domain=RUNNING, stop_since=1000.0))
    assert (decision.steps, decision.again) == ((Step.SHUTDOWN,), lifecycle.SIGNAL_INTERVAL)


def test_the_request_is_repeated_every_five_seconds() -> None:
    vmi = make_vmi("Running")
    early = decide(vmi, see(domain=RUNNING, stop_since=1000.0, signalled_at=1000.0, now=1003.0))
    assert (early.steps, early.again) == ((), 2.0)
    due = decide(vmi, see(domain=RUNNING, stop_since=1000.0, signalled_at=1000.0, now=1005.0))
    assert due.steps == (Step.SHUTDOWN,)


def test_after_the_grace_period_the_guest_is_killed() -> None:
    vmi = make_vmi("Running", grace=20)
    last = decide(vmi, see(domain=RUNNING, stop_since=1000.0, signalled_at=1017.0, now=1018.0))
    assert (last.steps, last.again) == ((), 2.0)
    over = decide(vmi, see(domain=RUNNING, stop_since=1000.0, signalled_at=1017.0, now=1020.0))
    assert (over.steps, over.again) == ((Step.KILL,), 5.0)
    again = see(domain=RUNNING, stop_since=1000.0, signalled_at=1017.0, killed_at=1020.0, now=1021.0)
    assert decide(vmi, again).steps == ()


def test_the_default_grace_period_is_thirty_seconds() -> None:
    seen = see(domain=RUNNING, stop_since=1000.0, signalled_at=1029.0)
    assert decide(make_vmi("Running"), dataclasses.replace(seen, now=1029.9)).steps == ()
    assert decide(make_vmi("Running"), dataclasses.replace(seen, now=1030.0)).steps == (Step.KILL,)


def test_without_grace_the_guest_is_killed_at_once() -> None:
    decision = decide(make_vmi("Running", grace=0), see(domain=RUNNING, stop_since=1000.0))
    assert decision.steps == (Step.KILL,)


def test_a_vmi_stopped_before_its_start_is_not_started() -> None:
    decision = decide(make_vmi(), see(stop_since=1000.0))
    assert (decision.phase, decision.reason) == (Phase.FAILED, EndReason.STOPPED_BEFORE_START)
    assert Step.SYNC not in decision.steps


# Every wait ends


def test_an_unreachable_launcher_is_waited_for_three_minutes() -> None:
    lost = see(domain=None, lost_since=900.0, lost_message="connection refused")
    waiting = decide(make_vmi(), lost)
    assert (waiting.phase, waiting.steps, waiting.again) == (Phase.SCHEDULED, (), 80.0)
    over = decide(make_vmi(), dataclasses.replace(lost, now=1080.0))
    assert (over.phase, over.reason) == (Phase.FAILED, EndReason.LAUNCHER_UNRESPONSIVE)
    assert "connection refused" in over.message


def test_a_running_guest_is_left_alone_while_its_launcher_is_out_of_reach() -> None:
    decision = decide(make_vmi("Running"), see(domain=RUNNING, lost_since=999.0, stop_since=999.0))
    assert (decision.phase, decision.steps) == (Phase.RUNNING, ())


def test_who_wants_the_guest_stopped_waits_for_its_launcher_no_longer_than_for_the_guest() -> None:
    lost = see(domain=RUNNING, lost_since=990.0, stop_since=990.0, now=1000.0)
    assert decide(make_vmi("Running", grace=10), lost).phase is Phase.FAILED
    assert decide(make_vmi("Running", grace=30), lost).phase is Phase.RUNNING


def test_a_launcher_of_another_version_is_never_given_up_for_it() -> None:
    decision = decide(make_vmi("Running"), see(domain=None, lost_since=0.0, incompatible=True, now=9e9))
    assert (decision.phase, decision.again) == (Phase.RUNNING, None)


@pytest.mark.parametrize(
    ("pod", "phase", "reason"),
    [
        (PodState.SUCCEEDED, Phase.SUCCEEDED, ""),
        (PodState.FAILED, Phase.FAILED, EndReason.LAUNCHER_ENDED),
        (PodState.GONE, Phase.FAILED, EndReason.LAUNCHER_ENDED),
    ],
)
def test_a_pod_that_ended_ends_its_vmi(pod: PodState, phase: Phase, reason: str) -> None:
    decision = decide(make_vmi("Running"), see(domain=RUNNING, pod=pod, lost_since=1000.0, pod_message="OOM"))
    assert (decision.phase, decision.reason) == (phase, reason)
    assert reason == "" or "OOM" in decision.message


def test_what_the_domain_said_last_weighs_more_than_how_its_pod_ended() -> None:
    off = domain(DomainState.SHUTOFF, StateReason.SHUTDOWN)
    assert decide(make_vmi("Running"), see(domain=off, pod=PodState.FAILED)).phase is Phase.SUCCEEDED


def test_a_failed_start_is_retried_not_before_its_time_and_given_up_after_five_minutes() -> None:
    failure = Failure("no such machine", permanent=False, since=1000.0, retry_at=1004.0)
    waiting = decide(make_vmi(), see(failure=failure, now=1001.0))
    assert (waiting.steps, waiting.again) == ((), 3.0)
    assert decide(make_vmi(), see(failure=failure, now=1004.0)).steps == (Step.SYNC,)
    over = decide(make_vmi(), see(failure=failure, now=1300.0))
    assert (over.phase, over.reason, over.message) == (
        Phase.FAILED,
        EndReason.START_FAILED,
        "no such machine",
    )


def test_a_permanent_failure_ends_the_vmi_at_once() -> None:
    failure = Failure("unsupported", permanent=True, since=1000.0, retry_at=1001.0)
    assert decide(make_vmi(), see(failure=failure)).phase is Phase.FAILED


def test_a_domain_that_neither_starts_nor_fails_is_given_up_after_five_minutes() -> None:
    off = domain(DomainState.SHUTOFF, StateReason.UNKNOWN)
    early = decide(make_vmi(), see(domain=off, undecided_since=1000.0, synced_at=1000.0, now=1002.0))
    assert (early.phase, early.steps, early.again) == (Phase.SCHEDULED, (), 3.0)
    late = decide(make_vmi(), see(domain=off, undecided_since=1000.0, synced_at=1295.0, now=1300.0))
    assert (late.phase, late.reason) == (Phase.FAILED, EndReason.START_FAILED)
