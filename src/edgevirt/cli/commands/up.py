"""`edgevirt up`: start this machine's control plane and node, whichever is not running."""

from __future__ import annotations

import click

from edgevirt.cli import instance
from edgevirt.cli.output import output_option, show

_PORT = click.IntRange(1, 65535)


@click.command("up")
@click.option("--api-address", help="Address the API server listens on [default: 127.0.0.1].")
@click.option("--api-port", type=_PORT, metavar="PORT", help="Port of the API server [default: 6443].")
@click.option(
    "--virt-api-port", type=_PORT, metavar="PORT", help="Port of virt-api on loopback [default: 6444]."
)
@click.option(
    "--kubelet-port", type=_PORT, metavar="PORT", help="Port of the kubelet on loopback [default: 10250]."
)
@click.option(
    "--virt-handler-port",
    type=_PORT,
    metavar="PORT",
    help="Port of virt-handler on loopback [default: 8186].",
)
@click.option("--node-name", help="Name of the node [default: the host name].")
@click.option("--pod-subnet", help="IPv4 network of pods and guests [default: 10.244.0.0/24].")
@click.option("--service-subnet", help="Cluster addresses of services [default: 10.96.0.0/12].")
@click.option("--bridge", help="Bridge the pods are connected to [default: edgevirt0].")
@click.option("--cgroup", help="Parent control group of the pods [default: edgevirt].")
@click.option(
    "--audit-policy",
    metavar="LEVEL|FILE",
    help="Log requests: Metadata, Request, RequestResponse or a policy file [default: '', no log].",
)
@click.option(
    "--audit-log-maxsize",
    type=click.IntRange(1, 10_000),
    metavar="MIB",
    help="Size of one audit log file [default: 100].",
)
@click.option(
    "--audit-log-maxbackup",
    type=click.IntRange(1, 1_000),
    metavar="COUNT",
    help="Older audit log files to keep [default: 5].",
)
@output_option
def up_command(output: str, **options: str | int | None) -> None:
    """Start edgevirt on this machine.

    The options are kept in /etc/edgevirt/config.yaml and need not be given again.
    """
    from edgevirt.install.standalone.instance import bring_up

    layout = instance.layout()
    given = {key: value for key, value in options.items() if value is not None}
    with instance.problems_as_errors():
        settings = bring_up(layout, given)
    result = {"kubeconfig": str(layout.admin_kubeconfig), "node": settings.node_name}
    show(
        result,
        output,
        lambda r: f"edgevirt is up on node {r['node']}.\n\n  export KUBECONFIG={r['kubeconfig']}",
    )
