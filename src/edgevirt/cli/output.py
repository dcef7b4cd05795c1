"""Printing a result as JSON, YAML or text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import click

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "yaml"]),
    default="text",
    show_default=True,
    help="How to print the result.",
)


def show(result: Any, output: str, text: Callable[[Any], str]) -> None:
    """Print `result` in the form asked for; `text` makes the one for people."""
    if output == "json":
        click.echo(json.dumps(result, indent=2))
    elif output == "yaml":
        import yaml

        click.echo(yaml.safe_dump(result, sort_keys=False), nl=False)
    else:
        click.echo(text(result))


def table(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Columns as kubectl prints them: upper-case headers, three spaces between."""
    widths = [max(len(row[i]) for row in [headers, *rows]) for i in range(len(headers))]
    lines = [
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in [headers, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)
