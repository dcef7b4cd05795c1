"""What the bridge of the pods needs besides rules: a route for cluster addresses, and routable loopback.

The route lets the node reach services without an uplink, and refuses to send what no service has to the
world. It and the setting belong to the bridge and go with it; the bridge comes with the first pod, so links
are followed by netlink notices.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import socket
import struct
from pathlib import Path

log = logging.getLogger("edgevirt.engine.service_proxy")

_RTMGRP_LINK = 1
_SIOCGIFFLAGS = 0x8913
_IFF_UP = 1


class Bridge:
    """The bridge `name`; `subnet` are the cluster addresses."""

    def __init__(self, name: str, subnet: str, route_localnet: bool) -> None:
        self._name = name
        self._subnet = subnet
        self._route_localnet = route_localnet
        self._changed = asyncio.Event()
        self._ready = 0

    async def run(self) -> None:
        """Prepare the bridge whenever it appears, until cancelled."""
        notices = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        loop = asyncio.get_running_loop()
        try:
            notices.bind((0, _RTMGRP_LINK))
            loop.add_reader(notices, self._read, notices)
            self._changed.set()
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._prepare()
        finally:
            loop.remove_reader(notices)
            notices.close()

    def _read(self, notices: socket.socket) -> None:
        try:
            while notices.recv(1 << 16):
                self._changed.set()
        except BlockingIOError:
            return
        except OSError:
            self._changed.set()  # notices were lost: look

    async def _prepare(self) -> None:
        index = self._index()
        if index == 0 or index == self._ready:
            self._ready = index
            return
        try:
            if self._route_localnet:
                Path("/proc/sys/net/ipv4/conf", self._name, "route_localnet").write_text("1\n")
            await self._add_route()
        except OSError as error:
            log.warning("the bridge cannot be prepared for services", extra={"error": str(error)})
            return
        self._ready = index

    def _index(self) -> int:
        """The index of the bridge, 0 while there is none or it is down."""
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                answer = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sh14x", self._name.encode(), 0))
            up = struct.unpack("16sh14x", answer)[1] & _IFF_UP
            return socket.if_nametoindex(self._name) if up else 0
        except OSError:
            return 0

    async def _add_route(self) -> None:
        """Raises OSError."""
        process = await asyncio.create_subprocess_exec(
            "ip",
            "route",
            "replace",
            self._subnet,
            "dev",
            self._name,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        async with asyncio.timeout(10.0):
            _, words = await process.communicate()
        if process.returncode != 0:
            raise OSError(f"ip route: {words.decode(errors='replace').strip()[:200]}")
