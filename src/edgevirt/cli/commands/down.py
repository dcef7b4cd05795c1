"""`edgevirt down`: shut all guests down, then the node, then the control plane."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from edgevirt.cli import cluster, instance
from edgevirt.cli.errors import CommandError
from edgevirt.cli.output import output_option, show

if TYPE_CHECKING:
    from edgevirt.install.standalone.config import Config
    from edgevirt.install.standalone.layout import Layout
    from edgevirt.kube.client import Client


@click.command("down")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    help="Seconds the guests have to shut down, all together.",
)
@click.option("--keep-guests", is_flag=True, help="Stop only edgevirt itself; guests go on running.")
@output_option
def down_command(timeout: float, keep_guests: bool, output: str) -> None:
    """Stop all guests and edgevirt; leaves nothing running behind.

    Machines are kept: those with run strategy Always start again with the next `edgevirt up`.
    """
    from edgevirt.install.standalone.instance import take_down

    layout = instance.layout()

    def drain(settings: Config) -> None:
        _drain(layout, settings.node_name, timeout)

    with instance.problems_as_errors():
        stopped = take_down(
            layout, None if keep_guests else drain, lambda words: click.echo(f"edgevirt: {words}", err=True)
        )
    words = "edgevirt is down." if stopped else "edgevirt is not running."
    show({"stopped": stopped}, output, lambda _: words)


def _drain(layout: Layout, node: str, timeout: float) -> None:
    from edgevirt.install.standalone.shutdown import drain

    async def empty(client: Client) -> list[str]:
        return await drain(client, node, timeout)

    try:
        left = cluster.run(layout.admin_kubeconfig, empty)
    except CommandError as error:
        raise CommandError(
            f"guests cannot be shut down in order: {error}",
            "edgevirt down again; or stop edgevirt alone: edgevirt down --keep-guests",
        ) from error
    if left:
        print(f"edgevirt: these did not end within {timeout:g} s: {', '.join(left)}", file=sys.stderr)
        raise CommandError("guests are still running", "edgevirt down again, with a longer --timeout")
