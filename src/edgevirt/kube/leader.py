"""Leader election on a Lease: of several candidates one leads, and another takes over when it goes quiet.

The protocol is client-go's. A candidate never compares its clock with a timestamp of somebody else: it
measures, on its own monotonic clock, for how long the lease has not changed, and takes it after
`lease_duration`. A leader that could not renew for `renew_deadline` stops leading, before anybody else may
start. Every write carries the resource version it is based on, so of two candidates that try at once one
gets a conflict.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable

from edgevirt.api.coordination import Lease, LeaseSpec
from edgevirt.api.meta import ObjectMeta
from edgevirt.api.resources import LEASES
from edgevirt.kube import errors
from edgevirt.kube.client import Client
from edgevirt.kube.clock import micro_timestamp, within

log = logging.getLogger("edgevirt.kube.leader")

JITTER = 1.2
RELEASE_DEADLINE = 3.0


class LeaderElector:
    """`identity` must be unique among candidates (host name plus something random). Times in seconds."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        *,
        lease_duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
        random_: Callable[[], float] = random.random,
    ) -> None:
        if not lease_duration > renew_deadline > retry_period * JITTER:
            raise ValueError("lease_duration > renew_deadline > 1.2 * retry_period must hold")
        self._client = client
        self._clock = client.clock
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._lease_duration = lease_duration
        self._renew_deadline = renew_deadline
        self._retry_period = retry_period
        self._random = random_
        self._observed: Lease | None = None
        self._observed_at = 0.0
        self.is_leader = False

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Run `lead` whenever we are leader, until it returns or we are cancelled.

        When leadership is lost `lead` is cancelled and awaited, and we become a candidate again. On the way
        out the lease is released, so that the next one need not wait. An exception of `lead` is passed on.
        """
        while True:
            await self._acquire()
            log.info("became leader", extra=self._about())
            self.is_leader = True
            try:
                if await self._lead_while_renewing(lead):
                    return
            finally:
                self.is_leader = False
                await self._release()
            log.error("lost leadership", extra=self._about())

    async def _acquire(self) -> None:
        while not await self._try():
            await self._clock.sleep(self._retry_period * (1.0 + (JITTER - 1.0) * self._random()))

    async def _lead_while_renewing(self, lead: Callable[[], Awaitable[None]]) -> bool:
        """True if `lead` returned by itself, False if the lease was lost."""
        leading = asyncio.ensure_future(lead())
        renewing = asyncio.create_task(self._renew(), name=f"leader-{self._name}")
        try:
            await asyncio.wait((leading, renewing), return_when=asyncio.FIRST_COMPLETED)
            if leading.done():
                await leading
                return True
            return False
        finally:
            for task in (leading, renewing):
                task.cancel()
            await asyncio.wait((leading, renewing))
            for what, task in (("work", leading), ("renewal", renewing)):
                if not task.cancelled() and (error := task.exception()) is not None:
                    log.error(
                        "leading ended with an error",
                        extra={**self._about(), "part": what, "error": str(error)},
                    )

    async def _renew(self) -> None:
        """Return when the lease could not be renewed in time."""
        last_success = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._retry_period)
            left = last_success + self._renew_deadline - self._clock.monotonic()
            if left <= 0:
                return
            try:
                renewed = await within(self._clock, left, self._try())
            except TimeoutError:
                return
            if renewed:
                last_success = self._clock.monotonic()
            elif not self._holds():
                return  # somebody else has it: waiting for the deadline would mean two leaders

    async def _try(self) -> bool:
        """Take or renew the lease once."""
        try:
            lease = await self._client.get(LEASES, self._name, namespace=self._namespace)
        except errors.NotFound:
            return await self._create()
        except errors.KubeError as error:
            log.debug("cannot read the lease", extra={**self._about(), "error": str(error)})
            return False
        self._observe(lease)
        spec = lease.spec or LeaseSpec()
        if spec.holder_identity not in ("", self._identity) and not self._expired(spec):
            return False
        ours = spec.holder_identity == self._identity
        now = micro_timestamp(self._clock.now())
        change: dict[str, object] = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._lease_duration),
            "renewTime": now,
        }
        if not ours:
            change["acquireTime"] = now
            change["leaseTransitions"] = (spec.lease_transitions or 0) + 1
        return await self._write(lease, change)

    async def _create(self) -> bool:
        now = micro_timestamp(self._clock.now())
        lease = Lease(
            metadata=ObjectMeta(name=self._name, namespace=self._namespace),
            spec=LeaseSpec(
                holder_identity=self._identity,
                lease_duration_seconds=int(self._lease_duration),
                acquire_time=now,
                renew_time=now,
                lease_transitions=0,
            ),
        )
        try:
            self._observe(await self._client.create(LEASES, lease))
        except errors.KubeError as error:
            log.debug("cannot create the lease", extra={**self._about(), "error": str(error)})
            return False
        return True

    async def _write(self, lease: Lease, change: dict[str, object]) -> bool:
        patch = {"metadata": {"resourceVersion": lease.metadata.resource_version}, "spec": change}
        try:
            self._observe(await self._client.patch(LEASES, self._name, patch, namespace=self._namespace))
        except errors.KubeError as error:
            log.debug("cannot write the lease", extra={**self._about(), "error": str(error)})
            return False
        return True

    async def _release(self) -> None:
        lease = self._observed
        if lease is None or not self._holds():
            return
        now = micro_timestamp(self._clock.now())
        change: dict[str, object] = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now}
        with contextlib.suppress(TimeoutError):
            await within(self._clock, RELEASE_DEADLINE, self._write(lease, change))

    def _observe(self, lease: Lease) -> None:
        if self._observed is None or self._observed.spec != lease.spec:
            self._observed_at = self._clock.monotonic()
        self._observed = lease

    def _holds(self) -> bool:
        spec = self._observed.spec if self._observed else None
        return spec is not None and spec.holder_identity == self._identity

    def _expired(self, spec: LeaseSpec) -> bool:
        duration = spec.lease_duration_seconds or self._lease_duration
        return self._clock.monotonic() >= self._observed_at + duration

    def _about(self) -> dict[str, object]:
        return {"lease": f"{self._namespace}/{self._name}", "identity": self._identity}
