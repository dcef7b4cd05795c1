"""Pods that wait for a node: those to look at now, by priority, and those set aside until something
changes.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools

from edgevirt.api.core import Pod
from edgevirt.kube.objects import Key, key_of


class PendingPods:
    """A pod is in at most one of the two places. All methods but `next` are synchronous."""

    def __init__(self) -> None:
        self._active: dict[Key, Pod] = {}
        self._order: list[tuple[int, str, int, Key]] = []
        self._aside: dict[Key, Pod] = {}
        self._numbers = itertools.count()
        self._filled = asyncio.Event()

    def add(self, pod: Pod) -> None:
        """Look at the pod (in its newest version) soon: high priority first, then first come."""
        key = key_of(pod)
        self._aside.pop(key, None)
        if key not in self._active:
            priority = (pod.spec.priority if pod.spec else None) or 0
            created = pod.metadata.creation_timestamp
            heapq.heappush(self._order, (-priority, created, next(self._numbers), key))
        self._active[key] = pod
        self._filled.set()

    def set_aside(self, pod: Pod) -> None:
        """Leave the pod alone until `retry_all` or `add`, unless a newer version came meanwhile."""
        key = key_of(pod)
        if key not in self._active:
            self._aside[key] = pod

    def retry_all(self) -> None:
        """Something changed that may help: look at all pods that were set aside."""
        for pod in tuple(self._aside.values()):
            self.add(pod)

    def remove(self, key: Key) -> None:
        """The pod is gone or has a node."""
        self._active.pop(key, None)
        self._aside.pop(key, None)

    async def next(self) -> Pod:
        """The next pod to look at; waits for one."""
        while True:
            while self._order:
                key = heapq.heappop(self._order)[3]
                pod = self._active.pop(key, None)
                if pod is not None:
                    return pod
            self._filled.clear()
            await self._filled.wait()
