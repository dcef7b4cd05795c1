"""The started process's side of `supervise`: it holds its pid file, and reports once.

The lock is a POSIX record lock: the kernel names its holder to whoever asks, and asking does not take it,
so a status command cannot get in the way of a start. Such a lock is lost when its process closes any
descriptor of the file; nothing else in the two processes opens it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from edgevirt.install.standalone.layout import Layout
from edgevirt.install.standalone.supervise import READY, pid_file

_MAX_WORDS = 8 * 1024


class Reporter:
    """Made first thing in a process; ends it if another one holds the pid file or its starter is gone."""

    def __init__(self, layout: Layout, name: str, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._loop: asyncio.AbstractEventLoop | None = None
        if descriptor is not None and _reader_is_gone(descriptor):
            raise SystemExit(1)
        self._file = pid_file(layout, name).open("a+b", buffering=0)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            self.fail(f"{name} is running already; `edgevirt status` shows it")
        self._mark(f"{os.getpid()}\n")

    def ready(self) -> None:
        """Tell whoever waits that the work can begin."""
        self._mark(f"{os.getpid()} ready\n")
        self._say(READY)

    def fail(self, words: str) -> NoReturn:
        """Tell why it cannot, and end the process with exit code 1."""
        print(words, file=sys.stderr, flush=True)
        self._say(words.encode()[:_MAX_WORDS])
        raise SystemExit(1)

    def watch_starter(self, gone: Callable[[], None]) -> None:
        """Call `gone` in the running loop if the starter vanishes before `ready`."""
        descriptor = self._descriptor
        if descriptor is None:
            return
        loop = self._loop = asyncio.get_running_loop()

        def vanished() -> None:
            loop.remove_reader(descriptor)
            gone()

        # Nothing can ever be read from this end: it wakes only for the error that no reader is left.
        loop.add_reader(descriptor, vanished)

    def _mark(self, text: str) -> None:
        self._file.truncate(0)
        self._file.write(text.encode())

    def _say(self, words: bytes) -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(descriptor)
        try:
            with contextlib.suppress(BrokenPipeError):  # nobody waits any more
                os.write(descriptor, words)
        finally:
            os.close(descriptor)


async def run_until_told(work: Coroutine[Any, Any, None], reporter: Reporter) -> None:
    """Run `work` until it fails, SIGTERM or SIGINT arrives, or the starter is gone before it was ready."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    reporter.watch_starter(told.set)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(work)
        await told.wait()
        running.cancel()


def _reader_is_gone(descriptor: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poller.poll(0))
