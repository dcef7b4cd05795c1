"""Cron schedules as Kubernetes reads them: five fields, or a descriptor such as @hourly or @every 1h30m.

The rules are those of the parser Kubernetes uses: ranges, steps, lists, names of months and days, `?` for
`*`; if both the day of the month and the day of the week are restricted, either suffices. Wall-clock times
that a change to summer time skips do not happen. Pure; times are aware datetimes of whole seconds.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import zoneinfo

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
DAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, MONTHS),
    (0, 6, DAYS),
)
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_HORIZON = 5
"""Years after which a schedule that has not come counts as one that never does (30 February)."""


class ScheduleError(ValueError):
    """The text is no schedule; the message is Kubernetes'."""


def zone(name: str) -> datetime.tzinfo | None:
    """The time zone of that name; None if there is none."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Schedule:
    """The allowed values of each field; with `every` set, a fixed distance instead."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = True
    any_weekday: bool = True
    every: datetime.timedelta | None = None

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Raises ScheduleError."""
        if not text:
            raise ScheduleError("empty spec string")
        if text.startswith("@every "):
            return cls(every=_duration(text.removeprefix("@every "), text))
        if text.startswith("@"):
            if text not in _DESCRIPTORS:
                raise ScheduleError(f"unrecognized descriptor: {text}")
            text = _DESCRIPTORS[text]
        fields = text.split()
        if len(fields) != len(_FIELDS):
            raise ScheduleError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
        minutes, hours, days, months, weekdays = (
            _values(field, *facts) for field, facts in zip(fields, _FIELDS, strict=True)
        )
        return cls(minutes, hours, days, months, weekdays, _is_star(fields[2]), _is_star(fields[4]))

    def after(self, moment: datetime.datetime) -> datetime.datetime | None:
        """The first time later than `moment`, in its zone; None if there is none within five years."""
        if self.every is not None:
            return (moment + self.every).replace(microsecond=0)
        day = moment.replace(second=0, microsecond=0, tzinfo=None) + datetime.timedelta(minutes=1)
        limit = moment.year + _HORIZON
        first = True
        while day.year <= limit:
            if day.month in self.months and self._fits(day):
                start = day if first else day.replace(hour=0, minute=0)
                found = self._within(start, moment)
                if found is not None:
                    return found
            first = False
            day = day.replace(hour=0, minute=0) + datetime.timedelta(days=1)
        return None

    def _within(self, start: datetime.datetime, moment: datetime.datetime) -> datetime.datetime | None:
        """The first time of start's day at or after `start` that exists and is later than `moment`."""
        for hour in sorted(self.hours):
            if hour < start.hour:
                continue
            for minute in sorted(self.minutes):
                if hour == start.hour and minute < start.minute:
                    continue
                wall = start.replace(hour=hour, minute=minute, tzinfo=moment.tzinfo)
                if _exists(wall) and wall > moment:
                    return wall
        return None

    def _fits(self, day: datetime.datetime) -> bool:
        in_month = day.day in self.days
        in_week = (day.weekday() + 1) % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return in_month and in_week
        return in_month or in_week


def _exists(wall: datetime.datetime) -> bool:
    """Whether clocks show this time: it survives the way to UTC and back."""
    back = wall.astimezone(datetime.UTC).astimezone(wall.tzinfo)
    return back.replace(tzinfo=None) == wall.replace(tzinfo=None)


def _is_star(field: str) -> bool:
    return any(part.split("/")[0] in ("*", "?") and "/" not in part for part in field.split(","))


def _values(field: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    values: set[int] = set()
    for part in field.split(","):
        values.update(_range(part, low, high, names))
    return frozenset(values)


def _range(part: str, low: int, high: int, names: dict[str, int]) -> range:
    bounds, *steps = part.split("/")
    ends = bounds.split("-")
    if len(steps) > 1:
        raise ScheduleError(f"too many slashes: {part}")
    if len(ends) > 2:
        raise ScheduleError(f"too many hyphens: {part}")
    if ends[0] in ("*", "?"):
        first, last = low, high
    else:
        first = _number(ends[0], names)
        last = _number(ends[1], names) if len(ends) == 2 else high if steps else first
    step = _number(steps[0], {}) if steps else 1
    if first < low:
        raise ScheduleError(f"beginning of range ({first}) below minimum ({low}): {part}")
    if last > high:
        raise ScheduleError(f"end of range ({last}) above maximum ({high}): {part}")
    if first > last:
        raise ScheduleError(f"beginning of range ({first}) beyond end of range ({last}): {part}")
    if step == 0:
        raise ScheduleError(f"step of range should be a positive number: {part}")
    return range(first, last + 1, step)


def _number(text: str, names: dict[str, int]) -> int:
    named = names.get(text.lower())
    if named is not None:
        return named
    if not text.lstrip("+-").isdecimal():
        fault = f'strconv.Atoi: parsing "{text}": invalid syntax'
        raise ScheduleError(f"failed to parse int from {text}: {fault}")
    number = int(text)
    if number < 0:
        raise ScheduleError(f"negative number ({number}) not allowed: {text}")
    return number


def _duration(text: str, whole: str) -> datetime.timedelta:
    pieces = _DURATION.findall(text)
    if not pieces or "".join(number + unit for number, unit in pieces) != text:
        raise ScheduleError(f'failed to parse duration {whole}: time: invalid duration "{text}"')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in pieces)
    return datetime.timedelta(seconds=max(1, int(seconds)))
