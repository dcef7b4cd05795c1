"""The serial consoles of this node's guests, for virt-api and nobody else.

HTTPS with a client certificate from our CA whose role is virt-api; then a websocket per console, relayed to
the unix socket on which QEMU serves the guest's first serial port. That socket lies in the pod's volume and
is opened like everything there. A serial line has one reader: a new client ends the connection of the one
before. Neither side is read faster than the other takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from aiohttp import WSCloseCode, WSMsgType, web

from edgevirt.virt_handler import identity
from edgevirt.virt_handler.launcher_session import EMPTY_DIRS
from edgevirt.virt_handler.safe_open import UnsafePath, connect

CONSOLE_PATH = "/v1/namespaces/{namespace}/virtualmachineinstances/{name}/console"
HEALTH_PATH = "/healthz"
CLIENT_ROLE = "virt-api"
PROTOCOL = "plain.kubevirt.io"
SOCKET_NAME = "virt-serial0"

_CHUNK = 32 * 1024
_MAX_MESSAGE = 1024 * 1024
_HEARTBEAT = 30.0
_SHUTDOWN_SECONDS = 2.0

_log = logging.getLogger("edgevirt.virt_handler")

Lookup = Callable[[str, str], "tuple[str, str] | None"]
"""(namespace, name) -> (pod uid, VMI uid) of a VMI that runs on this node, else None."""


class ConsoleServer:
    """Serves consoles between `start` and `stop`."""

    def __init__(self, pods_dir: str, lookup: Lookup) -> None:
        self._pods_dir = pods_dir
        self._lookup = lookup
        self._open: dict[str, web.WebSocketResponse] = {}
        self._application = web.Application()
        self._application.router.add_get(HEALTH_PATH, self._health)
        self._application.router.add_get(CONSOLE_PATH, self._console)

    @contextlib.asynccontextmanager
    async def serving(self, address: str, port: int, tls: ssl.SSLContext) -> AsyncIterator[int]:
        """Listen while the block runs; yields the port (0 asks for a free one)."""
        runner = web.AppRunner(
            self._application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS, handle_signals=False
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, address, port, ssl_context=tls)
            await site.start()
            yield runner.addresses[0][1]
        finally:
            for console in tuple(self._open.values()):
                await console.close(code=WSCloseCode.GOING_AWAY, message=b"virt-handler is ending")
            await runner.cleanup()

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _console(self, request: web.Request) -> web.StreamResponse:
        _require_virt_api(request)
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        found = self._lookup(namespace, name)
        if found is None:
            return _refusal(404, f"virtualmachineinstance {namespace}/{name} is not running on this node")
        pod_uid, vmi_uid = found
        try:
            serial = connect(self._pods_dir, f"{pod_uid}/{EMPTY_DIRS}/private/{vmi_uid}/{SOCKET_NAME}")
        except FileNotFoundError:
            return _refusal(404, f"virtualmachineinstance {namespace}/{name} has no serial console")
        except (OSError, UnsafePath) as error:
            _log.warning("Console socket refused", extra={"vmi": f"{namespace}/{name}", "error": str(error)})
            return _refusal(502, f"the serial console of {namespace}/{name} can't be reached: {error}")
        return await self._attach(request, serial, vmi_uid)

    async def _attach(
        self, request: web.Request, serial: socket.socket, vmi_uid: str
    ) -> web.WebSocketResponse:
        reader, writer = await asyncio.open_unix_connection(sock=serial, limit=_CHUNK)
        console = web.WebSocketResponse(
            protocols=(PROTOCOL,), heartbeat=_HEARTBEAT, max_msg_size=_MAX_MESSAGE, compress=False
        )
        try:
            await console.prepare(request)
            previous = self._open.get(vmi_uid)
            self._open[vmi_uid] = console
            if previous is not None:
                await previous.close(code=WSCloseCode.GOING_AWAY, message=b"replaced by a new client")
            await _relay(console, reader, writer)
        finally:
            if self._open.get(vmi_uid) is console:
                del self._open[vmi_uid]
            writer.close()
        return console


async def _relay(
    console: web.WebSocketResponse, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Copy both ways until either side ends; then end the other."""
    to_guest = asyncio.create_task(_to_guest(console, writer))
    to_client = asyncio.create_task(_to_client(reader, console))
    both = (to_guest, to_client)
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        await console.close()


async def _to_guest(console: web.WebSocketResponse, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        async for message in console:
            if message.type is WSMsgType.BINARY:
                writer.write(message.data)
            elif message.type is WSMsgType.TEXT:
                writer.write(message.data.encode())
            else:
                return
            await writer.drain()


async def _to_client(reader: asyncio.StreamReader, console: web.WebSocketResponse) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            await console.send_bytes(data)


def _require_virt_api(request: web.Request) -> None:
    transport = request.transport
    connection = transport.get_extra_info("ssl_object") if transport is not None else None
    role = identity.role_of(connection.getpeercert()) if connection is not None else ""
    if role != CLIENT_ROLE:
        _log.warning("Console refused", extra={"peer": request.remote, "role": role})
        raise web.HTTPForbidden(
            text=f"only {CLIENT_ROLE} may open consoles here; your certificate's is {role!r}"
        )


def _refusal(code: int, message: str) -> web.Response:
    return web.Response(status=code, text=message)


def server_tls(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """TLS 1.3 that demands a client certificate from `authority`. Raises OSError, ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(cafile=authority)
    context.verify_mode = ssl.CERT_REQUIRED
    return context
