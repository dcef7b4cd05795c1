"""Ports of the machine that lead to containers."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from .conftest import Node, manifest, tables

pytestmark = pytest.mark.component


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serving(name: str, port: int) -> dict[str, Any]:
    command = f"mkdir /www; echo {name} > /www/index.html; exec httpd -f -p 80 -h /www"
    container = {
        "ports": [{"containerPort": 80, "hostPort": port}],
        "readinessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 1},
    }
    wanted = manifest(name, "sh", "-c", command, container=container)
    wanted["spec"]["terminationGracePeriodSeconds"] = 0
    return wanted


async def read(address: str, port: int) -> str:
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(address, port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        said = await reader.read()
        writer.close()
    return said.decode().rpartition("\r\n\r\n")[2].strip()


async def ready(node: Node, pod: Any) -> None:
    await node.api.until(lambda: node.api.status(pod) and node.api.status(pod).container_statuses[0].ready)


async def test_port_leads_to_the_container_over_a_restart_of_the_kubelet(node: Node) -> None:
    port = free_port()
    pod = node.api.add(serving("web", port))
    await ready(node, pod)
    bridge = node.settings.cni.subnet.rpartition(".")[0] + ".1"
    assert await read("127.0.0.1", port) == "web"
    assert await read(bridge, port) == "web"
    await node.stop()
    assert await read("127.0.0.1", port) == "web"
    await node.start()
    other = free_port()
    second = node.api.add(serving("other", other))
    await ready(node, second)
    assert await read("127.0.0.1", port) == "web", "the rules of the first pod were kept"
    assert await read("127.0.0.1", other) == "other"
    for one in (pod, second):
        node.api.ask_deletion(one, 0)
        await node.api.gone(one)
    assert f"edgevirt-hostports-{node.settings.cni.bridge}" not in tables()


async def test_port_that_another_pod_has_is_refused_as_kubelets_do(node: Node) -> None:
    port = free_port()
    first = node.api.add(serving("first", port))
    await ready(node, first)
    second = node.api.add(serving("second", port))
    await node.api.until(lambda: node.api.phase(second) == "Failed")
    status = node.api.status(second)
    assert status.reason == "NodePorts"
    assert status.message == (
        "Pod was rejected: Predicate NodePorts failed: "
        "node(s) didn't have free ports for the requested pod ports"
    )
    node.api.ask_deletion(first, 0)
    await node.api.gone(first)
    third = node.api.add(serving("third", port))
    await ready(node, third)
    assert await read("127.0.0.1", port) == "third"
