"""A server process that can be killed and started again on the same port and files."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from api_server_under_test import make_pki

READY_SECONDS = 30.0


@dataclass(frozen=True)
class Options:
    """`limits`, `store` and `connections` are fields of `Limits`, `StoreSettings` and `ConnectionLimits`."""

    limits: dict[str, int] = field(default_factory=dict)
    store: dict[str, int] = field(default_factory=dict)
    connections: dict[str, float] = field(default_factory=dict)
    controllers: bool = False
    bookmark_seconds: float = 60.0
    body_seconds: float = 60.0


class ServerProcess:
    """`start`, `kill`, `start` again. The directory holds PKI, store and log."""

    def __init__(self, directory: Path, options: Options) -> None:
        self.directory = directory
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self.port = 0
        make_pki(directory)
        self.context = ssl.create_default_context(cafile=directory / "ca.crt")

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, failpoint: str = "", times: int = 1) -> None:
        """Returns when the server is ready, or, with a failpoint, when it died of it before."""
        document = {
            **dataclasses.asdict(self._options),
            "directory": str(self.directory),
            "port": self.port,
            "failpoint": failpoint,
            "times": times,
        }
        script = Path(__file__).with_name("server_under_fault.py")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(script), json.dumps(document), stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(READY_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            code = await self._process.wait()
            assert failpoint, f"the server ended with {code}: {self.log()}"
            assert code == -signal.SIGKILL, f"the server ended with {code}: {self.log()}"
            return
        word, _, port = line.decode().partition(" ")
        assert word == "ready", line
        self.port = int(port)

    async def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def died(self, seconds: float = 30.0) -> None:
        """Wait for the death by failpoint."""
        assert self._process is not None
        async with asyncio.timeout(seconds):
            code = await self._process.wait()
        assert code == -signal.SIGKILL, f"the server ended with {code}: {self.log()}"

    async def stop(self) -> None:
        """A clean end; kills a server that does not end."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(20):
                await process.wait()
        except TimeoutError:
            await self.kill()
            raise

    def log(self) -> str:
        path = self.directory / "server.log"
        return path.read_text()[-4000:] if path.exists() else ""

    def resident_bytes(self) -> int:
        """The process's RSS."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @contextlib.asynccontextmanager
    async def session(self, token: str = "admin") -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(ssl=self.context, limit=0)
        async with aiohttp.ClientSession(
            self.url, connector=connector, headers={"Authorization": f"Bearer {token}"}
        ) as session:
            yield session


async def call(
    session: aiohttp.ClientSession,
    method: str,
    path: str,
    document: Any = None,
    media: str = "application/json",
) -> tuple[int, Any]:
    """Status and decoded answer. Raises `aiohttp.ClientError` when the server is not there."""
    body = json.dumps(document) if document is not None else None
    async with session.request(method, path, data=body, headers={"Content-Type": media}) as response:
        return response.status, await response.json()


@contextlib.asynccontextmanager
async def started(directory: Path, options: Options) -> AsyncIterator[ServerProcess]:
    server = ServerProcess(directory, options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
