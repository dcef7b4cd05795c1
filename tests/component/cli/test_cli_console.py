"""`edgevirt console` as a process: on a terminal, with files and pipes, against an API that a test holds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import sys
import termios
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import WSCloseCode, WSMsgType, web

pytestmark = pytest.mark.component

DEADLINE = 30.0
INSTANCES = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
CONSOLE = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachineinstances/demo/console"


class Guest:
    """An API with one machine. It prints `login: ` and remembers what was typed."""

    def __init__(self) -> None:
        self.phase = "Running"
        self.exists = True
        self.typed = b""
        self.heard = asyncio.Event()
        self.connected = asyncio.Event()
        self.socket: web.WebSocketResponse | None = None

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get(INSTANCES, self._list)
        application.router.add_get(CONSOLE, self._console)
        return application

    async def _list(self, request: web.Request) -> web.StreamResponse:
        meta = {"name": "demo", "namespace": "default", "uid": "u", "resourceVersion": "7"}
        demo = {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance",
            "metadata": meta,
            "spec": {"domain": {"devices": {}}},
            "status": {"phase": self.phase},
        }
        return web.json_response(
            {
                "kind": "VirtualMachineInstanceList",
                "metadata": {"resourceVersion": "7"},
                "items": [demo] if self.exists else [],
            }
        )

    async def _console(self, request: web.Request) -> web.StreamResponse:
        self.socket = socket = web.WebSocketResponse(protocols=("plain.kubevirt.io",))
        await socket.prepare(request)
        await socket.send_bytes(b"Welcome\r\nlogin: ")
        self.connected.set()
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                self.typed += message.data
                self.heard.set()
        return socket

    async def has_heard(self, words: bytes) -> None:
        async with asyncio.timeout(DEADLINE):
            while words not in self.typed:
                self.heard.clear()
                await self.heard.wait()


@pytest.fixture
async def guest() -> Guest:
    return Guest()


@pytest.fixture
async def kubeconfig(guest: Guest, tmp_path: Path) -> AsyncIterator[Path]:
    runner = web.AppRunner(guest.application(), shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    path = tmp_path / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                "users": [{"name": "test", "user": {}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            }
        )
    )
    yield path
    await runner.cleanup()


async def console(kubeconfig: Path, *arguments: str, **streams: Any) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from edgevirt.cli.main import main; main()",
        "console",
        "demo",
        "--kubeconfig",
        str(kubeconfig),
        *arguments,
        **{
            "stdin": asyncio.subprocess.DEVNULL,
            "stdout": asyncio.subprocess.PIPE,
            "stderr": asyncio.subprocess.PIPE,
            **streams,
        },
    )


async def end(process: asyncio.subprocess.Process) -> tuple[int, bytes, bytes]:
    async with asyncio.timeout(DEADLINE):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out or b"", err or b""


async def test_with_dev_null_it_prints_until_the_text_was_seen(kubeconfig: Path) -> None:
    code, out, err = await end(await console(kubeconfig, "--until", "login:"))
    assert (code, out, err) == (0, b"Welcome\r\nlogin: ", b"")


async def test_file_as_input_is_sent_byte_by_byte_as_it_is(
    kubeconfig: Path, guest: Guest, tmp_path: Path
) -> None:
    typed = tmp_path / "typed"
    typed.write_bytes(b"root\n\x1dsecret\n" * 1000)
    with typed.open("rb") as file:
        process = await console(kubeconfig, stdin=file)
        await guest.has_heard(typed.read_bytes())
        assert guest.socket is not None
        await guest.socket.close()
        code, _, err = await end(process)
    assert code == 0
    assert b"closed the console" in err


async def test_pipe_as_input_is_sent_and_its_end_ends_nothing(kubeconfig: Path, guest: Guest) -> None:
    process = await console(kubeconfig, "--until", "and bye", stdin=asyncio.subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"hello\n")
    process.stdin.close()
    await guest.has_heard(b"hello\n")
    assert guest.socket is not None
    await guest.socket.send_bytes(b"and ")
    await guest.socket.send_bytes(b"bye")
    assert (await end(process))[0] == 0


async def test_console_closed_before_the_text_was_seen_is_an_error(kubeconfig: Path, guest: Guest) -> None:
    process = await console(kubeconfig, "--until", "never")
    await guest.connected.wait()
    assert guest.socket is not None
    await guest.socket.close(code=WSCloseCode.GOING_AWAY)
    code, _, err = await end(process)
    assert code == 1
    assert b"closed before 'never' was printed" in err


async def test_ended_guest_is_an_error_at_once(kubeconfig: Path, guest: Guest) -> None:
    guest.phase = "Failed"
    code, _, err = await end(await console(kubeconfig))
    assert code == 1
    assert b"has ended (Failed)" in err


async def test_machine_that_does_not_exist_is_an_error_at_once(kubeconfig: Path, guest: Guest) -> None:
    guest.exists = False
    code, _, err = await end(await console(kubeconfig))
    assert code == 1
    assert b"no virtual machine demo in namespace default" in err


class Terminal:
    """A pseudo-terminal with a reader that never misses output."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.shown = b""
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(self.master, self._read)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            self.shown += os.read(self.master, 4096)
        self._news.set()

    async def has_shown(self, words: bytes) -> None:
        async with asyncio.timeout(DEADLINE):
            while words not in self.shown:
                self._news.clear()
                await self._news.wait()

    @property
    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    @property
    def is_restored(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.master)
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
async def terminal() -> AsyncIterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


async def on(terminal: Terminal, kubeconfig: Path) -> asyncio.subprocess.Process:
    return await console(
        kubeconfig, stdin=terminal.slave, stdout=terminal.slave, stderr=asyncio.subprocess.PIPE
    )


async def test_on_a_terminal_keys_go_to_the_guest_until_the_escape(
    kubeconfig: Path, guest: Guest, terminal: Terminal
) -> None:
    process = await on(terminal, kubeconfig)
    await terminal.has_shown(b"login: ")
    assert terminal.is_raw
    os.write(terminal.master, b"ls\x03\r")
    await guest.has_heard(b"ls\x03\r")
    os.write(terminal.master, b"x\x1dy")
    code, _, err = await end(process)
    assert code == 0
    assert b"Leave with Ctrl+]" in err
    assert guest.typed == b"ls\x03\rx"
    assert terminal.is_restored


@pytest.mark.parametrize(
    "how",
    [
        lambda process, guest: process.terminate(),
        lambda process, guest: asyncio.ensure_future(guest.socket.close()),
    ],
    ids=["told-to-end", "guest-gone"],
)
async def test_terminal_is_restored_however_it_ends(
    kubeconfig: Path, guest: Guest, terminal: Terminal, how: Callable[..., object]
) -> None:
    process = await on(terminal, kubeconfig)
    await terminal.has_shown(b"login: ")
    ending = how(process, guest)
    await end(process)
    if isinstance(ending, asyncio.Future):
        await ending
    assert terminal.is_restored
