"""`edgevirt version`."""

from __future__ import annotations

import click

from edgevirt.cli.output import output_option, show


@click.command("version")
@output_option
def version_command(output: str) -> None:
    """Show the version."""
    from importlib.metadata import version

    show({"version": version("edgevirt")}, output, lambda result: f"edgevirt {result['version']}")
