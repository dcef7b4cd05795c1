"""How long ago something was, in the few characters a table cell has."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from edgevirt.engine.apiserver.schema.timestamps import parse_time

UNKNOWN = "<unknown>"
INVALID = "<invalid>"


@dataclass(frozen=True, slots=True)
class Since:
    """A cell that depends on the time of rendering: the age of `time`, put into `template`."""

    time: str
    template: str = "{}"

    def render(self, now: datetime.datetime) -> str:
        return self.template.format(age(self.time, now))


def age(time: str, now: datetime.datetime) -> str:
    """`<unknown>` without a time, `<invalid>` for one that cannot be read or lies in the future."""
    if not time:
        return UNKNOWN
    instant = parse_time(time)
    return INVALID if instant is None else short_duration((now - instant).total_seconds())


def short_duration(seconds: float) -> str:
    """A duration with one or two units, finer where it is short: 95s, 4m30s, 5h10m, 3d4h, 2y30d."""
    whole = int(seconds)
    if whole < -1:
        return INVALID
    if whole < 0:
        return "0s"
    if whole < 120:
        return f"{whole}s"
    minutes, hours = whole // 60, whole // 3600
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 24 * 8:
        return _two(days, "d", hours % 24, "h")
    if days < 365 * 2:
        return f"{days}d"
    years = days // 365
    return _two(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
