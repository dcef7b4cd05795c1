"""virt-launcher put together: libvirtd, the connection to it, the guest, the server, and their common end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket

from edgevirt.virt_launcher.board import StatusBoard
from edgevirt.virt_launcher.connection import Connection
from edgevirt.virt_launcher.console_log import keep_short
from edgevirt.virt_launcher.daemon import DaemonPaths
from edgevirt.virt_launcher.guest import Guest, load_preparation
from edgevirt.virt_launcher.libvirtd import Libvirtd
from edgevirt.virt_launcher.lifetime import Patience, live
from edgevirt.virt_launcher.server import Server
from edgevirt.virt_launcher.settings import Settings

_log = logging.getLogger("edgevirt.virt_launcher")


async def run(
    settings: Settings, paths: DaemonPaths, listening: socket.socket, pid: int, started: asyncio.Event
) -> int:
    """Serve one VM to its end; the exit code. `started` is set when virt-handler can connect.

    `listening` and `pid` are the libvirtd the caller has spawned already. It need not answer yet: while it
    starts up, virt-handler can connect and wire the network, and what needs libvirt waits for it.
    """
    terminate = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, terminate.set)
    board = StatusBoard(settings.uid)
    guest = Guest(settings, paths, board)
    daemon = Libvirtd(paths, listening, pid)
    connection = Connection(paths.uri, daemon, guest)
    guest.attach(connection)
    server = Server(settings.socket_dir, guest, board)

    async def load_ahead() -> None:
        await started.wait()
        await connection.in_thread(load_preparation)

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(daemon.run()),
            group.create_task(connection.run()),
            group.create_task(guest.run()),
            group.create_task(server.serve(started)),
            group.create_task(load_ahead()),
            group.create_task(keep_short(settings.guest_dir / "virt-serial0-log")),
        ]
        patience = Patience(settings.qemu_timeout, settings.grace_period)
        code = await live(guest, board, terminate, patience)
        _log.info("virt-launcher ends", extra={"code": code})
        await server.drain()
        for task in tasks:
            task.cancel()
    connection.close()
    return code
