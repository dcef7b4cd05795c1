"""The small devices: controllers, tablet, watchdog, random numbers, memory balloon, sound, panic notifier."""

from __future__ import annotations

from dataclasses import dataclass

from edgevirt.virt_launcher.domain.element import Element, el

BALLOON_PERIOD = 10
"""Seconds between two memory statistics of the guest's balloon driver."""


@dataclass(frozen=True, slots=True)
class Controller:
    type: str
    model: str | None = None

    def to_xml(self) -> Element:
        return el("controller", type=self.type, index=0, model=self.model)


@dataclass(frozen=True, slots=True)
class Tablet:
    alias: str
    bus: str
    model: str | None = None

    def to_xml(self) -> Element:
        return el("input", el("alias", name=self.alias), type="tablet", bus=self.bus, model=self.model)


@dataclass(frozen=True, slots=True)
class Watchdog:
    alias: str
    model: str
    action: str

    def to_xml(self) -> Element:
        return el("watchdog", el("alias", name=self.alias), model=self.model, action=self.action)


@dataclass(frozen=True, slots=True)
class RandomNumbers:
    model: str

    def to_xml(self) -> Element:
        return el("rng", el("backend", model="random", text="/dev/urandom"), model=self.model)


@dataclass(frozen=True, slots=True)
class MemoryBalloon:
    """`model` "none" takes the device away; with it the guest gives free pages back to the host."""

    model: str

    def to_xml(self) -> Element:
        if self.model == "none":
            return el("memballoon", model="none")
        return el("memballoon", el("stats", period=BALLOON_PERIOD), model=self.model, freePageReporting="on")


@dataclass(frozen=True, slots=True)
class Sound:
    alias: str
    model: str

    def to_xml(self) -> Element:
        return el("sound", el("alias", name=self.alias), model=self.model)


@dataclass(frozen=True, slots=True)
class PanicNotifier:
    model: str

    def to_xml(self) -> Element:
        return el("panic", model=self.model)


Device = Controller | Tablet | Watchdog | RandomNumbers | MemoryBalloon | Sound | PanicNotifier
