"""The kubelet: takes the pods bound to this node from the API and gives each a worker.

At start it takes over what runs, and removes what belongs to no pod: leftovers of pods that vanished while
no kubelet was there. When it ends, its pods run on.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

from edgevirt.api import resources
from edgevirt.api.core import Pod
from edgevirt.engine.kubelet import cgroups, cni, hostlayer, logs, mounts, node, sandbox, state
from edgevirt.engine.kubelet.devices import DeviceRegistry
from edgevirt.engine.kubelet.fields import NodeFacts
from edgevirt.engine.kubelet.host_ports import HostPorts
from edgevirt.engine.kubelet.pod import PodWorker
from edgevirt.engine.kubelet.resource_metrics import Measured
from edgevirt.engine.kubelet.runtime import Runtime
from edgevirt.engine.kubelet.services import Events, PodApi, Services, machine
from edgevirt.engine.kubelet.settings import Settings
from edgevirt.kube.client import Client
from edgevirt.kube.clock import Clock, SystemClock
from edgevirt.kube.events import EventRecorder
from edgevirt.kube.informer import Informer
from edgevirt.storage.images.store import ImageStore

log = logging.getLogger("edgevirt.kubelet")
_THREADS = 8


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


@contextlib.asynccontextmanager
async def services(
    settings: Settings, api: PodApi, events: Events, devices: DeviceRegistry, clock: Clock | None = None
) -> AsyncIterator[Services]:
    """Everything pods need, set up and torn down; containers outlive it."""
    clock = clock or SystemClock()
    for directory in (settings.root_dir, settings.pods_dir, settings.run_dir):
        directory.mkdir(parents=True, exist_ok=True)
    for directory in (settings.root_dir, settings.run_dir):
        mounts.make_shared(directory)
    hierarchies = cgroups.detect()
    images = ImageStore(settings.images_root, insecure_registries=settings.insecure_registries)
    for name, host in settings.host_images:
        images.register(name, hostlayer.place(host, settings.run_dir))
    runtime = Runtime(Runtime.find(settings.runtime), settings.run_dir / "runtime", hierarchies)
    network = cni.Cni(settings.cni, settings.root_dir / "cni")
    keeper = logs.LogKeeper(settings.max_log_bytes)
    memory = node.memory_bytes()
    facts = NodeFacts(
        settings.node_name,
        settings.address,
        (os.cpu_count() or 1) * 1000,
        memory,
        node.storage_bytes(settings.root_dir),
    )
    threads = concurrent.futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="kubelet")
    try:
        await asyncio.get_running_loop().run_in_executor(threads, network.start_masquerade)
        yield Services(
            settings=settings,
            api=api,
            images=images,
            runtime=runtime,
            cni=network,
            host_ports=HostPorts(settings.cni),
            hierarchies=hierarchies,
            events=events,
            devices=devices,
            logs=keeper,
            clock=clock,
            node=facts,
            machine=machine(memory),
            threads=threads,
        )
    finally:
        keeper.close()
        await images.close()
        runtime.close()
        threads.shutdown(wait=True)
        if not any(settings.pods_dir.iterdir()):
            leave_nothing(settings, network, hierarchies)


def leave_nothing(settings: Settings, network: cni.Cni, hierarchies: cgroups.Hierarchies) -> None:
    """Remove what the node itself has in the kernel: bridge, table, control group, mount points."""
    try:
        network.tear_down()
        cgroups.remove_prefix(hierarchies, settings.cgroup_prefix)
        for directory in (settings.root_dir, settings.run_dir):
            mounts.unmount_below(Path(os.path.realpath(directory)))
    except (OSError, cni.CniError) as error:
        log.warning("node not fully taken down", extra={"error": str(error)})


async def run(settings: Settings, started: asyncio.Event, devices: DeviceRegistry) -> None:
    """Be the node until cancelled. Sets `started` when registered, serving, and in charge of its pods."""
    from edgevirt.engine.kubelet.server import serve

    clock = SystemClock()
    async with Client.from_kubeconfig(settings.kubeconfig, user_agent="edgevirt-kubelet") as client:
        recorder = EventRecorder(client, component="kubelet", host=settings.node_name)
        async with services(settings, client, recorder, devices, clock) as shared:
            pods = Pods(shared)
            informer: Informer[Pod] = Informer(
                client, resources.PODS, field_selector=f"spec.nodeName={settings.node_name}"
            )
            reporter = node.NodeReporter(
                settings,
                client,
                devices,
                clock,
                node.runtime_version(shared.runtime.program),
                lambda: [
                    {"names": [image.name], "sizeBytes": image.size} for image in shared.images.list()[:50]
                ],
            )
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(recorder.run())
                tasks.create_task(informer.run())
                await reporter.register()
                await informer.synced()
                ready = asyncio.Event()
                current = {pod.metadata.uid: pod for pod in informer.items()}
                tasks.create_task(pods.run(ready, current))
                gate = _Gate(pods)
                informer.add_handler(gate.see)
                await ready.wait()
                gate.open()
                tasks.create_task(reporter.run())
                await serve(settings, pods, tasks)
                started.set()


class _Gate:
    """Holds the informer's news back until recovery knows which pods run already."""

    def __init__(self, pods: Pods) -> None:
        self._pods = pods
        self._open = False
        self._early: list[tuple[Pod | None, Pod | None]] = []

    def open(self) -> None:
        self._open = True
        for change in self._early:
            self._pods.see(*change)
        self._early.clear()

    def see(self, old: Pod | None, new: Pod | None) -> None:
        if self._open:
            self._pods.see(old, new)
        else:
            self._early.append((old, new))
