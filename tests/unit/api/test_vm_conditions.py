"""Condition lists: set, find, remove; times that only move when something changed."""

from __future__ import annotations

import msgspec
import pytest

from edgevirt.api.kubevirt import conditions
from edgevirt.api.kubevirt.conditions import ConditionReason, ConditionStatus, ConditionType
from edgevirt.api.kubevirt.instance import VirtualMachineInstanceCondition as Condition

pytestmark = pytest.mark.unit

EARLY = "2026-01-01T00:00:00Z"
LATE = "2026-01-01T00:01:00Z"


def ready(status: str, reason: str = "", message: str = "") -> Condition:
    return Condition(type=ConditionType.READY, status=status, reason=reason, message=message)


def test_new_condition_carries_both_times_on_the_wire() -> None:
    (only,) = conditions.with_condition((), ready("True"), EARLY)
    assert msgspec.to_builtins(only) == {
        "type": "Ready",
        "status": "True",
        "lastProbeTime": EARLY,
        "lastTransitionTime": EARLY,
    }


def test_saying_the_same_again_returns_the_same_list() -> None:
    before = conditions.with_condition((), ready("False", ConditionReason.GUEST_NOT_RUNNING), EARLY)
    assert (
        conditions.with_condition(before, ready("False", ConditionReason.GUEST_NOT_RUNNING), LATE) is before
    )


def test_another_reason_keeps_the_transition_time() -> None:
    before = conditions.with_condition((), ready("False", ConditionReason.POD_NOT_EXISTS), EARLY)
    (after,) = conditions.with_condition(before, ready("False", ConditionReason.POD_TERMINATING), LATE)
    assert (after.last_transition_time, after.last_probe_time) == (EARLY, LATE)


def test_another_status_moves_the_transition_time_and_keeps_the_place() -> None:
    paused = Condition(type=ConditionType.PAUSED, status=ConditionStatus.TRUE)
    before = conditions.with_condition((), ready("False"), EARLY)
    before = conditions.with_condition(before, paused, EARLY)
    after = conditions.with_condition(before, ready("True"), LATE)
    assert [each.type for each in after] == ["Ready", "Paused"]
    assert after[0].last_transition_time == LATE
    assert conditions.is_true(after, ConditionType.READY)


def test_removing_what_is_not_there_returns_the_same_list() -> None:
    before = conditions.with_condition((), ready("True"), EARLY)
    assert conditions.without_condition(before, ConditionType.PAUSED) is before
    assert conditions.without_condition(before, ConditionType.READY) == ()


def test_conditions_with_null_times_can_be_read() -> None:
    read = msgspec.json.decode(
        b'{"type": "Ready", "status": "True", "lastProbeTime": null, "lastTransitionTime": null}',
        type=Condition,
    )
    assert conditions.is_true((read,), "Ready")
