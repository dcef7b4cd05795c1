"""One connection to a virt-launcher: requests with deadlines, status and events as they come.

The peer shares a pod with the guest's QEMU and is not trusted: a frame that is too long, can't be decoded or
breaks the protocol ends the connection. Statuses are delivered in the order in which the launcher sent them.
One that answers a request is not delivered if an event overtook it: it may be older than that event.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import msgspec

from edgevirt.api.launcher import (
    MAX_FRAME,
    PROTOCOL_VERSION,
    DomainStatus,
    Error,
    Event,
    Frame,
    Hello,
    Method,
    Request,
    Response,
    SyncRequest,
)

DecodedT = TypeVar("DecodedT")

_LENGTH = 4
_STATUS_METHODS = frozenset({Method.SUBSCRIBE, Method.SYNC, Method.GET_DOMAIN})
_statuses = msgspec.json.Decoder(DomainStatus)


class LauncherUnavailable(Exception):
    """No connection, or it broke, or the launcher didn't answer in time. Trying again later may help."""


class ProtocolViolation(LauncherUnavailable):
    """The launcher sent something it must not send; the connection was ended."""


class IncompatibleLauncher(LauncherUnavailable):
    """The launcher speaks another version of the protocol."""


class LauncherRefused(Exception):
    """The launcher answered with an error; `reason` is one of `api.launcher.Error`'s closed set."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.message or error.reason)
        self.reason = error.reason

    @property
    def permanent(self) -> bool:
        """Whether asking the same again is useless."""
        return self.reason == "Invalid"


_frames = msgspec.json.Decoder(Frame)
_hellos = msgspec.json.Decoder(Hello)

StatusCallback = Callable[[DomainStatus], None]
EventCallback = Callable[[Event], None]


class LauncherClient:
    """Speaks over `connection`, a connected unix socket that it owns from now on."""

    def __init__(self, connection: socket.socket, on_status: StatusCallback, on_event: EventCallback) -> None:
        self.connection = connection
        self._on_status = on_status
        self._on_event = on_event
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._pending: dict[int, tuple[Method, asyncio.Future[bytes], int]] = {}
        self._events = 0
        self._last_id = 0
        self._broken: Exception | None = None

    async def open(self) -> None:
        """Make ready for requests; their answers arrive while `run` runs."""
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self.connection)

    async def run(self) -> None:
        """Receive until the connection ends; always raises, LauncherUnavailable saying why."""
        assert self._reader is not None, "open first"
        assert self._writer is not None
        try:
            while True:
                self._receive(await self._read_frame(self._reader))
        except LauncherUnavailable as error:
            self._broken = error
            raise
        except (OSError, asyncio.IncompleteReadError) as error:
            self._broken = LauncherUnavailable("the launcher closed the connection")
            raise self._broken from error
        finally:
            self._fail_pending(self._broken or LauncherUnavailable("the connection was closed"))
            self._writer.close()

    async def hello(self, timeout: float) -> Hello:
        """Exchange versions. Raises IncompatibleLauncher if the launcher's is not ours."""
        answer = _decode(_hellos, await self._request(Method.HELLO, Hello(version=PROTOCOL_VERSION), timeout))
        if answer.version != PROTOCOL_VERSION:
            raise IncompatibleLauncher(
                f"the launcher speaks protocol version {answer.version}, this node agent {PROTOCOL_VERSION}"
            )
        return answer

    async def subscribe(self, timeout: float) -> None:
        """Have the present status and every change of it delivered from now on."""
        await self._request(Method.SUBSCRIBE, None, timeout)

    async def sync(self, request: SyncRequest, timeout: float) -> None:
        """Define the domain and start it if it isn't running; its status is delivered."""
        await self._request(Method.SYNC, request, timeout)

    async def order(self, method: Method, timeout: float) -> None:
        """Send a method that has neither parameters nor a result: Ping, Shutdown, Kill, Delete.

        Like every request raises LauncherUnavailable, also when there is no answer within `timeout` seconds,
        and LauncherRefused.
        """
        await self._request(method, None, timeout)

    async def _request(self, method: Method, params: msgspec.Struct | None, timeout: float) -> bytes:
        if self._writer is None or self._broken is not None:
            raise LauncherUnavailable("there is no connection to the launcher") from self._broken
        self._last_id += 1
        number = self._last_id
        body = msgspec.json.encode(
            Request(id=number, method=method, params=msgspec.Raw(msgspec.json.encode(params)))
        )
        if len(body) > MAX_FRAME:
            raise LauncherRefused(Error(reason="Invalid", message=f"{method.value}: request is too large"))
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._pending[number] = (method, answer, self._events)
        try:
            async with asyncio.timeout(timeout):
                self._writer.write(len(body).to_bytes(_LENGTH, "big") + body)
                await self._writer.drain()
                return await answer
        except TimeoutError as error:
            raise LauncherUnavailable(
                f"the launcher did not answer {method.value} within {timeout:g} s"
            ) from error
        except OSError as error:
            raise LauncherUnavailable(f"the connection broke during {method.value}: {error}") from error
        finally:
            self._pending.pop(number, None)

    async def _read_frame(self, reader: asyncio.StreamReader) -> Frame:
        length = int.from_bytes(await reader.readexactly(_LENGTH), "big")
        if length > MAX_FRAME:
            raise ProtocolViolation(f"the launcher announced a frame of {length} bytes")
        return _decode(_frames, await reader.readexactly(length))

    def _receive(self, frame: Frame) -> None:
        if frame.response is not None and frame.event is None:
            self._settle(frame.response)
        elif frame.event is not None and frame.response is None:
            self._events += 1
            if frame.event.status is not None:
                self._on_status(frame.event.status)
            self._on_event(frame.event)
        else:
            raise ProtocolViolation("the launcher sent a frame that is neither response nor event")

    def _settle(self, response: Response) -> None:
        if not 0 < response.id <= self._last_id:
            raise ProtocolViolation(f"the launcher answered request {response.id}, which was never made")
        pending = self._pending.pop(response.id, None)
        if pending is None or pending[1].done():
            return  # it came after the deadline
        method, answer, asked_at = pending
        if response.error is not None:
            answer.set_exception(LauncherRefused(response.error))
            return
        raw = bytes(response.result)
        if method in _STATUS_METHODS and asked_at == self._events:
            self._on_status(_decode(_statuses, raw))
        answer.set_result(raw)

    def _fail_pending(self, error: Exception) -> None:
        for _, answer, _ in self._pending.values():
            if not answer.done():
                answer.set_exception(error)
        self._pending.clear()

    async def close(self) -> None:
        """End the connection; `run` then raises."""
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()


def _decode(decoder: msgspec.json.Decoder[DecodedT], raw: bytes) -> DecodedT:
    try:
        return decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise ProtocolViolation(f"the launcher sent something undecodable: {error}") from error
