"""`edgevirt console`: the guest's serial console in this terminal. Ctrl+] ends it.

The terminal is put into raw mode only when the connection stands, and is restored however the command ends.
Without a terminal (a pipe) what comes from stdin is sent and the output is printed until the guest or the
server closes the connection.
"""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgevirt.cli import cluster
from edgevirt.cli.errors import CommandError

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse

    from edgevirt.kube.client import Client

ESCAPE = b"\x1d"
SUBPROTOCOL = "plain.kubevirt.io"
_CHUNK = 4096


@click.command("console")
@click.argument("name")
@click.option(
    "--timeout", type=float, default=5.0, show_default=True, help="Minutes to wait for the guest to run."
)
@click.option("--until", metavar="TEXT", help="Leave by itself once the guest has printed TEXT.")
@cluster.namespace_option
@cluster.kubeconfig_option
def console_command(
    name: str, timeout: float, until: str | None, namespace: str, kubeconfig: Path | None
) -> None:
    """Connect to the serial console of the virtual machine NAME. Leave with Ctrl+]."""

    async def attach(client: Client) -> None:
        await _wait_until_running(client, name, namespace, timeout * 60)
        path = (
            f"/apis/subresources.kubevirt.io/v1/namespaces/{namespace}/virtualmachineinstances/{name}/console"
        )
        async with client.websocket(path, protocols=(SUBPROTOCOL,)) as socket:
            if sys.stdin.isatty():
                print(f"Connected to {name}. Leave with Ctrl+]. Press Enter for a prompt.", file=sys.stderr)
            with _raw_terminal():
                await _relay(socket, until.encode() if until else b"")
        if sys.stdin.isatty():
            print("\r\nThe console was closed.", file=sys.stderr)

    cluster.run(kubeconfig, attach)


async def _wait_until_running(client: Client, name: str, namespace: str, seconds: float) -> None:
    """Return when the instance is Running; the wait is a watch, not a poll."""
    from edgevirt.api.kubevirt import VIRTUAL_MACHINE_INSTANCES
    from edgevirt.api.kubevirt.phases import Phase, is_final

    async def running() -> None:
        watch = client.watch(
            VIRTUAL_MACHINE_INSTANCES, namespace=namespace, field_selector=f"metadata.name={name}"
        )
        async for event in watch:
            status = event.object.status if event.object is not None else None
            if status is None:
                continue
            if status.phase == Phase.RUNNING:
                return
            if is_final(status.phase):
                raise CommandError(
                    f"the guest of {name} has ended ({status.phase})", f"kubectl describe vmi {name}"
                )

    try:
        await asyncio.wait_for(running(), seconds)
    except TimeoutError as error:
        raise CommandError(
            f"{name} is not running after {seconds:.0f} s", f"kubectl get vm,vmi {name} -n {namespace}"
        ) from error


@contextmanager
def _raw_terminal() -> Iterator[None]:
    if not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


async def _relay(socket: ClientWebSocketResponse, until: bytes) -> None:
    """Copy both ways until Ctrl+] is typed, `until` was printed, or the server closes."""
    import aiohttp

    typed: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()

    def on_input() -> None:
        data = os.read(descriptor, _CHUNK)
        if not data:
            loop.remove_reader(descriptor)
        else:
            typed.put_nowait(data)

    async def send() -> None:
        while True:
            data = await typed.get()
            head, escape, _ = data.partition(ESCAPE)
            if head:
                await socket.send_bytes(head)
            if escape:
                await socket.close()
                return

    seen = b""
    loop.add_reader(descriptor, on_input)
    sender = asyncio.ensure_future(send())
    try:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                data = message.data
            elif message.type is aiohttp.WSMsgType.TEXT:
                data = message.data.encode()
            else:
                continue
            _write_all(data)
            seen = (seen + data)[-_CHUNK:]
            if until and until in seen:
                return
    finally:
        loop.remove_reader(descriptor)
        sender.cancel()


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sys.stdout.fileno(), view) :]
