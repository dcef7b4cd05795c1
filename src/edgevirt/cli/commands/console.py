"""`edgevirt console`: the guest's serial console in this terminal. Ctrl+] ends it.

The terminal is put into raw mode only when the connection stands, and is restored however the command ends.
Without a terminal (a pipe, a file, /dev/null) what comes from stdin is sent byte by byte as it is, and the
output is printed until the guest or the server closes the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgevirt.cli import cluster
from edgevirt.cli.errors import CommandError

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse

    from edgevirt.api.kubevirt import VirtualMachineInstance
    from edgevirt.kube.client import Client

ESCAPE = b"\x1d"
SUBPROTOCOL = "plain.kubevirt.io"
_CHUNK = 4096


@click.command("console")
@click.argument("name")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="Minutes to wait for the guest to run.",
)
@click.option("--until", metavar="TEXT", help="Leave by itself once the guest has printed TEXT.")
@cluster.namespace_option
@cluster.kubeconfig_option
def console_command(
    name: str, timeout: float, until: str | None, namespace: str, kubeconfig: Path | None
) -> None:
    """Connect to the serial console of the virtual machine NAME. Leave with Ctrl+]."""

    async def attach(client: Client) -> None:
        _end_on_sigterm()
        await _wait_until_running(client, name, namespace, timeout * 60)
        path = (
            f"/apis/subresources.kubevirt.io/v1/namespaces/{namespace}/virtualmachineinstances/{name}/console"
        )
        async with client.websocket(path, protocols=(SUBPROTOCOL,)) as socket:
            if sys.stdin.isatty():
                print(f"Connected to {name}. Leave with Ctrl+]. Press Enter for a prompt.", file=sys.stderr)
            with _raw_terminal():
                end = await _relay(socket, until.encode() if until else b"")
        if sys.stdin.isatty():
            print("\r", file=sys.stderr)
        if end is _End.CLOSED:
            if until:
                raise CommandError(
                    f"the console was closed before '{until}' was printed", f"kubectl describe vmi {name}"
                )
            print("The guest or the server closed the console.", file=sys.stderr)

    try:
        cluster.run(kubeconfig, attach)
    except asyncio.CancelledError:
        raise click.Abort from None


class _End(enum.Enum):
    LEFT = enum.auto()
    """The user asked for it."""
    CLOSED = enum.auto()
    """The other side did it."""


def _end_on_sigterm() -> None:
    """Make SIGTERM end this task, so that the terminal is restored."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


async def _wait_until_running(client: Client, name: str, namespace: str, seconds: float) -> None:
    """Return when the instance is Running; the wait is a watch, not a poll."""
    from edgevirt.api.kubevirt import VIRTUAL_MACHINE_INSTANCES
    from edgevirt.api.kubevirt.phases import Phase, is_final
    from edgevirt.kube import errors
    from edgevirt.kube.watch import EventType

    selector = f"metadata.name={name}"

    def runs(instance: VirtualMachineInstance) -> bool:
        phase = instance.status.phase if instance.status is not None else ""
        if is_final(phase):
            raise CommandError(
                f"the guest of {name} has ended ({phase})", f"kubectl describe vmi {name} -n {namespace}"
            )
        return phase == Phase.RUNNING

    async def running() -> None:
        said = False
        while True:
            listed = await client.list(
                VIRTUAL_MACHINE_INSTANCES, namespace=namespace, field_selector=selector
            )
            if any(runs(instance) for instance in listed.items):
                return
            if not listed.items and not said:
                await _require_machine(client, name, namespace)
                said = True
            watch = client.watch(
                VIRTUAL_MACHINE_INSTANCES,
                namespace=namespace,
                resource_version=listed.resource_version,
                field_selector=selector,
            )
            with contextlib.suppress(errors.Expired):
                async with contextlib.aclosing(watch):
                    async for event in watch:
                        gone = event.type is EventType.DELETED or event.object is None
                        if not gone and runs(event.object):
                            return

    try:
        await asyncio.wait_for(running(), seconds)
    except TimeoutError as error:
        raise CommandError(
            f"{name} is not running after {seconds:.0f} s", f"kubectl get vm,vmi {name} -n {namespace}"
        ) from error


async def _require_machine(client: Client, name: str, namespace: str) -> None:
    """Say that the machine's guest is waited for. Raises CommandError if there is no such machine."""
    from edgevirt.api.kubevirt import VIRTUAL_MACHINES
    from edgevirt.kube import errors

    try:
        machine = await client.get(VIRTUAL_MACHINES, name, namespace=namespace)
    except errors.NotFound as error:
        raise CommandError(
            f"there is no virtual machine {name} in namespace {namespace}", "kubectl get vm,vmi -A"
        ) from error
    state = machine.status.printable_status if machine.status is not None else ""
    print(f"Waiting for {name} to run; it is {state or 'new'}.", file=sys.stderr)


@contextlib.contextmanager
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


async def _relay(socket: ClientWebSocketResponse, until: bytes) -> _End:
    """Copy both ways until Ctrl+] is typed, `until` was printed, or the other side closes."""
    ways = {asyncio.ensure_future(_send(socket)), asyncio.ensure_future(_receive(socket, until))}
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).result()
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _send(socket: ClientWebSocketResponse) -> _End:
    """Send what is typed, no faster than it is taken; at the end of the input wait for ever."""
    descriptor = sys.stdin.fileno()
    while True:
        await _readable(descriptor)
        data = os.read(descriptor, _CHUNK)
        if not data:
            await asyncio.get_running_loop().create_future()
        # Ctrl+] means something only to a person: in a file it is a byte like any other.
        head, escape, _ = data.partition(ESCAPE) if os.isatty(descriptor) else (data, b"", b"")
        if head:
            try:
                await socket.send_bytes(head)
            except ConnectionError:
                return _End.CLOSED
        if escape:
            return _End.LEFT


async def _readable(descriptor: int) -> None:
    """Return when a read will not block. Files and /dev/null, which epoll refuses, never do."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:
        await asyncio.sleep(0)
        return
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


async def _receive(socket: ClientWebSocketResponse, until: bytes) -> _End:
    """Print what the guest says, until it has said `until` or the other side closes."""
    import aiohttp

    seen = b""
    async for message in socket:
        if message.type is aiohttp.WSMsgType.BINARY:
            data = message.data
        elif message.type is aiohttp.WSMsgType.TEXT:
            data = message.data.encode()
        else:
            continue
        _write_all(data)
        if until:
            if until in seen + data:
                return _End.LEFT
            seen = (seen + data)[-len(until) :]
    return _End.CLOSED


def _write_all(data: bytes) -> None:
    descriptor = sys.stdout.fileno()
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # somebody made the terminal non-blocking
            select.select([], [descriptor], [])
