"""Serial consoles: the client's websocket on one side, virt-handler's on the other, messages between them.

virt-handler is reached with our client certificate, and must show the certificate of the very node the guest
runs on; its chain alone would let any component answer. Neither side is read faster than the other takes it.
When either side ends, the other is closed with the same reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
from aiohttp import WSCloseCode, WSMsgType, web

from edgevirt.api.core import Node
from edgevirt.api.kubevirt import labels
from edgevirt.virt_api.certificates import has_role

PROTOCOL: Final = "plain.kubevirt.io"
HANDLER_ROLE: Final = "virt-handler"
_HEARTBEAT: Final = 30.0
_MAX_MESSAGE: Final = 4 * 1024 * 1024

_log = logging.getLogger("edgevirt.virt_api")

Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


class Unreachable(Exception):
    """virt-handler did not give us the console; `code` is the HTTP status for the client."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def handler_address(node: Node) -> str:
    """ "host:port" of a node's virt-handler: what it published, else its internal address and the usual port.

    Raises Unreachable(503) if the node has no address.
    """
    published = node.metadata.annotations.get(labels.HANDLER_ADDRESS, "")
    if published:
        return published
    addresses = node.status.addresses if node.status is not None else ()
    for address in addresses:
        if address.type == "InternalIP":
            host = f"[{address.address}]" if ":" in address.address else address.address
            return f"{host}:{labels.HANDLER_PORT}"
    raise Unreachable(503, f'node "{node.metadata.name}" has no address for its virt-handler')


def handler_tls(authority: str, certificate: str, key: str) -> ssl.SSLContext:
    """TLS towards virt-handler. Names of nodes are in the URI, so it is checked instead of the host name."""
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.load_cert_chain(certificate, key)
    return context


@contextlib.asynccontextmanager
async def open_console(
    session: aiohttp.ClientSession, tls: ssl.SSLContext, node: Node, namespace: str, name: str, timeout: float
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """The console of an instance as its node's virt-handler serves it.

    `timeout` in seconds bounds connecting. Raises Unreachable.
    """
    address = handler_address(node)
    url = f"https://{address}/v1/namespaces/{namespace}/virtualmachineinstances/{name}/console"
    try:
        async with asyncio.timeout(timeout):
            handler = await session.ws_connect(
                url,
                ssl=tls,
                protocols=(PROTOCOL,),
                heartbeat=_HEARTBEAT,
                compress=0,
                max_msg_size=_MAX_MESSAGE,
                timeout=aiohttp.ClientWSTimeout(ws_close=5.0),
            )
    except aiohttp.WSServerHandshakeError as error:
        code = error.status if error.status in (404, 409) else 502
        raise Unreachable(
            code, f"virt-handler on {node.metadata.name} refused the console: {error.status}"
        ) from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        raise Unreachable(
            503, f"virt-handler on {node.metadata.name} ({address}) cannot be reached: {reason}"
        ) from error
    try:
        connection = handler.get_extra_info("ssl_object")
        certificate = connection.getpeercert() if connection is not None else None
        if not has_role(certificate, HANDLER_ROLE, node.metadata.name):
            _log.error("virt-handler has the wrong certificate", extra={"node": node.metadata.name})
            raise Unreachable(
                502, f'{address} did not prove to be virt-handler of node "{node.metadata.name}"'
            )
        yield handler
    finally:
        await handler.close()


async def serve(request: web.Request, handler: aiohttp.ClientWebSocketResponse) -> web.WebSocketResponse:
    """Accept the client's websocket and copy both ways until either side ends."""
    client = web.WebSocketResponse(
        protocols=(PROTOCOL,), heartbeat=_HEARTBEAT, max_msg_size=_MAX_MESSAGE, compress=False
    )
    await client.prepare(request)
    copies = (asyncio.create_task(_copy(client, handler)), asyncio.create_task(_copy(handler, client)))
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        await handler.close()
        ended = handler.close_code
        # 1005 and 1006 say that there was no code; they cannot be sent.
        await client.close(code=WSCloseCode.GOING_AWAY if ended in (None, 1005, 1006) else ended)
    return client


async def _copy(source: Socket, target: Socket) -> None:
    with contextlib.suppress(ConnectionError):
        async for message in source:
            if message.type is WSMsgType.BINARY:
                await target.send_bytes(message.data)
            elif message.type is WSMsgType.TEXT:
                await target.send_bytes(message.data.encode())
            else:
                return
