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
from edgevirt.engine.kubelet import cgroups, cni, hostlayer, logs, mounts, node
from edgevirt.engine.kubelet.devices import DeviceRegistry
from edgevirt.engine.kubelet.fields import NodeFacts
from edgevirt.engine.kubelet.host_ports import HostPorts
from edgevirt.engine.kubelet.pods import Pods
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
