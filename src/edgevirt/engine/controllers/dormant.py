"""Controllers that sleep until there is an object for them.

A box that runs only machines has no deployments, jobs or budgets: their controllers are neither imported nor
do they watch anything. The garbage collector sees the metadata of every object anyway; the first object of a
kind wakes the kind's controllers, for as long as the process lives.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from edgevirt.engine.controllers.garbage_collector import GarbageCollector
from edgevirt.engine.controllers.surroundings import Shared

log = logging.getLogger("edgevirt.engine.controllers.dormant")


class Sleeper(Protocol):
    async def run(self, started: asyncio.Event) -> None:
        """Work until cancelled; set `started` when the present state is known."""


def _deployment(shared: Shared) -> Sleeper:
    from edgevirt.engine.controllers.workloads.deployment import DeploymentController

    return DeploymentController(shared)


def _replica_set(shared: Shared) -> Sleeper:
    from edgevirt.engine.controllers.workloads.replica_set import ReplicaSetController

    return ReplicaSetController(shared)


def _stateful_set(shared: Shared) -> Sleeper:
    from edgevirt.engine.controllers.workloads.stateful_set import StatefulSetController

    return StatefulSetController(shared)


def _daemon_set(shared: Shared) -> Sleeper:
    from edgevirt.engine.controllers.workloads.daemon_set import DaemonSetController

    return DaemonSetController(shared)


def _job(shared: Shared) -> Sleeper:
    from edgevirt.engine.controllers.workloads.job import JobController

    return JobController(shared)


def _cron_job(shared: Shared) -> Sleeper:
    from edgevirt.engine.controllers.workloads.cron_job import CronJobController

    return CronJobController(shared)


def _endpoints(shared: Shared) -> Sleeper:
    from edgevirt.engine.controllers.services.endpoints import EndpointsController

    return EndpointsController(shared)


def _slices(shared: Shared) -> Sleeper:
    from edgevirt.engine.controllers.services.slices import EndpointSliceController

    return EndpointSliceController(shared)


def _mirroring(shared: Shared) -> Sleeper:
    from edgevirt.engine.controllers.services.mirroring import EndpointSliceMirroringController

    return EndpointSliceMirroringController(shared)


def _disruption(shared: Shared) -> Sleeper:
    from edgevirt.engine.controllers.disruption import DisruptionController

    return DisruptionController(shared)


def _resource_quota(shared: Shared) -> Sleeper:
    from edgevirt.engine.controllers.resource_quota import ResourceQuotaController

    return ResourceQuotaController(shared)


def _claim_protection(shared: Shared) -> Sleeper:
    from edgevirt.engine.controllers.storage_protection import ClaimProtection

    return ClaimProtection(shared)


def _volume_protection(shared: Shared) -> Sleeper:
    from edgevirt.engine.controllers.storage_protection import VolumeProtection

    return VolumeProtection(shared)


def _policy_status(shared: Shared) -> Sleeper:
    from edgevirt.engine.controllers.policy_status import PolicyStatusController

    return PolicyStatusController(shared)


SLEEPERS: tuple[tuple[str, str, Callable[[Shared], Sleeper]], ...] = (
    ("apps", "deployments", _deployment),
    ("apps", "replicasets", _replica_set),
    ("apps", "statefulsets", _stateful_set),
    ("apps", "daemonsets", _daemon_set),
    ("batch", "jobs", _job),
    ("batch", "cronjobs", _cron_job),
    ("", "services", _endpoints),
    ("", "services", _slices),
    ("", "endpoints", _mirroring),
    ("policy", "poddisruptionbudgets", _disruption),
    ("", "resourcequotas", _resource_quota),
    ("", "persistentvolumeclaims", _claim_protection),
    ("", "persistentvolumes", _volume_protection),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", _policy_status),
)
"""Group and resource of the first object that wakes a controller, and the controller."""


class Dormant:
    def __init__(self, shared: Shared, collector: GarbageCollector) -> None:
        self._shared = shared
        self._collector = collector

    async def run(self, started: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for api_group, plural, make in SLEEPERS:
                appearance = self._collector.appearance(api_group, plural)
                group.create_task(self._wake(appearance, plural, make), name=f"dormant-{plural}")
            started.set()

    async def _wake(self, appearance: asyncio.Event, plural: str, make: Callable[[Shared], Sleeper]) -> None:
        await appearance.wait()
        log.info("starting a controller", extra={"kind": plural})
        await make(self._shared).run(asyncio.Event())
