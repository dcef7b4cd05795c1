"""A client that runs a command or attaches: its streams, whatever protocol they come through.

Writes wait until the client can take more, and reads hold nothing back beyond a small buffer, so a slow side
slows the other one down and nothing piles up in between.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from edgevirt.engine.kubelet.streaming.verdict import Verdict

CREATION_SECONDS = 30.0
"""How long a client may take to open its streams."""


class Source(Protocol):
    async def read(self) -> bytes:
        """Some bytes; b"" when there will be no more."""


class Sink(Protocol):
    async def write(self, data: bytes) -> None:
        """Returns when more can be taken. Raises ConnectionError when nobody listens any more."""


class Finish(Protocol):
    async def __call__(self, verdict: Verdict) -> None: ...


@dataclass(frozen=True, slots=True)
class Remote:
    """A stream is None if the client did not ask for it. `gone` is set when the client has left."""

    stdin: Source | None
    stdout: Sink | None
    stderr: Sink | None
    resize: Source | None
    finish: Finish
    gone: asyncio.Event
