"""Semantic versions: order by precedence, build data ignored."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from edgevirt.engine.cel.errors import EvaluationError
from edgevirt.engine.cel.functions import function, method, traversal
from edgevirt.engine.cel.types import BOOL, INT, STRING, Type, opaque
from edgevirt.engine.cel.values import Opaque

SEMVER = opaque("kubernetes.Semver")
_NUMBER = r"(0|[1-9]\d*)"
_FORM = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    r"(?:-((?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?"
    r"(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Version(Opaque):
    cel_type: ClassVar[Type] = SEMVER
    numbers: tuple[int, int, int]
    pre: tuple[tuple[int, int, str], ...]
    """Empty for a release. Numeric parts sort before words."""

    def order(self) -> tuple[Any, ...]:
        return (self.numbers, not self.pre, self.pre)


def parse(text: str, normalize: bool = False) -> Version:
    """Raises EvaluationError. `normalize` takes "v1.2" for "1.2.0"."""
    match = _FORM.fullmatch(_normalized(text) if normalize else text)
    if match is None:
        raise EvaluationError(f'semver parse error during conversion from string "{text}": Invalid version')
    numbers = (int(match.group(1)), int(match.group(2)), int(match.group(3)))
    pre = tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in (match.group(4) or "").split(".")
        if part
    )
    return Version(numbers, pre)


def _normalized(text: str) -> str:
    core = re.match(r"v?([\d.]*)(.*)", text.strip(), re.S)
    assert core is not None
    parts = [part.lstrip("0") or "0" for part in core.group(1).split(".") if part]
    return ".".join([*parts, "0", "0"][: max(3, len(parts))]) + core.group(2)


def _is_semver(text: str, normalize: bool = False) -> bool:
    try:
        parse(text, normalize)
    except EvaluationError:
        return False
    return True


def _compare(one: Version, two: Version) -> int:
    return (one.order() > two.order()) - (one.order() < two.order())


_READ = {"price": traversal(0)}

OVERLOADS = [
    function("semver", (STRING,), SEMVER, parse, **_READ),
    function("semver", (STRING, BOOL), SEMVER, parse, **_READ),
    function("isSemver", (STRING,), BOOL, _is_semver, **_READ),
    function("isSemver", (STRING, BOOL), BOOL, _is_semver, **_READ),
    method("major", (SEMVER,), INT, lambda version: version.numbers[0]),
    method("minor", (SEMVER,), INT, lambda version: version.numbers[1]),
    method("patch", (SEMVER,), INT, lambda version: version.numbers[2]),
    method("compareTo", (SEMVER, SEMVER), INT, _compare),
    method("isLessThan", (SEMVER, SEMVER), BOOL, lambda one, two: _compare(one, two) < 0),
    method("isGreaterThan", (SEMVER, SEMVER), BOOL, lambda one, two: _compare(one, two) > 0),
]
