"""`edgevirt down`: shut all guests down, then the node, then the control plane."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from edgevirt.cli import cluster
from edgevirt.cli.errors import CommandError
from edgevirt.cli.output import output_option, show
from edgevirt.install.standalone import config, supervise
from edgevirt.install.standalone.layout import Layout

if TYPE_CHECKING:
    from edgevirt.kube.client import Client

_STOP_DEADLINE = 30.0
"""Seconds a process has to end after SIGTERM."""


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
    layout = Layout.from_environment()
    running = {name: supervise.running_pid(layout, name) for name in supervise.MODULES}
    if not any(running.values()):
        if not keep_guests and any(layout.pods.glob("*")):
            raise CommandError(
                "edgevirt is not running, but pods of its last run are still here",
                "edgevirt up, then edgevirt down",
            )
        show({"stopped": []}, output, lambda _: "edgevirt is not running.")
        return
    if not keep_guests:
        if not all(running.values()):
            missing = next(name for name, pid in running.items() if pid is None)
            raise CommandError(
                f"{missing} is not running, so guests cannot be shut down in an orderly way",
                "edgevirt up, then edgevirt down; or leave guests running: edgevirt down --keep-guests",
            )
        _drain(layout, timeout)
    stopped = [name for name in reversed(supervise.MODULES) if supervise.stop(layout, name, _STOP_DEADLINE)]
    show({"stopped": stopped}, output, lambda _: "edgevirt is down.")


def _drain(layout: Layout, timeout: float) -> None:
    from edgevirt.install.standalone.shutdown import drain

    node = config.load(layout.config_file).node_name

    async def empty(client: Client) -> list[str]:
        return await drain(client, node, timeout)

    left = cluster.run(layout.admin_kubeconfig, empty)
    if left:
        print(f"edgevirt: these did not end within {timeout:.0f} s: {', '.join(left)}", file=sys.stderr)
        raise CommandError("guests are still running", "edgevirt down again, with a longer --timeout")
