"""Two readings of a node's kubelet with some time in between.

The first question after a while takes the time of a short window; those that follow compare with what was
read for the ones before. Nodes are asked by one question at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from edgevirt.engine.apiserver.usage.readings import Reading

WINDOW = 1.0
"""Seconds between two readings when there is nothing to compare with; less would measure the noise."""
_LONGEST = 60.0
"""An older reading says nothing about now."""

Fetch = Callable[[str], Awaitable[Reading]]
"""Reads a node's kubelet. Raises OSError, ValueError and whatever an HTTP client raises."""


@dataclass(slots=True)
class _Known:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    before: Reading | None = None
    latest: Reading | None = None


class Meter:
    """Reads by `fetch`. One for all nodes; nodes that are gone are dropped by `keep`."""

    def __init__(self, fetch: Fetch, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._fetch = fetch
        self._sleep = sleep
        self._nodes: dict[str, _Known] = {}

    async def read(self, node: str) -> tuple[Reading, Reading]:
        """(before, now), at least WINDOW apart. Raises what `fetch` raises."""
        known = self._nodes.setdefault(node, _Known())
        async with known.turn:
            now = await self._fetch(node)
            latest, before = known.latest, known.before
            age = now.node.moment - latest.node.moment if latest else _LONGEST
            if before is not None and 0 <= age < WINDOW:
                return before, now  # what was started since the latest is in it
            if latest is None or not WINDOW <= age < _LONGEST:
                latest = now
                await self._sleep(WINDOW)
                now = await self._fetch(node)
            known.before, known.latest = latest, now
            return latest, now

    def keep(self, nodes: frozenset[str]) -> None:
        """Forget all others."""
        for name in self._nodes.keys() - nodes:
            del self._nodes[name]
