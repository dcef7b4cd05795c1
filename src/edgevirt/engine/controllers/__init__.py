"""The controllers every Kubernetes has, as far as one box needs them.

Garbage collection by owner references, deletion of namespaces, default service accounts and the cluster's
CA in every namespace, clean-up of pods, and the life cycle of nodes run always; the controllers of workloads,
services, budgets, quotas and volumes once there is an object for them (`dormant`). Each works on any
conforming API server and knows it only by a kubeconfig; each is a pure plan and thin effects.
"""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Protocol

from edgevirt.engine.controllers.dormant import Dormant
from edgevirt.engine.controllers.garbage_collector import GarbageCollector
from edgevirt.engine.controllers.identities import USER_AGENT, Impersonated
from edgevirt.engine.controllers.informers import SharedInformers
from edgevirt.engine.controllers.kinds import Kinds
from edgevirt.engine.controllers.namespace import NamespaceController
from edgevirt.engine.controllers.node_lifecycle import NodeLifecycleController
from edgevirt.engine.controllers.pod_gc import PodCollector
from edgevirt.engine.controllers.service_accounts import ServiceAccountController
from edgevirt.engine.controllers.surroundings import Shared
from edgevirt.kube.client import Client
from edgevirt.kube.events import EventRecorder

__all__ = ["Settings", "run"]


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """`kubeconfig` identifies us as `system:kube-controller-manager`.

    `ca_file` is the CA that signs the API server's certificate, published to pods. `node_grace` is how many
    seconds a node may be silent; `terminated_pods` how many ended pods are kept for inspection.
    """

    kubeconfig: Path
    ca_file: Path
    node_grace: float = 40.0
    terminated_pods: int = 500


class _Controller(Protocol):
    async def run(self, started: asyncio.Event) -> None:
        """Work until cancelled; set `started` when the present state is known."""


async def run(settings: Settings, started: asyncio.Event) -> None:
    """Run all controllers until cancelled; `started` is set when each knows the present state."""
    async with (
        Client.from_kubeconfig(settings.kubeconfig, user_agent=USER_AGENT) as client,
        Impersonated(settings.kubeconfig) as identities,
    ):
        recorder = EventRecorder(client, component="controllermanager")
        nodes_recorder = EventRecorder(client, component="node-controller")
        kinds = Kinds(client)
        collector = GarbageCollector(client, kinds)
        informers = SharedInformers(client)
        parts: tuple[_Controller, ...] = (
            collector,
            NamespaceController(client, kinds, collector),
            ServiceAccountController(client, settings.ca_file),
            PodCollector(informers, recorder, settings.terminated_pods),
            NodeLifecycleController(client, nodes_recorder, settings.node_grace),
            Dormant(Shared(informers, identities, kinds, collector.on_gone), collector),
        )
        ready = [asyncio.Event() for _ in parts]
        async with asyncio.TaskGroup() as group:
            group.create_task(recorder.run(), name="controllers-events")
            group.create_task(nodes_recorder.run(), name="node-controller-events")
            group.create_task(kinds.run(), name="kinds")
            group.create_task(informers.run(), name="shared-informers")
            for part, event in zip(parts, ready, strict=True):
                group.create_task(part.run(event), name=type(part).__name__)
            for event in ready:
                await event.wait()
            started.set()
