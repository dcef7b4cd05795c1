"""Cron schedules: when they come next, and what is wrong with those that are none."""

from __future__ import annotations

import datetime

import pytest

from edgevirt.engine.cron import Schedule, ScheduleError, zone

pytestmark = pytest.mark.unit

UTC = datetime.UTC


def at(text: str, tz: datetime.tzinfo = UTC) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=tz)


@pytest.mark.parametrize(
    ("schedule", "moment", "following"),
    [
        ("* * * * *", "2026-01-31T23:59:30", "2026-02-01T00:00:00"),
        ("*/15 * * * *", "2026-01-01T00:00:00", "2026-01-01T00:15:00"),
        ("5-59/20 2 * * *", "2026-01-01T02:25:00", "2026-01-01T02:45:00"),
        ("0 9 * * mon-fri", "2026-01-02T09:00:00", "2026-01-05T09:00:00"),
        ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 13 * 5", "2026-02-01T00:00:00", "2026-02-06T00:00:00"),
        ("0 0 ? jan,Dec ?", "2026-01-31T00:00:00", "2026-12-01T00:00:00"),
        ("@hourly", "2026-01-01T10:20:00", "2026-01-01T11:00:00"),
        ("@weekly", "2026-01-01T10:20:00", "2026-01-04T00:00:00"),
        ("@every 1h30m", "2026-01-01T10:20:05", "2026-01-01T11:50:05"),
        ("3/20 * * * *", "2026-01-01T10:20:00", "2026-01-01T10:23:00"),
    ],
)
def test_a_schedule_comes_next_when_cron_says(schedule: str, moment: str, following: str) -> None:
    assert Schedule.parse(schedule).after(at(moment)) == at(following)


def test_a_day_that_never_exists_never_comes() -> None:
    assert Schedule.parse("0 0 30 2 *").after(at("2026-01-01T00:00:00")) is None


def test_a_wall_clock_time_skipped_by_summer_time_does_not_happen() -> None:
    berlin = zone("Europe/Berlin")
    assert berlin is not None
    following = Schedule.parse("30 2 * * *").after(at("2026-03-28T12:00:00", berlin))
    assert following == at("2026-03-30T02:30:00", berlin)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("* * *", "expected exactly 5 fields, found 3: [* * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("@often", "unrecognized descriptor: @often"),
        ("@every x", 'failed to parse duration @every x: time: invalid duration "x"'),
        ("", "empty spec string"),
    ],
)
def test_what_is_no_schedule_is_refused_in_kubernetes_words(schedule: str, message: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        Schedule.parse(schedule)
    assert str(caught.value) == message


def test_a_zone_nobody_knows_is_none() -> None:
    assert zone("Mars/Olympus") is None
    assert zone("../etc/passwd") is None
