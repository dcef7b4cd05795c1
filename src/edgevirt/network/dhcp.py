"""A DHCPv4 server for exactly one client: the guest of this pod.

It listens on the pod's bridge only, answers only the guest's MAC and only ever hands out the one address the
pod got from CNI, for 999 days as KubeVirt does; there is nothing to remember, so nothing is stored. Replies
are broadcast: the client has no address yet, and its pod has no route to it later either. The reply to a
flood is bounded by one datagram per turn of the event loop. Runs in virt-launcher: standard library only.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import cast

from edgevirt.api.launcher import DHCPLease
from edgevirt.network.dhcp_message import (
    Kind,
    MalformedMessage,
    Message,
    Operation,
    Option,
    decode,
    encode,
    encode_routes,
    encode_search,
)

SERVER_PORT = 67
CLIENT_PORT = 68
LEASE_SECONDS = 999 * 24 * 60 * 60

_BROADCAST = "255.255.255.255"
_BROADCAST_FLAG = 0x8000
_NOWHERE = b"\0\0\0\0"
_MAX_NAME = 255
_MAX_ADDRESSES = 63  # what one option of 255 bytes holds
_MIN_MTU = 68
_MAX_MTU = 0xFFFF

_log = logging.getLogger("edgevirt.network")


def answer(lease: DHCPLease, message: Message) -> Message | None:
    """What to send back for `message`, or None to stay silent. Pure."""
    if message.operation != Operation.REQUEST or message.relay != _NOWHERE:
        return None
    if message.client != bytes.fromhex(lease.mac.replace(":", "")):
        return None
    if message.kind == Kind.DISCOVER:
        return _reply(lease, message, Kind.OFFER)
    if message.kind == Kind.INFORM:
        return _reply(lease, message, Kind.ACK)
    if message.kind == Kind.REQUEST:
        return _answer_request(lease, message)
    return None


def _answer_request(lease: DHCPLease, message: Message) -> Message | None:
    if message.options.get(Option.SERVER, _server(lease)) != _server(lease):
        return None  # the client took somebody else's offer
    wanted = message.options.get(Option.REQUESTED_ADDRESS, message.client_address)
    if wanted not in (_address(lease), _NOWHERE):
        return _reply(lease, message, Kind.NAK)
    return _reply(lease, message, Kind.ACK)


def _reply(lease: DHCPLease, request: Message, kind: Kind) -> Message:
    options: dict[int, bytes] = {Option.MESSAGE_TYPE: bytes((kind,)), Option.SERVER: _server(lease)}
    inform = request.kind == Kind.INFORM
    if kind != Kind.NAK:
        if not inform:
            options[Option.LEASE_SECONDS] = struct.pack("!I", LEASE_SECONDS)
        options |= _configuration(lease)
    return Message(
        operation=Operation.REPLY,
        transaction=request.transaction,
        client=request.client,
        flags=_BROADCAST_FLAG,
        client_address=request.client_address if inform else _NOWHERE,
        your_address=_NOWHERE if inform or kind == Kind.NAK else _address(lease),
        server_address=_server(lease) if kind != Kind.NAK else _NOWHERE,
        options=options,
    )


def _configuration(lease: DHCPLease) -> dict[int, bytes]:
    prefix = int(lease.address.partition("/")[2] or 32)
    options: dict[int, bytes] = {}
    options[Option.SUBNET_MASK] = struct.pack("!I", (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF)
    if lease.gateway:
        options[Option.ROUTER] = socket.inet_aton(lease.gateway)
    servers = [s for s in lease.dns if ":" not in s][:_MAX_ADDRESSES]
    if servers:
        options[Option.DNS] = b"".join(map(socket.inet_aton, servers))
    if lease.hostname:
        options[Option.HOSTNAME] = lease.hostname.encode()[:_MAX_NAME]
    if lease.domain:
        options[Option.DOMAIN] = lease.domain.encode()[:_MAX_NAME]
    options[Option.MTU] = struct.pack("!H", min(max(lease.mtu, _MIN_MTU), _MAX_MTU))
    # A client that understands option 121 ignores the router option, so the default route is repeated here.
    routes = [(route.destination, route.gateway) for route in lease.routes]
    if lease.gateway:
        routes.append(("0.0.0.0/0", lease.gateway))
    if routes:
        options[Option.CLASSLESS_ROUTES] = encode_routes(routes)
    search = encode_search(lease.search)
    if search:
        options[Option.DOMAIN_SEARCH] = search
    return options


def _address(lease: DHCPLease) -> bytes:
    return socket.inet_aton(lease.address.partition("/")[0])


def _server(lease: DHCPLease) -> bytes:
    return socket.inet_aton(lease.server)


class DHCPServer:
    """Serves one lease on its interface."""

    def __init__(self, lease: DHCPLease) -> None:
        """Check `lease` by encoding what would be offered; raises ValueError if it can't be."""
        try:
            self._probe(lease)
        except (OSError, struct.error) as error:
            raise ValueError(f"the lease for {lease.mac} can't be offered: {error}") from error
        self._lease = lease

    @staticmethod
    def _probe(lease: DHCPLease) -> None:
        client = bytes.fromhex(lease.mac.replace(":", ""))
        if len(client) != 6:
            raise ValueError(f"{lease.mac!r} is not a MAC address")
        discover: dict[int, bytes] = {Option.MESSAGE_TYPE: bytes((Kind.DISCOVER,))}
        offer = answer(lease, Message(Operation.REQUEST, 0, client, options=discover))
        assert offer is not None
        encode(offer)

    async def serve(self, listening: asyncio.Event | None = None) -> None:
        """Answer the guest until cancelled; `listening` is set once requests are received.

        Raises OSError if the interface is missing or port 67 can't be had.
        """
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(
            lambda: _Endpoint(self._lease), sock=_listen(self._lease.interface)
        )
        try:
            if listening is not None:
                listening.set()
            await protocol.closed
        finally:
            transport.close()


def _listen(interface: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.bind(("", SERVER_PORT))
    except BaseException:
        sock.close()
        raise
    return sock


class _Endpoint(asyncio.DatagramProtocol):
    def __init__(self, lease: DHCPLease) -> None:
        self._lease = lease
        self._transport: asyncio.DatagramTransport | None = None
        self._unsent: Callable[[], int] = int
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self._unsent = cast(asyncio.WriteTransport, transport).get_write_buffer_size

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:
        try:
            request = decode(data)
        except MalformedMessage as error:
            _log.debug("Dropped a malformed DHCP message", extra={"reason": str(error)})
            return
        reply = answer(self._lease, request)
        if reply is None or self._transport is None or self._unsent():
            return
        self._transport.sendto(encode(reply), (_BROADCAST, CLIENT_PORT))
        _log.info(
            "Answered DHCP",
            extra={"mac": self._lease.mac, "address": self._lease.address, "kind": reply.kind},
        )

    def error_received(self, exc: Exception) -> None:
        # The bridge went down or its queue is full. The client repeats its question; nothing to do here.
        _log.warning("DHCP socket error", extra={"interface": self._lease.interface, "error": str(exc)})

    def connection_lost(self, exc: Exception | None) -> None:
        if self.closed.done():
            return
        if exc is not None:
            self.closed.set_exception(exc)
        else:
            self.closed.set_result(None)
