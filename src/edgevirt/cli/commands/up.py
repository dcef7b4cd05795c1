"""`edgevirt up`: start this machine's control plane and node, whichever is not running."""

from __future__ import annotations

import sys

import click
import msgspec

from edgevirt.cli.errors import CommandError
from edgevirt.cli.output import output_option, show
from edgevirt.install.standalone import config, preflight, supervise
from edgevirt.install.standalone.layout import Layout

_DEADLINE = 90.0
"""Seconds each of the two processes has to become ready."""


@click.command("up")
@click.option("--api-address", help="Address the API server listens on [default: 127.0.0.1].")
@click.option("--api-port", type=int, help="Port of the API server [default: 6443].")
@click.option("--virt-api-port", type=int, help="Port of virt-api on loopback [default: 6444].")
@click.option("--kubelet-port", type=int, help="Port of the kubelet on loopback [default: 10250].")
@click.option("--virt-handler-port", type=int, help="Port of virt-handler on loopback [default: 8186].")
@click.option("--node-name", help="Name of the node [default: the host name].")
@click.option("--pod-subnet", help="IPv4 network of pods and guests [default: 10.244.0.0/24].")
@click.option("--bridge", help="Bridge the pods are connected to [default: edgevirt0].")
@click.option("--cgroup", help="Parent control group of the pods [default: edgevirt].")
@output_option
def up_command(output: str, **options: str | int | None) -> None:
    """Start edgevirt on this machine.

    The options are kept in /etc/edgevirt/config.yaml and need not be given again.
    """
    try:
        layout = Layout.from_environment()
    except ValueError as error:
        raise CommandError(str(error)) from error
    running = [name for name in supervise.MODULES if supervise.running_pid(layout, name) is not None]
    if len(running) == len(supervise.MODULES):
        raise CommandError("edgevirt is running already", "edgevirt status")
    try:
        kept = config.load(layout.config_file)
        given = {key: value for key, value in options.items() if value is not None}
        settings = msgspec.structs.replace(kept, **given)
        config.check(settings, "edgevirt up")
    except config.ConfigError as error:
        raise CommandError(str(error)) from error
    if running and settings != kept:
        raise CommandError(
            "settings cannot change while a part of edgevirt is running",
            "edgevirt down, then edgevirt up again",
        )
    problems = preflight.check(settings, layout.data, ports=not running)
    if problems:
        for problem in problems[1:]:
            print(f"edgevirt: {problem.words}\n  next: {problem.next_step}", file=sys.stderr)
        raise CommandError(problems[0].words, problems[0].next_step)
    try:
        layout.create()
        config.save(layout.config_file, settings)
        for name in supervise.MODULES:
            if name not in running:
                supervise.start(layout, name, _DEADLINE)
    except (supervise.ProcessError, OSError) as error:
        if not running:
            _undo(layout)
        raise CommandError(
            f"edgevirt could not be started: {error}", "mend that, then edgevirt up"
        ) from error
    result = {"kubeconfig": str(layout.admin_kubeconfig), "node": settings.node_name}
    show(
        result,
        output,
        lambda r: f"edgevirt is up on node {r['node']}.\n\n  export KUBECONFIG={r['kubeconfig']}",
    )


def _undo(layout: Layout) -> None:
    for name in reversed(supervise.MODULES):
        supervise.stop(layout, name, 20.0)
