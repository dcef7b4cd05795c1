"""RFC 3339 timestamps as the API accepts them."""

from __future__ import annotations

import datetime
import re

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def parse_time(value: str) -> datetime.datetime | None:
    """The instant `value` names, or None if it is not an RFC 3339 timestamp."""
    match = _RFC3339.fullmatch(value)
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    offset = "+00:00" if zone in "Zz" else zone
    micros = (fraction or ".0")[1:7].ljust(6, "0")
    try:
        return datetime.datetime.fromisoformat(f"{day}T{clock}.{micros}{offset}")
    except ValueError:
        return None


def time_error(value: str) -> str | None:
    """Why `value` is not a timestamp, in the words of Go's decoder, or None."""
    if value == "" or parse_time(value) is not None:
        return None
    return f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}" as "2006"'
