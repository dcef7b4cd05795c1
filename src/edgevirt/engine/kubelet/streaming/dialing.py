"""Connections to a port of a pod, made inside its network namespace, so that 127.0.0.1 is the pod's own.

A socket belongs to the namespace it was made in for all its life. So only its making needs a thread that
enters the namespace for a moment; connecting and everything after is done by the event loop.
"""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from edgevirt.engine.kubelet.services import Services
from edgevirt.linux import namespaces

CONNECT_SECONDS = 30.0
_LIMIT = 64 * 1024
_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


async def dial(
    services: Services, namespace: Path | None, port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to `port` on the pod's loopback, IPv4 first; `namespace` None is the machine's. OSError."""
    failures: list[str] = []
    for family, address in _LOOPBACK:
        try:
            made = await _made(services, namespace, family)
        except OSError as error:
            failures.append(f"socket: {error.strerror}")
            continue
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(made, (address, port))
            return await asyncio.open_connection(sock=made, limit=_LIMIT)
        except (OSError, TimeoutError) as error:
            made.close()
            reason = os.strerror(error.errno).lower() if error.errno else "timed out"
            shown = f"[{address}]" if ":" in address else address
            failures.append(f"dial tcp {shown}:{port}: connect: {reason}")
        except BaseException:
            made.close()
            raise
    raise OSError(f"failed to connect to localhost:{port} inside the pod: {'; '.join(failures)}")


async def _made(services: Services, namespace: Path | None, family: int) -> socket.socket:
    """A socket in the namespace; closed if nobody waits for it any more when the thread has made it."""
    made: list[socket.socket] = []
    try:
        await services.blocking(lambda: made.append(_socket(namespace, family)))
    except asyncio.CancelledError:
        for one in made:
            one.close()
        raise
    return made[0]


def _socket(namespace: Path | None, family: int) -> socket.socket:
    """Runs in a thread, which is back in its own namespace afterwards."""
    if namespace is None:
        return _plain(family)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            namespaces.setns(there, namespaces.CLONE_NEWNET)
        finally:
            os.close(there)
        try:
            return _plain(family)
        finally:
            namespaces.setns(home, namespaces.CLONE_NEWNET)
    finally:
        os.close(home)


def _plain(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made
