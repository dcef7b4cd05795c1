"""Telling the API how a pod is: at once if it matters, else when it has settled.

Only a difference to what was told last is written. A write that fails is repeated; a pod that the API no
longer has, or has replaced, is not reported: the watch will tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from typing import Any

from edgevirt.api import resources as api
from edgevirt.engine.kubelet import plan, status
from edgevirt.engine.kubelet.plan import Seen, State
from edgevirt.engine.kubelet.resident import Resident
from edgevirt.engine.kubelet.state import ContainerRecord
from edgevirt.kube.client import PatchType
from edgevirt.kube.errors import Conflict, KubeError, NotFound

log = logging.getLogger("edgevirt.kubelet")

_SETTLE = 1.0
_RETRY = 2.0


class Reporter:
    """Writes the status of one pod."""

    def __init__(self, resident: Resident) -> None:
        self._resident = resident
        self._published: dict[str, Any] | None = None

    async def run(self) -> None:
        """Report until cancelled."""
        resident = self._resident
        while True:
            await resident.report.wait()
            resident.report.clear()
            if not resident.urgent.is_set() and not self._worth_telling():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SETTLE):
                        await resident.urgent.wait()
            resident.urgent.clear()
            try:
                await self._publish()
            except (NotFound, Conflict):
                continue
            except KubeError as error:
                log.warning(
                    "status not written, trying again", extra={"pod": resident.key, "error": str(error)}
                )
                await resident.services.clock.sleep(_RETRY)
                resident.report.set()

    async def last_words(self) -> None:
        """The final status of a pod that is about to be forgotten; tried once."""
        resident = self._resident
        if not resident.record.containers:
            return
        try:
            await self._publish()
        except (NotFound, Conflict):
            resident.vanished = True
        except KubeError as error:
            log.warning("last status not written", extra={"pod": resident.key, "error": str(error)})

    def _worth_telling(self) -> bool:
        return bool(self._resident.record.failure) or self._status()["phase"] in ("Succeeded", "Failed")

    async def _publish(self) -> None:
        resident = self._resident
        if resident.vanished:
            return
        wanted = self._status()
        if wanted == self._published:
            return
        await resident.services.api.patch(
            api.PODS,
            resident.pod.metadata.name,
            {"metadata": {"uid": resident.uid}, "status": wanted},
            namespace=resident.pod.metadata.namespace,
            type=PatchType.STRATEGIC,
            subresource="status",
        )
        self._published = wanted

    def _status(self) -> dict[str, Any]:
        resident = self._resident
        observed = resident.observe()
        facts = status.Facts(
            resident.record,
            self._views(observed),
            self._outcome(observed),
            resident.prepared,
            resident.services.node.address,
            resident.services.runtime.name,
        )
        return status.compute(resident.pod, facts, resident.services.clock.now())

    def _outcome(self, observed: plan.Observed) -> str | None:
        """ "Succeeded" or "Failed" once the pod is over, else None."""
        record = self._resident.record
        if any(container.running for container in record.containers.values()):
            return None  # perhaps only sidecars, which are still ending
        if record.failure:
            return "Failed"
        outcome = plan.outcome(self._resident.pod, observed)
        if outcome is None and self._resident.deleting and record.containers:
            passing = plan.ephemeral_names(self._resident.pod)
            codes = [c.exit.code for name, c in record.containers.items() if c.exit and name not in passing]
            outcome = "Failed" if any(codes) else "Succeeded"
        return outcome

    def _views(self, observed: plan.Observed) -> dict[str, status.View]:
        spec = self._resident.pod.spec
        assert spec
        views = {}
        for container in (*spec.init_containers, *spec.containers):
            view = self._view(container.name, observed)
            if spec.init_containers and view.waiting[0] == "ContainerCreating":
                view = dataclasses.replace(view, waiting=("PodInitializing", view.waiting[1]))
            views[container.name] = view
        for name in plan.ephemeral_names(self._resident.pod):
            views[name] = self._view(name, observed)
        return views

    def _view(self, name: str, observed: plan.Observed) -> status.View:
        live = self._resident.live(name)
        record = self._resident.record.containers.get(name, ContainerRecord())
        if live.hook and record.running:
            return status.View(_before(record), _state_before(record), waiting=live.waiting)
        return status.View(
            record,
            observed.containers.get(name, Seen()).state,
            ready=live.ready and record.running,
            started=live.started,
            waiting=live.waiting,
        )


def _before(record: ContainerRecord) -> ContainerRecord:
    """The container as it was before the run whose postStart hook is under way."""
    end = record.last_exit if record.attempt > 1 else None
    container_id = end.container_id if end else ""
    return ContainerRecord(record.attempt - 1, container_id, exit=end, last_exit=end)


def _state_before(record: ContainerRecord) -> State:
    return State.EXITED if record.attempt > 1 and record.last_exit else State.NEW
