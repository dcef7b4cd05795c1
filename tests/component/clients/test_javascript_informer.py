"""The official JavaScript client: typed calls, and an informer that goes on after a restart of the server."""

from __future__ import annotations

import os
import select
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_process import Client, Kubectl, Running
from test_python_libraries import PROGRAMS

import client_programs
from live_instance import Instance

pytestmark = pytest.mark.component


@pytest.fixture
def informer(shell: Client, namespace: str, tmp_path: Path) -> Iterator[Running]:
    # Node looks for modules beside the program.
    (tmp_path / "node_modules").symlink_to(client_programs.node_modules())
    program = shutil.copy(PROGRAMS / "informer.mjs", tmp_path)
    with shell.started("node", program, namespace, stdin=True) as running:
        yield running


def tell(informer: Running, line: str) -> None:
    assert informer.process.stdin is not None
    informer.process.stdin.write(f"{line}\n")
    informer.process.stdin.flush()


def restart(instance: Instance) -> None:
    """End the control plane as a stop of its service would, wait for its end, and start it again."""
    pid = instance.processes()["control-plane"]
    descriptor = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGTERM)
        assert select.select([descriptor], [], [], 30)[0], "the control plane does not end"
    finally:
        os.close(descriptor)
    instance.up_if_down()


@pytest.mark.client(
    "@kubernetes/client-node",
    "typed calls, patches, custom objects; an informer over a restart of the server",
)
def test_an_informer_outlives_the_server(
    informer: Running, admin: Kubectl, instance: Instance, namespace: str
) -> None:
    where = ("-n", namespace)
    informer.until('add a {"x":"1","y":"2"}')
    admin("create", "cm", "b", *where)
    admin("label", "cm", "b", *where, "app=node")
    informer.until("add b")
    admin("patch", "cm", "b", *where, "-p", '{"data": {"x": "new"}}')
    assert informer.until("update b") == 'update b {"x":"new"}'
    restart(instance)
    admin("delete", "cm", "b", *where)
    informer.until("delete b")
    admin("create", "cm", "c", *where)
    admin("label", "cm", "c", *where, "app=node")
    informer.until("add c")
    tell(informer, "list")
    assert informer.until("cache") == "cache a,c"
    tell(informer, "end")
    informer.until("done")
    assert informer.end() == 0
