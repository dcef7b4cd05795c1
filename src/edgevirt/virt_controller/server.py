"""Running virt-controller: its informers, controllers and event recorder under one task group."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from pathlib import Path

from edgevirt.api.kubevirt import VIRTUAL_MACHINE_INSTANCES
from edgevirt.kube.client import Client
from edgevirt.kube.events import EventRecorder
from edgevirt.kube.informer import Informer
from edgevirt.kube.leader import LeaderElector
from edgevirt.virt_controller.launcher_pod import LauncherSettings
from edgevirt.virt_controller.vm import VMController
from edgevirt.virt_controller.vmi import VMIController

log = logging.getLogger("edgevirt.virt_controller")

COMPONENT = "virtualmachine-controller"
"""Source of its events, as in KubeVirt."""


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """`identity`: set where several replicas run; only the holder of the lease works then."""

    kubeconfig: Path
    launcher_image: str
    launcher_pull_policy: str = "IfNotPresent"
    namespace: str = "kubevirt"
    identity: str = ""
    workers: int = 10


async def run(settings: Settings, started: asyncio.Event) -> None:
    """Work until cancelled. `started` is set once the caches are filled (on a standby: once it stands by).

    Raises `edgevirt.kube.errors.ConfigError` if the kubeconfig cannot be used.
    """
    async with Client.from_kubeconfig(settings.kubeconfig, user_agent="virt-controller") as client:
        if not settings.identity:
            await _work(client, settings, started)
            return
        elector = LeaderElector(client, settings.namespace, "virt-controller", settings.identity)
        started.set()
        await elector.run(lambda: _work(client, settings, asyncio.Event()))


async def _work(client: Client, settings: Settings, started: asyncio.Event) -> None:
    recorder = EventRecorder(client, component=COMPONENT)
    instances = Informer(client, VIRTUAL_MACHINE_INSTANCES)
    launcher = LauncherSettings(
        image=settings.launcher_image, image_pull_policy=settings.launcher_pull_policy
    )
    vmis = VMIController(client, instances, recorder, launcher, settings.workers)
    vms = VMController(client, instances, recorder, settings.workers)
    informers = (instances, vmis.pods, vmis.nodes, vmis.kubevirts, vms.machines)
    async with asyncio.TaskGroup() as group:
        group.create_task(recorder.run(), name="virt-controller-events")
        for informer in informers:
            group.create_task(informer.run(), name=f"virt-controller-{informer.resource.plural}")
        for informer in informers:
            await informer.synced()
        group.create_task(vmis.controller.run(), name="virt-controller-vmi")
        group.create_task(vms.controller.run(), name="virt-controller-vm")
        log.info("virt-controller is working")
        started.set()
