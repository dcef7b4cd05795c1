"""The subset of JSONPath that printer columns use.

`.a.b`, `['a']`, `[0]`, `[-1]`, `[1:3]`, `[*]`, `..name` is refused; filters compare one field of an item
with a literal: `[?(@.type=="Ready")]` (also !=, <, <=, >, >=) or ask for its presence: `[?(@.name)]`.
A path is parsed once and evaluated for every row.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(
    r"""
    \.(?P<name>(?:[^.\[\]\\*]|\\.)+)
  | (?P<all>\.\*|\[\*\])
  | \[(?P<index>-?\d+)\]
  | \[(?P<slice>-?\d*:-?\d*)\]
  | \[(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)")\]
  | \[\?\(\s*@(?P<where>(?:\.[^.\s=!<>)\[\]]+)*)\s*
      (?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<literal>"[^"]*"|'[^']*'|[^)\s]+)\s*)?\)\]
    """,
    re.VERBOSE,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Step = Callable[[Any], list[Any]]


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A parsed path."""

    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, text: str) -> JsonPath:
        """Raises ValueError saying where the path is not understood."""
        body = text.strip()
        if body.startswith("{") and body.endswith("}"):
            body = body[1:-1]
        body = body.removeprefix("$")
        steps: list[Step] = []
        position = 0
        while position < len(body):
            match = _TOKEN.match(body, position)
            if match is None:
                raise ValueError(f"{body[position:]!r} is not understood in {text!r}")
            steps.append(_step(match))
            position = match.end()
        return cls(tuple(steps))

    def find(self, value: Any) -> list[Any]:
        """All values the path leads to, in document order; [] when it leads nowhere."""
        current = [value]
        for step in self.steps:
            current = [found for item in current for found in step(item)]
            if not current:
                return current
        return current


def _step(match: re.Match[str]) -> Step:
    name = match["name"]
    if name is not None:
        return _field(re.sub(r"\\(.)", r"\1", name))
    if match["all"]:
        return _all
    if match["index"]:
        return _index(int(match["index"]))
    if match["slice"]:
        start, _, end = match["slice"].partition(":")
        return _slice(int(start) if start else None, int(end) if end else None)
    quoted = match["single"] if match["single"] is not None else match["double"]
    if quoted is not None:
        return _field(quoted)
    where = [part for part in match["where"].split(".") if part]
    return _filter(where, match["op"], _literal(match["literal"]) if match["literal"] else None)


def _field(name: str) -> Step:
    return lambda value: [value[name]] if isinstance(value, dict) and name in value else []


def _all(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _index(position: int) -> Step:
    def step(value: Any) -> list[Any]:
        fits = isinstance(value, list) and -len(value) <= position < len(value)
        return [value[position]] if fits else []

    return step


def _slice(start: int | None, end: int | None) -> Step:
    return lambda value: value[start:end] if isinstance(value, list) else []


def _filter(where: list[str], comparison: str | None, literal: Any) -> Step:
    def holds(item: Any) -> bool:
        for name in where:
            if not isinstance(item, dict) or name not in item:
                return False
            item = item[name]
        if comparison is None:
            return True
        try:
            return _COMPARE[comparison](item, literal)
        except TypeError:
            return False

    return lambda value: [item for item in value if holds(item)] if isinstance(value, list) else []


def _literal(text: str) -> Any:
    if text[0] in "\"'":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither quoted text, a number nor true or false") from None
