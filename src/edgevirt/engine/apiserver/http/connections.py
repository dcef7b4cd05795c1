"""What a connection may cost: deadlines and bounds for clients that are slow, silent, many or wrong.

The head of a request must arrive within a time from its first byte (the body has its own deadline where it is
read), a connection without a request is closed after a while, and one whose client does not take what it was
sent is cut by the kernel. When there are as many connections as descriptors allow, the one that was idle
longest makes room; if all are busy, the new one is told 503. Requests that are no HTTP are answered as
Go's server answers them, and are no errors of ours: they are logged for debugging only.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong

_TCP_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", 18)
_RESERVED_DESCRIPTORS = 256
"""For the store, webhooks, aggregated servers, kubelets."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`head_bytes` bounds one line of a request's head, `headers` their number.

    `stall_seconds`: how long a client may take nothing of what was sent to it. `most`: how many connections
    there may be; 0 stands for as many as the process may have descriptors.
    """

    head_seconds: float = 30.0
    idle_seconds: float = 120.0
    stall_seconds: float = 60.0
    head_bytes: int = 64 * 1024
    headers: int = 128
    most: int = 0


class Connection(web.RequestHandler):
    """One client's connection. `idle_since` is None while a request is served."""

    __slots__ = ("_limits", "_patient", "_server", "idle_since", "receiving_since")

    def __init__(self, server: ConnectionServer, limits: ConnectionLimits, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._server: ConnectionServer | None = server
        self._limits = limits
        self._patient = False
        self.receiving_since: float | None = None
        self.idle_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.idle_since = self._loop.time()
        self._be_patient(False)
        if self._server is not None:
            self._server.admit(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._server = None

    def data_received(self, data: bytes) -> None:
        if self.receiving_since is None and self.idle_since is not None and self._server is not None:
            self.receiving_since = self._loop.time()
            self._server.expect_head()
        super().data_received(data)

    def begin(self, request: web.BaseRequest) -> None:
        """The head of a request is complete."""
        self.receiving_since = self.idle_since = None
        patient = hdrs.UPGRADE in request.headers or request.rel_url.raw_path.endswith("/log")
        if patient is not self._patient:
            self._be_patient(patient)

    def _be_patient(self, patient: bool) -> None:
        """A person may stop reading a log or a terminal for as long as they like."""
        self._patient = patient
        peer = self.transport.get_extra_info("socket") if self.transport is not None else None
        if peer is not None:
            milliseconds = 0 if patient else int(self._limits.stall_seconds * 1000)
            peer.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, milliseconds)

    def end(self) -> None:
        """The request was answered."""
        self.idle_since = self._loop.time()

    def refuse(self, status: str, why: str) -> None:
        """Answers without a request, and closes."""
        if self.transport is None:
            return
        text = f"{status}: {why}\n".encode()
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
            f"Content-Length: {len(text)}\r\n\r\n"
        )
        self.transport.write(head.encode() + text)
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        self.logger.debug("a request that is no HTTP", exc_info=exc)
        too_large = isinstance(exc, LineTooLong) or _counts_headers(exc)
        text = "431 Request Header Fields Too Large" if too_large else f"400 Bad Request: {message or ''}"
        response = web.Response(status=431 if too_large else 400, text=text)
        response.force_close()
        return response


class ConnectionServer(web.Server):
    """Serves with `handle` on `Connection`s."""

    def __init__(
        self,
        handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        limits: ConnectionLimits,
        request_factory: Any = None,
    ) -> None:
        super().__init__(self._serve, request_factory=request_factory, handler_cancellation=True)
        self._handle = handle
        self._limits = limits
        self._most = limits.most or _allowed_connections()
        self._timer: asyncio.TimerHandle | None = None
        self._event_loop = asyncio.get_running_loop()

    def __call__(self) -> Connection:
        limits = self._limits
        return Connection(
            self,
            limits,
            loop=self._event_loop,
            access_log=None,
            keepalive_timeout=limits.idle_seconds,
            max_line_size=limits.head_bytes,
            max_field_size=limits.head_bytes,
            max_headers=limits.headers,
            # A body is taken as it is, like Kubernetes does: nothing small becomes large in here.
            auto_decompress=False,
        )

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.begin(request)
        try:
            return await self._handle(request)
        finally:
            connection.end()

    def admit(self, connection: Connection) -> None:
        """Makes room for a new connection, or refuses it."""
        connections = self.connections
        if len(connections) <= self._most:
            return
        idle = [
            (other.idle_since, number)
            for number, other in enumerate(connections)
            if isinstance(other, Connection) and other.idle_since is not None and other is not connection
        ]
        if idle:
            connections[min(idle)[1]].force_close()
        else:
            connection.refuse("503 Service Unavailable", "there are too many connections; try again later")

    def expect_head(self) -> None:
        """A head has begun to arrive: it will be looked for in time."""
        if self._timer is None:
            self._timer = self._event_loop.call_later(self._limits.head_seconds / 4, self._look)

    def _look(self) -> None:
        """Ends the connections whose head takes too long; runs only while one is arriving."""
        self._timer = None
        too_old = self._event_loop.time() - self._limits.head_seconds
        arriving = False
        for connection in self.connections:
            if not isinstance(connection, Connection) or connection.receiving_since is None:
                continue
            if connection.receiving_since > too_old:
                arriving = True
                continue
            connection.receiving_since = None
            seconds = int(self._limits.head_seconds)
            connection.refuse(
                "408 Request Timeout", f"the head of the request did not arrive within {seconds} s"
            )
        if arriving:
            self.expect_head()


def _counts_headers(error: HttpProcessingError) -> bool:
    return isinstance(error, BadHttpMessage) and "headers" in str(error.message).lower()


def _allowed_connections() -> int:
    """Raises the process's soft limit of descriptors to the hard one and leaves some for other uses."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65_536) if hard != resource.RLIM_INFINITY else 65_536
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(64, max(soft, wanted) - _RESERVED_DESCRIPTORS)
