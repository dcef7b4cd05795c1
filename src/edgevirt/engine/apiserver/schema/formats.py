"""String formats a custom resource's schema may name, and which texts satisfy them.

The list is the one structural schemas support; a format that is not listed is documentation only, as on a
real server. Every checker takes text and never raises.
"""

from __future__ import annotations

import binascii
import datetime
import ipaddress
import re
import urllib.parse
from collections.abc import Callable

from edgevirt.engine.apiserver.schema.timestamps import parse_time

_GO_DURATION = re.compile(r"[+-]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)")
_WORD_DURATION = re.compile(
    r"(\d+)\s*(nano\w*|ns|micro\w*|us|µs|milli\w*|ms|sec\w*|s|min\w*|m|hr|hour|hours|h|day|days|d|week|weeks|wk|w)",
    re.ASCII,
)
_HOSTNAME = re.compile(
    r"[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)*\.?"
)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_MAC = re.compile(
    r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}|([0-9A-Fa-f]{2}[:-]){7}[0-9A-Fa-f]{2}|([0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}"
)
_HEX_COLOR = re.compile(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_RGB_COLOR = re.compile(
    r"rgb\(\s*(\d{1,2}|1\d\d|2[0-4]\d|25[0-5])(\s*,\s*(\d{1,2}|1\d\d|2[0-4]\d|25[0-5])){2}\s*\)"
)
_SHORT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LONG_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def _uuid(version: str) -> re.Pattern[str]:
    return re.compile(
        rf"[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{version}[0-9a-f]{{3}}-?[0-9a-f]{{4}}-?[0-9a-f]{{12}}", re.IGNORECASE
    )


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


def is_duration(text: str) -> bool:
    """Go duration text ("1h30m") or a count with a unit in words ("5 hours")."""
    return bool(_GO_DURATION.fullmatch(text) or _WORD_DURATION.fullmatch(text))


def _is_base64(text: str) -> bool:
    try:
        binascii.a2b_base64(text.encode(), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        return False
    return len(text) % 4 == 0


def _is_address(version: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return ipaddress.ip_address(text).version == version and "%" not in text
        except ValueError:
            return False

    return check


def _is_cidr(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return "/" in text


def _is_date(text: str) -> bool:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10


def _is_uri(text: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) or text.startswith("/")


def _is_time(text: str) -> bool:
    return parse_time(text) is not None


FORMATS: dict[str, Callable[[str], bool]] = {
    "byte": _is_base64,
    "cidr": _is_cidr,
    "date": _is_date,
    "date-time": _is_time,
    "datetime": _is_time,
    "duration": is_duration,
    "email": _matches(_EMAIL),
    "hexcolor": _matches(_HEX_COLOR),
    "hostname": lambda text: len(text) <= 255 and _HOSTNAME.fullmatch(text) is not None,
    "ipv4": _is_address(4),
    "ipv6": _is_address(6),
    "k8s-long-name": lambda text: len(text) <= 253 and _LONG_NAME.fullmatch(text) is not None,
    "k8s-short-name": _matches(_SHORT_NAME),
    "mac": _matches(_MAC),
    "rgbcolor": _matches(_RGB_COLOR),
    "uri": _is_uri,
    "uuid": _matches(_uuid("[0-9a-f]")),
    "uuid3": _matches(_uuid("3")),
    "uuid4": _matches(_uuid("4")),
    "uuid5": _matches(_uuid("5")),
}

INTEGER_BOUNDS: dict[str, tuple[int, int]] = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
}
