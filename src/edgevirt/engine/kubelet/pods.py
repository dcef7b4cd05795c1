"""The pods of a node: one worker each, taken over from an earlier process or begun as the API shows them."""

from __future__ import annotations

import asyncio
import logging

from edgevirt.api.core import Pod
from edgevirt.engine.kubelet import cgroups, sandbox, state
from edgevirt.engine.kubelet.pod import PodWorker
from edgevirt.engine.kubelet.resource_metrics import Measured
from edgevirt.engine.kubelet.services import Services

log = logging.getLogger("edgevirt.kubelet")


class Pods:
    """The workers of this node's pods, by uid."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._workers: dict[str, PodWorker] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def recover(self, current: dict[str, Pod]) -> None:
        """Take over recorded pods and clean up after unknown ones. `current`: the API's pods by uid."""
        services = self._services
        services.settings.pods_dir.mkdir(parents=True, exist_ok=True)
        recorded: set[str] = set()
        for directory in services.settings.pods_dir.iterdir():
            record = state.load(directory)
            uid = directory.name
            if record is None or record.pod.metadata.uid != uid:
                if uid not in current:
                    await services.blocking(sandbox.remove_orphan, services, uid)
                continue
            recorded.add(uid)
            self._begin(record.pod, record, current.get(uid))
        known = recorded | set(current)
        left = cgroups.pod_uids(services.hierarchies, services.settings.cgroup_prefix)
        sandboxes = services.settings.run_dir / "sandboxes"
        left |= frozenset(entry.name for entry in sandboxes.glob("*"))
        left |= frozenset(services.cni.stale_leases(frozenset(known)))
        left |= frozenset(owner for owner in services.images.holders())
        for uid in left - recorded:
            await services.blocking(sandbox.remove_orphan, services, uid)
        for container in services.runtime.known():
            if container.partition(".")[0] not in known:
                await services.runtime.discard(container)

    def see(self, old: Pod | None, new: Pod | None) -> None:
        """Handler for the informer."""
        pod = new or old
        assert pod
        worker = self._workers.get(pod.metadata.uid)
        if old is not None and new is not None and old.metadata.uid != new.metadata.uid:
            self.see(old, None)  # deleted and made anew between two lists
        if worker is not None:
            worker.update(new)
        elif new is not None and not _done(new):
            self._begin(new, None, new)

    def get(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of the pod with this name; the living one if an older one is still ending."""
        found = [
            w
            for w in self._workers.values()
            if (w.pod.metadata.namespace, w.pod.metadata.name) == (namespace, name)
        ]
        return next((w for w in found if not w.deleting), found[0] if found else None)

    def all(self) -> tuple[PodWorker, ...]:
        return tuple(self._workers.values())

    def measured(self) -> list[Measured]:
        """What all pods use now."""
        return [one for worker in self._workers.values() for one in worker.measured()]

    def now(self) -> float:
        """Unix time by the node's clock."""
        return self._services.clock.now().timestamp()

    def _begin(self, pod: Pod, record: state.PodRecord | None, current: Pod | None) -> None:
        assert self._tasks
        worker = PodWorker(self._services, current or pod, record)
        if current is None:
            worker.update(None)
        self._workers[pod.metadata.uid] = worker
        self._tasks.create_task(self._run(worker), name=f"pod {pod.metadata.uid}")

    async def _run(self, worker: PodWorker) -> None:
        try:
            await worker.run()
        except Exception as error:
            # one pod must not take the node down; its record allows the next attempt to continue
            log.exception(
                "worker of a pod failed, starting it again", extra={"pod": worker.uid}, exc_info=error
            )
            await self._services.clock.sleep(5.0)
            self._workers.pop(worker.uid, None)
            self._begin(worker.pod, state.load(self._services.pod_dir(worker.uid)), worker.pod)
            return
        self._workers.pop(worker.uid, None)

    async def run(self, started: asyncio.Event, current: dict[str, Pod]) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await self.recover(current)
            for pod in current.values():
                if pod.metadata.uid not in self._workers and not _done(pod):
                    self._begin(pod, None, pod)
            started.set()
            await asyncio.Event().wait()


def _done(pod: Pod) -> bool:
    """A pod that ended in an earlier life of this node's disk: nothing to run, nothing to release."""
    phase = pod.status.phase if pod.status else ""
    return phase in ("Succeeded", "Failed") and not pod.metadata.deletion_timestamp
