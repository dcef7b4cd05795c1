"""The node agent put together: informers, VMI controller, self-description of the node, console server.

Order matters at the start: KVM is judged before the node says that it takes VMs, and the informers are synced
before anything is decided. At the end nothing is undone: guests go on, and the next run finds them.
"""

from __future__ import annotations

import asyncio
import logging
import os

from edgevirt.api.core import Pod
from edgevirt.api.kubevirt import VIRTUAL_MACHINE_INSTANCES
from edgevirt.api.kubevirt.labels import NODE_NAME
from edgevirt.api.resources import NODES, PODS
from edgevirt.kube.client import Client
from edgevirt.kube.clock import SystemClock
from edgevirt.kube.events import EventRecorder
from edgevirt.kube.informer import Informer
from edgevirt.kube.tls import CurrentContext
from edgevirt.virt_handler import pods
from edgevirt.virt_handler.console import ConsoleServer, server_tls
from edgevirt.virt_handler.devices import DeviceRegistry, announce
from edgevirt.virt_handler.kvm_probe import Verdict, kvm_verdict
from edgevirt.virt_handler.node import NodeAgent
from edgevirt.virt_handler.pod_network import PodNetworks
from edgevirt.virt_handler.settings import Settings
from edgevirt.virt_handler.vmi_controller import OWNER_INDEX, NodeFacts, VMIController

COMPONENT = "virt-handler"

_log = logging.getLogger("edgevirt.virt_handler")


async def run(settings: Settings, started: asyncio.Event, devices: DeviceRegistry) -> None:
    """Look after the VMIs of one node until cancelled.

    Sets `started` once the informers are synced, consoles are served and the node says that it takes VMs (so
    not before the kubelet has registered the node). Raises OSError or ssl.SSLError if a file is missing or
    the port is taken.
    """
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.makedirs(settings.pods_dir, mode=0o750, exist_ok=True)
    verdict = await kvm_verdict(settings.qemu, settings.state_dir, settings.kvm_probe_timeout)
    announce(devices, verdict)
    async with Client.from_kubeconfig(settings.kubeconfig, user_agent=COMPONENT) as client:
        await _run(settings, started, client, verdict)


async def _run(settings: Settings, started: asyncio.Event, client: Client, verdict: Verdict) -> None:
    clock = SystemClock()
    node = settings.node_name
    vmis = Informer(client, VIRTUAL_MACHINE_INSTANCES, label_selector=f"{NODE_NAME}={node}")
    launchers = Informer(client, PODS, field_selector=f"spec.nodeName={node}")
    launchers.add_index(OWNER_INDEX, _owners)
    nodes = Informer(client, NODES, field_selector=f"metadata.name={node}")
    recorder = EventRecorder(client, COMPONENT, node)
    facts = NodeFacts(
        name=node,
        pods_dir=str(settings.pods_dir),
        verdict=verdict,
        sync_timeout=settings.sync_timeout,
        request_timeout=settings.request_timeout,
    )
    networks = PodNetworks(settings.state_dir, settings.network_timeout)
    controller = VMIController(client, vmis, launchers, networks, recorder, facts, clock)
    consoles = ConsoleServer(str(settings.pods_dir), controller.pod_uid_of)
    tls = CurrentContext(
        lambda: server_tls(settings.tls_cert, settings.tls_key, settings.tls_ca),
        settings.tls_cert,
        settings.tls_key,
    ).for_server()
    async with consoles.serving(settings.address, settings.port, tls) as port, asyncio.TaskGroup() as group:
        group.create_task(recorder.run(), name="events")
        for informer in (vmis, launchers, nodes):
            group.create_task(informer.run(), name=f"informer-{informer.resource.plural}")
        for informer in (vmis, launchers, nodes):
            await informer.synced()
        address = f"{settings.host_address}:{port}"
        agent = NodeAgent(client, nodes, node, address, verdict, clock)
        group.create_task(controller.run(), name="vmis")
        group.create_task(agent.run(started.set), name="node")
        _log.info("Looking after VMs", extra={"node": node, "address": address, "kvm": verdict.state.value})


def _owners(pod: Pod) -> list[str]:
    uid = pods.owner_uid(pod)
    return [uid] if uid else []
