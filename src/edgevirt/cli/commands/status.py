"""`edgevirt status`: which processes of this machine's edgevirt run, and how its node and machines are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgevirt.cli import cluster, instance
from edgevirt.cli.errors import CommandError
from edgevirt.cli.output import output_option, show
from edgevirt.install.standalone import supervise

if TYPE_CHECKING:
    from edgevirt.kube.client import Client


@click.command("status")
@output_option
def status_command(output: str) -> int:
    """Show what is running on this machine. Exit code 1 if it is not healthy."""
    layout = instance.layout()
    pids = {name: supervise.running_pid(layout, name) for name in supervise.MODULES}
    result: dict[str, Any] = {
        "healthy": False,
        "kubeconfig": str(layout.admin_kubeconfig),
        "processes": {name: {"pid": pid} for name, pid in pids.items()},
        "nodes": [],
        "machines": {},
        "problem": "",
        "next": "edgevirt up",
    }
    if pids[supervise.CONTROL_PLANE] is not None:
        try:
            nodes, machines = cluster.run(layout.admin_kubeconfig, _look)
        except CommandError as error:
            result["problem"], result["next"] = str(error), error.next_step
        else:
            result["nodes"], result["machines"] = nodes, machines
            result["healthy"] = all(pids.values()) and bool(nodes) and all(node["ready"] for node in nodes)
            if all(pids.values()) and not result["healthy"]:
                result["next"] = "kubectl describe nodes"
    if result["healthy"]:
        result["next"] = ""
    show(result, output, _text)
    return 0 if result["healthy"] else 1


async def _look(client: Client) -> tuple[list[dict[str, Any]], dict[str, int]]:
    from edgevirt.api.kubevirt import VIRTUAL_MACHINES
    from edgevirt.api.resources import NODES

    nodes = [
        {
            "name": node.metadata.name,
            "ready": any(
                c.type == "Ready" and c.status == "True"
                for c in (node.status.conditions if node.status else ())
            ),
            "virtualization": node.metadata.labels.get("edgevirt.io/virtualization", "unknown"),
        }
        for node in (await client.list(NODES)).items
    ]
    machines: dict[str, int] = {}
    for vm in (await client.list(VIRTUAL_MACHINES)).items:
        word = vm.status.printable_status if vm.status and vm.status.printable_status else "Unknown"
        machines[word] = machines.get(word, 0) + 1
    return nodes, machines


def _text(result: dict[str, Any]) -> str:
    lines = []
    for name, process in result["processes"].items():
        lines.append(f"{name}: " + (f"running (pid {process['pid']})" if process["pid"] else "not running"))
    for node in result["nodes"]:
        state = "Ready" if node["ready"] else "not ready"
        lines.append(f"node {node['name']}: {state}, guests run under {node['virtualization']}")
    if result["machines"]:
        counts = ", ".join(f"{count} {word}" for word, count in sorted(result["machines"].items()))
        lines.append(f"virtual machines: {counts}")
    if result["problem"]:
        lines.append(f"problem: {result['problem']}")
    if result["next"]:
        lines.append(f"next: {result['next']}")
    if result["healthy"]:
        lines.append(f"export KUBECONFIG={result['kubeconfig']}")
    return "\n".join(lines)
