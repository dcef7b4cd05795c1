"""The guest's clock and timers."""

from __future__ import annotations

from dataclasses import dataclass

from edgevirt.virt_launcher.domain.element import Element, el


@dataclass(frozen=True, slots=True)
class Timer:
    name: str
    present: bool | None = None
    tick_policy: str | None = None
    track: str | None = None

    def to_xml(self) -> Element:
        return el(
            "timer", name=self.name, track=self.track, tickpolicy=self.tick_policy, present=self.present
        )


@dataclass(frozen=True, slots=True)
class Clock:
    """UTC, UTC shifted by `offset_seconds`, or the local time of `timezone`."""

    offset_seconds: int | None = None
    timezone: str = ""
    timers: tuple[Timer, ...] = ()

    def to_xml(self) -> Element:
        timers = tuple(timer.to_xml() for timer in self.timers)
        if self.timezone:
            return el("clock", *timers, offset="timezone", timezone=self.timezone)
        if self.offset_seconds is not None:
            return el("clock", *timers, offset="variable", adjustment=self.offset_seconds, basis="utc")
        return el("clock", *timers, offset="utc")
