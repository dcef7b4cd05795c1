"""The controller loop: keys from events, reconciled by a few workers, retried with a reason.

`reconcile(key)` brings the world closer to what the object of that key wants. It is level triggered: it reads
the present state from caches and never learns which event woke it, is called again whenever something changed
while it ran, and is never called for one key twice at a time. How it ends decides what happens next:

* returns None or a Result: success; its failure count is forgotten,
* Conflict: what it read is outdated; tried again within milliseconds,
* Permanent: logged, and left until the next event,
* Transient and everything else: tried again with exponential back-off; what is not a KubeError is a bug and
  is logged with its traceback, but does not stop the others.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable

from edgevirt.kube.clock import Clock, SystemClock, within
from edgevirt.kube.errors import Conflict, KubeError, Permanent
from edgevirt.kube.workqueue import WorkQueue

log = logging.getLogger("edgevirt.kube.controller")


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """`requeue_after`: seconds after which to reconcile again although nothing changed; None = never."""

    requeue_after: float | None = None


Reconcile = Callable[[str], Awaitable[Result | None]]


class Controller:
    """`timeout` bounds one reconcile, in seconds; one that takes longer is cancelled and retried."""

    def __init__(
        self,
        name: str,
        reconcile: Reconcile,
        workers: int = 4,
        clock: Clock | None = None,
        timeout: float = 120.0,
    ) -> None:
        self.name = name
        self._reconcile = reconcile
        self._workers = workers
        self._clock = clock or SystemClock()
        self._timeout = timeout
        self._queue: WorkQueue[str] = WorkQueue(clock=self._clock)

    def enqueue(self, key: str) -> None:
        """Reconcile `key` ("ns/name", or "name" if cluster-scoped) as soon as a worker is free."""
        self._queue.add(key)

    def enqueue_after(self, key: str, seconds: float) -> None:
        """Reconcile `key` once `seconds` have passed, or earlier if something else asks for it."""
        self._queue.add_after(key, seconds)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._work(), name=f"{self.name}-{number}")

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._process(key)
            finally:
                self._queue.done(key)

    async def _process(self, key: str) -> None:
        about = {"controller": self.name, "key": key}
        try:
            result = await within(self._clock, self._timeout, self._reconcile(key))
        except Conflict as error:
            self._queue.add_rate_limited(key)
            log.debug("object changed while reconciling, retrying", extra={**about, "error": str(error)})
        except Permanent as error:
            self._queue.forget(key)
            log.error("reconcile failed for good", extra={**about, "error": str(error)})
        except (KubeError, TimeoutError) as error:
            delay = self._queue.add_rate_limited(key)
            log.warning(
                "reconcile failed, will retry",
                extra={**about, "error": str(error), "retry_in": delay, "attempt": self._queue.failures(key)},
            )
        except Exception:
            delay = self._queue.add_rate_limited(key)
            log.exception(
                "reconcile raised an unexpected error, will retry", extra={**about, "retry_in": delay}
            )
        else:
            self._queue.forget(key)
            if result is not None and result.requeue_after is not None:
                self._queue.add_after(key, result.requeue_after)
