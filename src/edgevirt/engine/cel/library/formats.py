"""Named formats of Kubernetes: `format.dns1123Label().validate(x)` gives the complaints, if there are any."""

from __future__ import annotations

import base64
import binascii
import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from edgevirt.engine.cel.errors import EvaluationError
from edgevirt.engine.cel.functions import function, method, traversal
from edgevirt.engine.cel.library import times, urls
from edgevirt.engine.cel.types import STRING, Type, list_of, opaque, optional_of
from edgevirt.engine.cel.values import NONE, Opaque, Optional

FORMAT = opaque("kubernetes.NamedFormat")
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_UUID = r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}"
_SHAPES = {
    "label": "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must "
    f"start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation "
    f"is '{_LABEL}')",
    "subdomain": "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for "
    r"validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    "1035": "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used "
    f"for validation is '{_LABEL_1035}')",
    "qualified": "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    f"with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation "
    f"is '{_QUALIFIED}')",
    "value": "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "
    r"regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
}

Check = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class Format(Opaque):
    cel_type: ClassVar[Type] = FORMAT
    name: str


def _shape(expression: str, longest: int, complaint: str) -> Check:
    compiled = re.compile(expression)

    def check(text: str) -> list[str]:
        found = [] if len(text) <= longest else [f"must be no more than {longest} bytes"]
        return found if compiled.fullmatch(text) else [*found, complaint]

    return check


def _prefix(check: Check) -> Check:
    """Names that get a suffix may end with a dash."""
    return lambda text: check(text[:-1] + "a" if text.endswith("-") and len(text) > 1 else text)


def _qualified(text: str) -> list[str]:
    prefix, slash, name = text.rpartition("/")
    found = [f"prefix part {each}" for each in _CHECKS["dns1123Subdomain"](prefix)] if slash else []
    if len(name) > 63:
        found.append("name part must be no more than 63 bytes")
    return found if re.fullmatch(_QUALIFIED, name) else [*found, _SHAPES["qualified"]]


def _parses(parse: Callable[[str], object], complaint: str) -> Check:
    def check(text: str) -> list[str]:
        try:
            parse(text)
        except (EvaluationError, ValueError, binascii.Error):
            return [complaint]
        return []

    return check


def _date(text: str) -> datetime.date:
    if len(text) != 10:
        raise ValueError(text)
    return datetime.date.fromisoformat(text)


_CHECKS: dict[str, Check] = {
    "dns1123Label": _shape(_LABEL, 63, _SHAPES["label"]),
    "dns1123Subdomain": _shape(_SUBDOMAIN, 253, _SHAPES["subdomain"]),
    "dns1035Label": _shape(_LABEL_1035, 63, _SHAPES["1035"]),
    "qualifiedName": _qualified,
    "labelValue": _shape(rf"({_QUALIFIED})?", 63, _SHAPES["value"]),
    "uri": _parses(urls.parse, "invalid URI"),
    "uuid": _shape(_UUID, 36, "does not match the UUID format"),
    "byte": _parses(lambda text: base64.b64decode(text, validate=True), "invalid base64"),
    "date": _parses(_date, "invalid date"),
    "datetime": _parses(times.parse_timestamp, "invalid datetime"),
}
_CHECKS["dns1123LabelPrefix"] = _prefix(_CHECKS["dns1123Label"])
_CHECKS["dns1123SubdomainPrefix"] = _prefix(_CHECKS["dns1123Subdomain"])
_CHECKS["dns1035LabelPrefix"] = _prefix(_CHECKS["dns1035Label"])


def _validate(form: Format, text: str) -> Optional:
    found = _CHECKS[form.name](text)
    return Optional(True, found) if found else NONE


def _named(name: str) -> Optional:
    return Optional(True, Format(name)) if name in _CHECKS else NONE


def _maker(name: str) -> Callable[[], Format]:
    return lambda: Format(name)


OVERLOADS = [
    *(function(f"format.{name}", (), FORMAT, _maker(name)) for name in _CHECKS),
    function("format.named", (STRING,), optional_of(FORMAT), _named),
    method("validate", (FORMAT, STRING), optional_of(list_of(STRING)), _validate, price=traversal(1)),
]
