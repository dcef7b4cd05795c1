"""A remote command over SPDY: one stream per standard stream, told apart by the header `streamType`.

Which streams there are follows from the request; the client opens them in any order. Version 3 of the
protocol brought the resize stream, version 4 the Status object on the error stream.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from edgevirt.engine.kubelet.streaming.remote import CREATION_SECONDS, Remote
from edgevirt.engine.kubelet.streaming.request import Options
from edgevirt.engine.kubelet.streaming.switch import spdy_connection
from edgevirt.engine.kubelet.streaming.verdict import Verdict, encode
from edgevirt.engine.streams.spdy_connection import Stream

PROTOCOLS = {
    "v4.channel.k8s.io": 4,
    "v3.channel.k8s.io": 3,
    "v2.channel.k8s.io": 2,
    "channel.k8s.io": 1,
}
"""Name -> version."""


@contextlib.asynccontextmanager
async def remote_over_spdy(
    request: web.BaseRequest, options: Options, protocol: str
) -> AsyncIterator[Remote | None]:
    """The client's streams once all are open; None for one that does not open them in time."""
    version = PROTOCOLS[protocol]
    wanted = _expected(options, version)
    found: dict[str, Stream] = {}
    complete, gone = asyncio.Event(), asyncio.Event()

    def opened(stream: Stream) -> bool:
        kind = stream.header("streamType")
        if kind not in wanted or kind in found:
            return False
        found[kind] = stream
        if len(found) == len(wanted):
            complete.set()
        return True

    async with spdy_connection(request, protocol, opened, gone):
        try:
            async with asyncio.timeout(CREATION_SECONDS):
                await _first(complete, gone)
        except TimeoutError:
            pass
        if not complete.is_set():
            yield None
            return

        async def finish(verdict: Verdict) -> None:
            with contextlib.suppress(ConnectionError):
                if body := encode(verdict, version):
                    await found["error"].write(body)
            for stream in found.values():
                await stream.finish()

        yield Remote(
            stdin=found.get("stdin"),
            stdout=found.get("stdout"),
            stderr=found.get("stderr"),
            resize=found.get("resize"),
            finish=finish,
            gone=gone,
        )


def _expected(options: Options, version: int) -> frozenset[str]:
    wishes = {
        "error": True,
        "stdin": options.stdin,
        "stdout": options.stdout,
        "stderr": options.stderr,
        "resize": options.tty and version >= 3,
    }
    return frozenset(name for name, wish in wishes.items() if wish)


async def _first(*events: asyncio.Event) -> None:
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
