"""`edgevirt start | stop | restart`: the power switch of a VirtualMachine, through its subresources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgevirt.cli import cluster
from edgevirt.cli.errors import CommandError
from edgevirt.cli.output import output_option, show

if TYPE_CHECKING:
    from edgevirt.kube.client import Client

_API = "/apis/subresources.kubevirt.io/v1"
_DONE = {"start": "starting", "stop": "stopping", "restart": "restarting"}


def _switch(
    verb: str, name: str, namespace: str, kubeconfig: Path | None, body: dict[str, int], output: str
) -> None:
    path = f"{_API}/namespaces/{namespace}/virtualmachines/{name}/{verb}"

    async def put(client: Client) -> None:
        await client.request(
            "PUT", path, body=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )

    try:
        cluster.run(kubeconfig, put)
    except CommandError as error:
        raise CommandError(str(error), f"kubectl get vm {name} -n {namespace}") from error
    result = {"kind": "VirtualMachine", "namespace": namespace, "name": name, "action": verb}
    show(result, output, lambda _: f"VM {name} is {_DONE[verb]}")


@click.command("start")
@click.argument("name")
@cluster.namespace_option
@cluster.kubeconfig_option
@output_option
def start_command(name: str, namespace: str, kubeconfig: Path | None, output: str) -> None:
    """Start the virtual machine NAME."""
    _switch("start", name, namespace, kubeconfig, {}, output)


@click.command("stop")
@click.argument("name")
@click.option("--grace-period", type=click.IntRange(min=0), help="Seconds the guest has to shut down.")
@cluster.namespace_option
@cluster.kubeconfig_option
@output_option
def stop_command(
    name: str, grace_period: int | None, namespace: str, kubeconfig: Path | None, output: str
) -> None:
    """Stop the virtual machine NAME: its guest is asked to shut down, then ended."""
    body = {} if grace_period is None else {"gracePeriod": grace_period}
    _switch("stop", name, namespace, kubeconfig, body, output)


@click.command("restart")
@click.argument("name")
@click.option("--force", is_flag=True, help="Do not wait for the guest to shut down.")
@cluster.namespace_option
@cluster.kubeconfig_option
@output_option
def restart_command(name: str, force: bool, namespace: str, kubeconfig: Path | None, output: str) -> None:
    """Restart the virtual machine NAME: it stops and starts anew, with changes of its template."""
    body = {"gracePeriodSeconds": 0} if force else {}
    _switch("restart", name, namespace, kubeconfig, body, output)
