"""Attaching to a container that runs: what it writes from now on, and typing to it.

A container's output goes to its log and nowhere else, both streams in one, so that it does not depend on
anybody listening; whoever attaches follows the log from its end, and gets all of it as standard output. What
the client types goes to the container's input if it has one. Several clients may be attached at once.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from edgevirt.engine.kubelet import logs
from edgevirt.engine.kubelet.stdio import Console, Input
from edgevirt.engine.kubelet.streaming.remote import Remote, Sink, Source
from edgevirt.engine.kubelet.streaming.terminal import SizeReader, resize_of
from edgevirt.engine.kubelet.streaming.verdict import Verdict


async def attach(log: Path, ended: asyncio.Event, console: Console, remote: Remote) -> Verdict:
    """Until the container ends or the client leaves."""
    sink = remote.stdout or remote.stderr
    typing = remote.stdin is not None and console.stdin
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(_follow(log, ended, sink) if sink else _until(ended))
        leaving = tasks.create_task(remote.gone.wait())
        others = []
        if remote.stdin is not None and typing:
            others.append(tasks.create_task(_type(console, remote.stdin)))
        if remote.resize is not None and console.tty:
            others.append(tasks.create_task(_resize(console, remote.resize)))
        await asyncio.wait({following, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for task in (following, leaving, *others):
            task.cancel()
    if typing and console.once:
        console.end()
    return Verdict()


async def _follow(log: Path, ended: asyncio.Event, sink: Sink) -> None:
    try:
        async for data in logs.read(log, logs.LogQuery(follow=True, tail=0), ended):
            await sink.write(data)
    except ConnectionError:
        return


async def _type(console: Console, source: Source) -> None:
    """Hand on what the client types; for a container that has no input any more it is dropped."""
    try:
        target = Input(console.directory)
    except OSError:
        return
    try:
        while data := await source.read():
            await target.write(data)
    except OSError:
        return
    finally:
        target.close()
    if console.once:
        console.end()


async def _resize(console: Console, source: Source) -> None:
    reader = SizeReader()
    while data := await source.read():
        for size in reader.feed(data):
            if console.leader is not None:
                resize_of(console.leader, size)


async def _until(ended: asyncio.Event) -> None:
    await ended.wait()
