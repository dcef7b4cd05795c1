"""Rules about the guest's CPUs, memory, machine, firmware and clock."""

from __future__ import annotations

import fnmatch
import re
import uuid
import zoneinfo
from collections.abc import Iterator
from typing import Any, Final

from edgevirt.api import quantity
from edgevirt.api.meta import StatusCause
from edgevirt.virt_api.causes import invalid, not_supported, required
from edgevirt.virt_api.json_values import JsonObject, child

MACHINE_TYPES: Final = ("q35*", "pc-q35*")
"""Patterns of machine types that may be asked for."""
MAX_VCPUS: Final = 512
MIN_MEMORY: Final = 1_000_000
"""Bytes; what is less is certainly a forgotten suffix."""
_CPU_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TIMEZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


def check(spec: JsonObject, path: str) -> Iterator[StatusCause]:
    """What is wrong with `domain` of an instance's spec, devices apart."""
    domain = child(spec, "domain")
    here = f"{path}.domain"
    yield from _cpu(domain, here)
    yield from _memory(domain, here)
    machine_type = child(domain, "machine").get("type")
    if machine_type and not any(fnmatch.fnmatchcase(machine_type, pattern) for pattern in MACHINE_TYPES):
        yield invalid(
            f"{here}.machine.type",
            f'{here}.machine.type: "{machine_type}" is not available; use q35 or a version of it such as '
            "pc-q35-7.2",
        )
    yield from _firmware(child(domain, "firmware"), f"{here}.firmware")
    yield from _clock(child(domain, "clock"), f"{here}.clock")


def _cpu(domain: JsonObject, path: str) -> Iterator[StatusCause]:
    cpu = child(domain, "cpu")
    total = 1
    for key in ("sockets", "cores", "threads"):
        count = cpu.get(key)
        if count is None:
            continue
        if count < 0:
            yield invalid(f"{path}.cpu.{key}", f"{path}.cpu.{key} must be at least 1, not {count}")
        total *= max(count, 1)
    if total > MAX_VCPUS:
        yield invalid(
            f"{path}.cpu",
            f"{path}.cpu: sockets x cores x threads is {total}, which is over {MAX_VCPUS}",
        )
    model = cpu.get("model")
    if model and not _CPU_MODEL.fullmatch(model):
        yield invalid(f"{path}.cpu.model", f'{path}.cpu.model: "{model}" is not the name of a CPU model')
    yield from _resource(domain, path, "cpu")


def _memory(domain: JsonObject, path: str) -> Iterator[StatusCause]:
    resources = child(domain, "resources")
    guest = child(domain, "memory").get("guest")
    limit = child(resources, "limits").get("memory")
    request = child(resources, "requests").get("memory")
    if guest is None and limit is None and request is None:
        yield required(
            f"{path}.memory.guest",
            f"no memory is asked for; set {path}.memory.guest, for example to 512Mi",
        )
    unusable = False
    for cause in _resource(domain, path, "memory"):
        unusable = True
        yield cause
    if request is not None and 0 <= quantity.to_bytes(request) < MIN_MEMORY:
        unusable = True
        yield invalid(
            f"{path}.resources.requests.memory",
            f"{path}.resources.requests.memory: {request} is less than 1M; is a suffix such as Mi missing?",
        )
    if guest is None or unusable:
        return
    if quantity.to_bytes(guest) < MIN_MEMORY:
        yield invalid(
            f"{path}.memory.guest",
            f"{path}.memory.guest: {guest} is less than 1M; is a suffix such as Mi missing?",
        )
    elif limit is not None and quantity.parse(guest) > quantity.parse(limit):
        yield invalid(
            f"{path}.memory.guest",
            f"{path}.memory.guest: {guest} is more than {path}.resources.limits.memory ({limit}), "
            "so the guest would be killed; raise the limit or leave it out",
        )


def _resource(domain: JsonObject, path: str, name: str) -> Iterator[StatusCause]:
    resources = child(domain, "resources")
    values: dict[str, Any] = {}
    for kind in ("limits", "requests"):
        value = child(resources, kind).get(name)
        if value is None:
            continue
        values[kind] = quantity.parse(value)
        if values[kind] < 0:
            here = f"{path}.resources.{kind}.{name}"
            yield invalid(here, f"{here}: {value} is negative")
    if "limits" in values and "requests" in values and values["requests"] > values["limits"]:
        here = f"{path}.resources.requests.{name}"
        yield invalid(here, f"{here} is more than {path}.resources.limits.{name}")


def _firmware(firmware: JsonObject, path: str) -> Iterator[StatusCause]:
    if given := firmware.get("uuid"):
        try:
            uuid.UUID(given)
        except ValueError:
            yield invalid(f"{path}.uuid", f'{path}.uuid: "{given}" is not a UUID')
    serial = firmware.get("serial", "") or ""
    if len(serial) > 256 or not serial.isprintable():
        yield invalid(f"{path}.serial", f"{path}.serial must be at most 256 printable characters")
    bootloader = child(firmware, "bootloader")
    bios, efi = bootloader.get("bios"), bootloader.get("efi")
    if bios is not None and efi is not None:
        yield invalid(f"{path}.bootloader.efi", f"{path}.bootloader: choose either bios or efi, not both")
    if isinstance(efi, dict) and efi.get("secureBoot") is None:
        here = f"{path}.bootloader.efi.secureBoot"
        yield not_supported(
            here, f"{here} is true when absent, and Secure Boot is not supported yet; set it to false"
        )


def _clock(clock: JsonObject, path: str) -> Iterator[StatusCause]:
    timezone = clock.get("timezone")
    if not timezone:
        return
    if clock.get("utc") is not None:
        yield invalid(f"{path}.timezone", f"{path}: choose either utc or timezone, not both")
    if not _TIMEZONE.fullmatch(timezone) or not _is_known(timezone):
        yield invalid(
            f"{path}.timezone",
            f'{path}.timezone: "{timezone}" is not a known time zone; write for example Europe/Berlin',
        )


def _is_known(timezone: str) -> bool:
    try:
        zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        # Without time zone data nothing can be looked up here; the node's own data decide then.
        return not zoneinfo.available_timezones()
    return True
