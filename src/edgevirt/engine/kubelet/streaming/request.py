"""What an exec or attach request asks for: its query parameters, in the kubelet's spelling. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from multidict import MultiMapping


@dataclass(frozen=True, slots=True)
class Options:
    """Which streams the client wants. With a terminal there is no separate standard error."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool
    command: tuple[str, ...] = ()


def parse(query: MultiMapping[str]) -> Options:
    """Raises ValueError with the text for the client."""
    tty = _flag(query, "tty")
    options = Options(
        stdin=_flag(query, "input"),
        stdout=_flag(query, "output"),
        stderr=_flag(query, "error") and not tty,
        tty=tty,
        command=tuple(query.getall("command", [])),
    )
    if not (options.stdin or options.stdout or options.stderr):
        raise ValueError("you must specify at least 1 of stdin, stdout, stderr")
    return options


def _flag(query: MultiMapping[str], name: str) -> bool:
    return query.get(name, "") in ("1", "true")
