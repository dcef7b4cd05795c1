"""The launcher's side of `api.launcher`: one unix socket, length-prefixed JSON.

The socket is bound under another name and appears under its own when the launcher can serve. The only peers
let in are root (virt-handler) and our own user, by the credentials the kernel vouches for. Requests of one
connection run side by side, so that a kill overtakes a start that hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from edgevirt.api.launcher import (
    MAX_FRAME,
    PROTOCOL_VERSION,
    SOCKET_NAME,
    DomainStatus,
    Error,
    Frame,
    Hello,
    Method,
    Request,
    Response,
    SyncRequest,
)
from edgevirt.virt_launcher.board import StatusBoard, Subscription
from edgevirt.virt_launcher.errors import RequestFailed, conflict, invalid
from edgevirt.virt_launcher.guest import Guest

DRAFT_NAME: Final = "launcher-init-sock"
SOFTWARE: Final = "edgevirt"
_MOST_CONNECTIONS: Final = 16
_MOST_REQUESTS: Final = 16
_WRITE_SECONDS: Final = 30.0
_DRAIN_SECONDS: Final = 2.0
_LENGTH: Final = struct.Struct(">I")
_CREDENTIALS: Final = struct.Struct("3i")

T = TypeVar("T")
_log = logging.getLogger("edgevirt.virt_launcher")


class Server:
    """Serves one guest to any number of connections."""

    def __init__(self, directory: Path, guest: Guest, board: StatusBoard) -> None:
        self._directory = directory
        self._board = board
        self._guest = guest
        self._connections: set[asyncio.Task[None]] = set()
        self._unanswered: set[asyncio.Task[None]] = set()
        self._methods: Mapping[Method, Callable[[msgspec.Raw], Awaitable[msgspec.Struct | None]]] = {
            Method.HELLO: self._hello,
            Method.PING: self._ping,
            Method.SYNC: self._sync,
            Method.SHUTDOWN: lambda _: guest.shutdown(),
            Method.KILL: lambda _: guest.kill(),
            Method.DELETE: lambda _: guest.delete(),
            Method.GET_DOMAIN: self._get_domain,
        }

    async def serve(self, ready: asyncio.Event) -> None:
        """Listen until cancelled; `ready` is set when the socket is there under its name.

        Raises OSError if the socket cannot be made.
        """
        draft, final = self._directory / DRAFT_NAME, self._directory / SOCKET_NAME
        for path in (draft, final):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        server = await asyncio.start_unix_server(self._accept, draft)
        try:
            draft.chmod(0o600)
            draft.rename(final)
            ready.set()
            await server.serve_forever()
        finally:
            server.close()
            with contextlib.suppress(FileNotFoundError):
                final.unlink()
            for task in self._connections:
                task.cancel()

    async def drain(self) -> None:
        """Wait, briefly, until every request taken has been answered."""
        if self._unanswered:
            await asyncio.wait(self._unanswered, timeout=_DRAIN_SECONDS)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            uid = peer_uid(writer.get_extra_info("socket"))
            if uid not in (0, os.geteuid()):
                _log.warning("Refused a connection", extra={"uid": uid})
                return
            if len(self._connections) >= _MOST_CONNECTIONS:
                _log.warning("Refused a connection: too many", extra={"connections": len(self._connections)})
                return
            self._connections.add(task)
            await self._converse(reader, writer)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            return  # the peer is gone; it will come again
        except asyncio.CancelledError:
            return  # the launcher ends; the stream callback is nobody's child that would need to know
        finally:
            self._connections.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writing = asyncio.Lock()
        places = asyncio.Semaphore(_MOST_REQUESTS)

        async def send(frame: Frame) -> None:
            data = msgspec.json.encode(frame)
            async with writing, asyncio.timeout(_WRITE_SECONDS):
                writer.write(_LENGTH.pack(len(data)) + data)
                await writer.drain()

        pushing: asyncio.Task[None] | None = None
        answering: set[asyncio.Task[None]] = set()

        def forget(task: asyncio.Task[None]) -> None:
            places.release()
            answering.discard(task)
            self._unanswered.discard(task)
            if not task.cancelled() and task.exception() is not None:
                writer.close()  # the answer could not be sent

        try:
            while True:
                request = await _next_request(reader)
                if request is None:
                    return
                if request.method is Method.SUBSCRIBE and pushing is None:
                    subscription = self._board.subscribe()
                    result = msgspec.Raw(msgspec.json.encode(subscription.skip_current()))
                    await send(Frame(response=Response(id=request.id, result=result)))
                    pushing = asyncio.create_task(self._push(subscription, send))
                    continue
                await places.acquire()
                task = asyncio.create_task(self._answer(request, send))
                answering.add(task)
                self._unanswered.add(task)
                task.add_done_callback(forget)
        finally:
            if pushing is not None:
                pushing.cancel()
            # Requests already taken run to their end: what was asked happens, even if the asker has gone.
            if answering:
                await asyncio.wait(answering)

    async def _push(self, subscription: Subscription, send: Callable[[Frame], Awaitable[None]]) -> None:
        try:
            with contextlib.suppress(ConnectionError, TimeoutError):
                while True:
                    await send(Frame(event=await subscription.next()))
        finally:
            self._board.unsubscribe(subscription)

    async def _answer(self, request: Request, send: Callable[[Frame], Awaitable[None]]) -> None:
        response = await self._respond(request)
        with contextlib.suppress(ConnectionError, TimeoutError):
            await send(Frame(response=response))

    async def _respond(self, request: Request) -> Response:
        try:
            handler = self._methods.get(request.method)
            if handler is None:
                raise conflict(f"{request.method.value} may be asked once per connection")
            result = await handler(request.params)
        except RequestFailed as error:
            _log.warning(
                "Request failed",
                extra={"method": request.method.value, "reason": error.reason, "error": error.message},
            )
            return Response(id=request.id, error=Error(reason=error.reason, message=error.message))
        except Exception as error:
            _log.exception("Request failed unexpectedly", extra={"method": request.method.value})
            return Response(id=request.id, error=Error(reason="Internal", message=str(error)))
        return Response(id=request.id, result=msgspec.Raw(msgspec.json.encode(result)))

    async def _hello(self, params: msgspec.Raw) -> Hello:
        peer = _decode(params, Hello)
        if peer.version != PROTOCOL_VERSION:
            _log.warning("virt-handler speaks another version", extra={"version": peer.version})
        return Hello(version=PROTOCOL_VERSION, launcher=SOFTWARE)

    async def _ping(self, _params: msgspec.Raw) -> None:
        return None

    async def _sync(self, params: msgspec.Raw) -> DomainStatus:
        return await self._guest.sync(_decode(params, SyncRequest))

    async def _get_domain(self, _params: msgspec.Raw) -> DomainStatus:
        return self._board.status


def _decode(params: msgspec.Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(params, type=kind)
    except msgspec.MsgspecError as error:
        raise invalid(f"the parameters cannot be read: {error}") from error


async def _next_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request; None if the peer has nothing more to say or nothing that can be understood."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    except asyncio.IncompleteReadError:
        return None
    if length > MAX_FRAME:
        _log.warning("Closed a connection: frame too long", extra={"length": length})
        return None
    data = await reader.readexactly(length)
    try:
        return msgspec.json.decode(data, type=Request)
    except msgspec.MsgspecError as error:
        _log.warning("Closed a connection: not a request", extra={"error": str(error)})
        return None


def peer_uid(connection: socket.socket) -> int:
    """The user at the other end of a unix socket, as the kernel recorded it at connect time."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, uid, _gid = _CREDENTIALS.unpack(raw)
    return int(uid)
