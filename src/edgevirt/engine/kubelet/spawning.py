"""Starting a process from another thread, so that it is never started for nobody.

A fork may take a while, so it happens beside the event loop. Who waits for it may be cancelled meanwhile: the
pod goes, a client leaves, a probe is over its time. A thread cannot be called back, so the process is awaited
all the same and ended at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import Executor


async def spawned(spawner: Executor, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """The process that `start` makes in `spawner`, leader of a session of its own.

    When the caller is cancelled, the process is killed and reaped before that goes on. Raises what `start`
    raises.
    """
    started = asyncio.get_running_loop().run_in_executor(spawner, start)
    try:
        return await asyncio.shield(started)
    except asyncio.CancelledError:
        await asyncio.wait({started})
        if not started.cancelled() and started.exception() is None:
            _end(started.result())
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
