"""Points in time and spans: their text forms (RFC 3339, Go's durations) and their parts."""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Callable

from edgevirt.engine.cel.errors import EvaluationError
from edgevirt.engine.cel.functions import Overload, function, method
from edgevirt.engine.cel.types import DURATION, INT, STRING, TIMESTAMP
from edgevirt.engine.cel.values import Duration, Timestamp

_UTC = datetime.UTC
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=_UTC)
_SECOND = 10**9
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
_SPAN = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_MAX_SPAN = 2**63
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)


def parse_timestamp(text: str) -> Timestamp:
    """Raises EvaluationError if `text` is no RFC 3339 time."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise EvaluationError(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse')
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    try:
        moment = datetime.datetime(year, month, day, hour, minute, second, tzinfo=_UTC)
    except ValueError as error:
        raise EvaluationError(f'parsing time "{text}": {error}') from error
    nanos = round((moment - _EPOCH).total_seconds()) * _SECOND + int(
        (match.group(7) or "0")[:9].ljust(9, "0")
    )
    if match.group(8):
        offset = (int(match.group(9)) * 60 + int(match.group(10))) * 60 * _SECOND
        nanos += -offset if match.group(8) == "+" else offset
    return Timestamp(nanos)


def parse_duration(text: str) -> Duration:
    """Raises EvaluationError if `text` is no duration as Go writes them ("1h30m")."""
    body = text[1:] if text[:1] in ("+", "-") else text
    total, end = 0, 0
    for match in _SPAN.finditer(body):
        if match.start() != end:
            break
        whole, _, fraction = match.group(1).partition(".")
        unit = _UNITS[match.group(2)]
        total += int(whole or 0) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
        end = match.end()
    if body != "0" and (not body or end != len(body)):
        raise EvaluationError(f'time: invalid duration "{text}"')
    if total >= _MAX_SPAN:
        raise EvaluationError(f'time: invalid duration "{text}"')
    return Duration(-total if text.startswith("-") else total)


def shown_timestamp(moment: Timestamp) -> str:
    seconds, nanos = divmod(moment.nanos, _SECOND)
    text = _moment(Timestamp(seconds * _SECOND), _UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{nanos:09d}".rstrip("0") + "Z" if nanos else f"{text}Z"


def shown_duration(span: Duration) -> str:
    whole, nanos = divmod(abs(span.nanos), _SECOND)
    text = f"{whole}.{nanos:09d}".rstrip("0") if nanos else str(whole)
    return f"{'-' if span.nanos < 0 else ''}{text}s"


def _moment(moment: Timestamp, zone: datetime.tzinfo) -> datetime.datetime:
    try:
        return (_EPOCH + datetime.timedelta(microseconds=moment.nanos // 1000)).astimezone(zone)
    except OverflowError as error:
        raise EvaluationError("timestamp overflow") from error


def _zone(name: str) -> datetime.tzinfo:
    match = _OFFSET.fullmatch(name)
    if match is not None:
        minutes = int(match.group(2)) * 60 + int(match.group(3))
        return datetime.timezone(datetime.timedelta(minutes=-minutes if match.group(1) == "-" else minutes))
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise EvaluationError(f"unknown time zone {name}") from error


_PARTS: dict[str, Callable[[datetime.datetime], int]] = {
    "getFullYear": lambda moment: moment.year,
    "getMonth": lambda moment: moment.month - 1,
    "getDayOfYear": lambda moment: moment.timetuple().tm_yday - 1,
    "getDayOfMonth": lambda moment: moment.day - 1,
    "getDate": lambda moment: moment.day,
    "getDayOfWeek": lambda moment: moment.isoweekday() % 7,
    "getHours": lambda moment: moment.hour,
    "getMinutes": lambda moment: moment.minute,
    "getSeconds": lambda moment: moment.second,
    "getMilliseconds": lambda moment: moment.microsecond // 1000,
}


def _of_timestamp(name: str) -> list[Overload]:
    part = _PARTS[name]
    return [
        method(name, (TIMESTAMP,), INT, lambda moment: part(_moment(moment, _UTC))),
        method(name, (TIMESTAMP, STRING), INT, lambda moment, zone: part(_moment(moment, _zone(zone)))),
    ]


def _of_duration(name: str, unit: int) -> Overload:
    def count(span: Duration) -> int:
        return span.nanos // unit if span.nanos >= 0 else -(-span.nanos // unit)

    return method(name, (DURATION,), INT, count)


OVERLOADS = [
    function("timestamp", (STRING,), TIMESTAMP, parse_timestamp),
    function("timestamp", (INT,), TIMESTAMP, lambda seconds: Timestamp(seconds * _SECOND)),
    function("timestamp", (TIMESTAMP,), TIMESTAMP, lambda moment: moment),
    function("duration", (STRING,), DURATION, parse_duration),
    function("duration", (INT,), DURATION, Duration),
    function("duration", (DURATION,), DURATION, lambda span: span),
    *(overload for name in _PARTS for overload in _of_timestamp(name)),
    _of_duration("getHours", 3600 * _SECOND),
    _of_duration("getMinutes", 60 * _SECOND),
    _of_duration("getSeconds", _SECOND),
    Overload(
        "getMilliseconds",
        (DURATION,),
        INT,
        lambda span: span.nanos // 10**6 if span.nanos >= 0 else -(-span.nanos // 10**6),
        member=True,
    ),
]
