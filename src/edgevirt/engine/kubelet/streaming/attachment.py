"""Attaching to a container that runs: what it writes from now on.

A container's output goes to its log and nowhere else, both streams in one, so that it does not depend on
anybody listening; whoever attaches follows the log from its end, and gets all of it as standard output.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from edgevirt.engine.kubelet import logs
from edgevirt.engine.kubelet.streaming.remote import Remote, Sink
from edgevirt.engine.kubelet.streaming.verdict import Verdict


async def attach(log: Path, ended: asyncio.Event, remote: Remote) -> Verdict:
    """Until the container ends or the client leaves."""
    sink = remote.stdout or remote.stderr
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(_follow(log, ended, sink) if sink else _until(ended))
        leaving = tasks.create_task(remote.gone.wait())
        await asyncio.wait({following, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for task in (following, leaving):
            task.cancel()
    return Verdict()


async def _follow(log: Path, ended: asyncio.Event, sink: Sink) -> None:
    try:
        async for data in logs.read(log, logs.LogQuery(follow=True, tail=0), ended):
            await sink.write(data)
    except ConnectionError:
        return


async def _until(ended: asyncio.Event) -> None:
    await ended.wait()
