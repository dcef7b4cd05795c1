"""Which instance on this machine a command is about, and its problems as errors of the command."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from edgevirt.cli.errors import CommandError
from edgevirt.install.standalone.layout import Layout


def layout() -> Layout:
    """Where this instance's files are. Raises CommandError if $EDGEVIRT_ROOT is no good."""
    try:
        return Layout.from_environment()
    except ValueError as error:
        raise CommandError(str(error), "export EDGEVIRT_ROOT=/some/directory, or unset it") from error


@contextmanager
def problems_as_errors() -> Iterator[None]:
    """Print every problem but the first, which becomes the error of the command and is printed last."""
    from edgevirt.install.standalone.instance import Problems

    try:
        yield
    except Problems as found:
        first, *others = found.problems
        for problem in others:
            print(f"edgevirt: {problem.words}\n  next: {problem.next_step}", file=sys.stderr)
        raise CommandError(first.words, first.next_step) from found
