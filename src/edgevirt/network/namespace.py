"""Working inside another process's network namespace.

The namespace is pinned by an open file descriptor before anything is done in it, and every visit happens in a
thread of its own that ends afterwards, so that no thread of the agent is ever left behind in a pod's network.
A process is trusted to be who it was only through its pidfd: a pid can be reused between two system calls.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TypeVar

from edgevirt.linux.namespaces import CLONE_NEWNET, setns

T = TypeVar("T")

_SO_PEERPIDFD = 77  # Linux 6.5


class NamespaceError(Exception):
    """The namespace could not be found or entered, or it is one that must not be touched."""


class NetworkNamespace:
    """An open network namespace, usable until `close` (or the end of the `with` block)."""

    def __init__(self, fd: int) -> None:
        """Take ownership of `fd`; raises NamespaceError, and closes it, if the caller itself lives there."""
        own = os.stat("/proc/self/ns/net")
        theirs = os.fstat(fd)
        if (own.st_dev, own.st_ino) == (theirs.st_dev, theirs.st_ino):
            os.close(fd)
            raise NamespaceError("the pod shares the node's own network, which must not be rewired")
        self._fd = fd
        self.identity = f"{theirs.st_dev}:{theirs.st_ino}"

    @classmethod
    def of_peer(cls, connection: socket.socket) -> NetworkNamespace:
        """The namespace of the process that listens at the other end of a connected unix socket."""
        pid, pidfd = _peer(connection)
        try:
            return cls(_namespace_of(pid, pidfd))
        finally:
            os.close(pidfd)

    @classmethod
    def of_path(cls, path: str) -> NetworkNamespace:
        """The namespace bound to a file, such as those of `ip netns`."""
        try:
            return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise NamespaceError(f"could not open network namespace {path}: {error}") from error

    def __enter__(self) -> NetworkNamespace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the namespace; calling it again does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def run(self, work: Callable[[], T], timeout: float) -> T:
        """Call `work` in the namespace, on a thread of its own, and return its result or raise its error.

        Raises TimeoutError after `timeout` seconds; the thread itself then ends when `work` does, so `work`
        must be bounded and idempotent.
        """
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()
        fd = os.dup(self._fd)

        def visit() -> None:
            try:
                _enter(fd)
                value = work()
            except BaseException as error:
                _deliver(loop, result, None, error)
            else:
                _deliver(loop, result, value, None)
            finally:
                os.close(fd)

        threading.Thread(target=visit, name="pod-network", daemon=True).start()
        async with asyncio.timeout(timeout):
            return await result


def _enter(fd: int) -> None:
    try:
        setns(fd, CLONE_NEWNET)
    except OSError as error:
        raise NamespaceError(f"could not enter the pod's network namespace: {error.strerror}") from error


def _deliver(
    loop: asyncio.AbstractEventLoop, result: asyncio.Future[T], value: T | None, error: BaseException | None
) -> None:
    def settle() -> None:
        if result.done():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type]  # a T exactly when there is no error

    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(settle)


def peer_pid(connection: socket.socket) -> int:
    """The pid, as this process sees it, that listens at the other end of a connected unix socket."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid: int = struct.unpack("iII", credentials)[0]
    if pid <= 0:
        raise NamespaceError("the peer of the socket lives in a pid namespace this process can't see")
    return pid


def _peer(connection: socket.socket) -> tuple[int, int]:
    """The pid that listens at the other end, and a pidfd that pins it."""
    pid = peer_pid(connection)
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD, 4)
        return pid, struct.unpack("i", raw)[0]
    except OSError:  # before Linux 6.5: pin the pid now, the caller checks that it is alive afterwards
        pass
    try:
        return pid, os.pidfd_open(pid)
    except OSError as error:
        raise NamespaceError(f"the peer of the socket (pid {pid}) is gone: {error}") from error


def _namespace_of(pid: int, pidfd: int) -> int:
    try:
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NamespaceError(f"could not open the network namespace of pid {pid}: {error}") from error
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except OSError as error:
        os.close(fd)
        raise NamespaceError(f"pid {pid} ended while its network namespace was opened: {error}") from error
    return fd
