"""The connection to the private libvirtd: calls off the event loop, events onto it, reconnection.

libvirt's own event loop runs in one thread; every call runs in a small pool, because each blocks until
libvirtd answers. Events arrive on asyncio's loop through `call_soon_threadsafe`. They carry no state worth
keeping: a listener re-reads what it wants to know, so an event lost over a reconnection costs nothing,
because reconnecting counts as a change.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar

import libvirt

from edgevirt.virt_launcher.libvirtd import Libvirtd

OPEN_SECONDS: Final = 30.0
CALL_SECONDS: Final = 60.0
_KEEPALIVE_SECONDS: Final = 10
_KEEPALIVE_COUNT: Final = 6
_WORKERS: Final = 4

T = TypeVar("T")
_log = logging.getLogger("edgevirt.virt_launcher")


class Listener(Protocol):
    """Who wants to know. Called on asyncio's loop; must not block."""

    def domain_changed(self) -> None:
        """Something about the domain may have changed; also after every (re)connection."""

    def agent_changed(self) -> None:
        """The guest agent came or went; also after every (re)connection."""

    def io_error(self, alias: str, reason: str) -> None:
        """A disk failed; `reason` is "enospc" or libvirt's other words."""


class Connection:
    """One lasting connection. `run` keeps it; `call` uses it."""

    def __init__(self, uri: str, daemon: Libvirtd, listener: Listener) -> None:
        self._uri = uri
        self._daemon = daemon
        self._listener = listener
        self._executor = ThreadPoolExecutor(_WORKERS, thread_name_prefix="libvirt")
        self._open: asyncio.Future[libvirt.virConnect] = asyncio.get_running_loop().create_future()
        self._closed = asyncio.Event()

    async def run(self) -> None:
        """Connect, and connect again whenever libvirtd went away, until cancelled.

        A libvirtd that no longer answers is killed, so that its supervisor starts a new one.
        """
        loop = asyncio.get_running_loop()
        _start_event_thread()
        while True:
            self._closed = closed = asyncio.Event()
            try:
                async with asyncio.timeout(OPEN_SECONDS):
                    connection = await loop.run_in_executor(self._executor, self._connect, loop, closed)
            except (libvirt.libvirtError, TimeoutError) as error:
                _log.warning("Cannot connect to libvirtd", extra={"error": str(error)})
                if isinstance(error, TimeoutError):
                    self._daemon.kill()
                await asyncio.sleep(0.2)  # back-off: what failed at once would fail again at once
                continue
            self._open.set_result(connection)
            self._listener.domain_changed()
            self._listener.agent_changed()
            await closed.wait()
            self._drop(connection)
            _log.warning("Lost the connection to libvirtd, reconnecting")

    async def call(self, function: Callable[[libvirt.virConnect], T], *, timeout: float = CALL_SECONDS) -> T:
        """`function(connection)` in a worker thread, after waiting for a connection if there is none.

        `function` must be idempotent: if the connection breaks under it, it runs again on the next one.
        Raises what `function` raises, and `TimeoutError` after `timeout` seconds; the call itself cannot be
        taken back then and may still take effect.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout):
            while True:
                connection = await asyncio.shield(self._open)
                try:
                    return await loop.run_in_executor(self._executor, function, connection)
                except libvirt.libvirtError:
                    if connection.isAlive():
                        raise
                self._drop(connection)

    async def in_thread(self, function: Callable[[], T]) -> T:
        """`function()` in the same threads: for file work that does not belong on the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    def close(self) -> None:
        """Give the threads up. They hold nothing that outlives the process."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _drop(self, connection: libvirt.virConnect) -> None:
        """Take `connection` for lost, if it is still the one in use."""
        if self._open.done() and self._open.result() is connection:
            self._open = asyncio.get_running_loop().create_future()
            self._closed.set()

    def _connect(self, loop: asyncio.AbstractEventLoop, closed: asyncio.Event) -> libvirt.virConnect:
        connection = libvirt.open(self._uri)
        listener = self._listener

        def post(function: Callable[..., object], *arguments: object) -> None:
            try:
                loop.call_soon_threadsafe(function, *arguments)
            except RuntimeError:
                return  # the loop has ended; nobody wants to know any more

        def note_close(_connection: Any, reason: int, _opaque: Any) -> None:
            if reason == libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE:
                post(self._daemon.kill)
            post(closed.set)

        connection.registerCloseCallback(note_close, None)
        connection.setKeepAlive(_KEEPALIVE_SECONDS, _KEEPALIVE_COUNT)
        register = connection.domainEventRegisterAny
        register(
            None,
            libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
            lambda _c, _d, _event, _detail, _o: post(listener.domain_changed),
            None,
        )
        register(
            None,
            libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
            lambda _c, _d, _state, _reason, _o: post(listener.agent_changed),
            None,
        )
        register(
            None,
            libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON,
            lambda _c, _d, _path, alias, _action, reason, _o: post(listener.io_error, alias, reason),
            None,
        )
        return connection


_event_thread: threading.Thread | None = None


def _start_event_thread() -> None:
    """libvirt has one event loop per process; it must be registered before the first connection is opened."""
    global _event_thread
    if _event_thread is not None:
        return
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # errors are exceptions, not stderr
    libvirt.virEventRegisterDefaultImpl()
    _event_thread = threading.Thread(target=_run_events, name="libvirt-events", daemon=True)
    _event_thread.start()


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
