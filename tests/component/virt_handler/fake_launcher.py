"""A small virt-launcher without libvirt: the server side of `api.launcher`, steered by a test.

Run as a program it serves one socket until its standard input ends, so that a test can have it in another
network namespace.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from edgevirt.api.launcher import (
    DomainState,
    DomainStatus,
    Error,
    Event,
    Frame,
    Hello,
    Method,
    Request,
    Response,
    StateReason,
    SyncRequest,
)


class FakeLauncher:
    def __init__(self, uid: str) -> None:
        self.status = DomainStatus(uid=uid)
        self.calls: list[Method] = []
        self.syncs: list[SyncRequest] = []
        self.refuse: Error | None = None
        self.on_sync: Callable[[], None] = self.start
        self.version = 1
        self.called = asyncio.Condition()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def serve(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        hidden = path.with_name("launcher-init-sock")
        directory = os.open(path.parent, os.O_PATH)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(f"/proc/self/fd/{directory}/{hidden.name}")  # paths of sockets must be short
        os.close(directory)
        self._server = await asyncio.start_unix_server(self._client, sock=listener)
        hidden.rename(path)

    async def stop(self) -> None:
        """Die like a process that was killed: connections end, the socket file stays."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        await asyncio.sleep(0)

    def become(self, **changes: object) -> None:
        """Change the domain's status and tell subscribers."""
        self.status = msgspec.structs.replace(self.status, **changes)
        self.push(Event(kind="Domain", status=self.status))

    def push(self, event: Event) -> None:
        for writer in self._writers:
            self._send(writer, Frame(event=event))

    def start(self) -> None:
        self.become(state=DomainState.RUNNING, reason=StateReason.UNKNOWN, virtualization="qemu")

    async def until_called(self, method: Method, times: int = 1) -> None:
        async with asyncio.timeout(10), self.called:
            await self.called.wait_for(lambda: self.calls.count(method) >= times)

    def raw(self, data: bytes) -> None:
        for writer in self._writers:
            writer.write(data)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length = int.from_bytes(await reader.readexactly(4), "big")
                request = msgspec.json.decode(await reader.readexactly(length), type=Request)
                response = self._answer(request)
                if response is not None:
                    self._send(writer, Frame(response=response))
                async with self.called:
                    self.called.notify_all()
        writer.close()

    def _answer(self, request: Request) -> Response | None:
        self.calls.append(request.method)
        if request.method is Method.SYNC:
            self.syncs.append(msgspec.json.decode(request.params, type=SyncRequest))
        if self.refuse is not None and request.method not in (Method.HELLO, Method.SUBSCRIBE):
            return Response(id=request.id, error=self.refuse)
        if request.method is Method.SYNC:
            self.on_sync()
        if request.method is Method.HELLO:
            return Response(id=request.id, result=_raw(Hello(version=self.version)))
        if request.method in (Method.SUBSCRIBE, Method.SYNC, Method.GET_DOMAIN):
            return Response(id=request.id, result=_raw(self.status))
        return Response(id=request.id)

    @staticmethod
    def _send(writer: asyncio.StreamWriter, frame: Frame) -> None:
        body = msgspec.json.encode(frame)
        writer.write(len(body).to_bytes(4, "big") + body)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _plain(value: object) -> dict[str, object]:
    found: dict[str, object] = msgspec.to_builtins(value)
    return found


async def _main(uid: str, path: str) -> None:
    launcher = FakeLauncher(uid)
    await launcher.serve(Path(path))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await launcher.stop()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2]))
