"""The scheduler of the embedded engine: it finds a node for every pod that has none.

`plan` decides, purely, from a pod and what is known of the nodes; `preemption`, whom to end for it;
`scheduler` watches, binds and reports. Filters, scores, messages and conditions are those of
kube-scheduler; what it does not implement (dynamic resource claims, gangs of pods) it refuses with a
condition naming the field.
"""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

from edgevirt.engine.scheduler.scheduler import COMPONENT, Scheduler
from edgevirt.kube.client import Client
from edgevirt.kube.events import EventRecorder

__all__ = ["Settings", "run"]


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """`kubeconfig` identifies us as `system:kube-scheduler`."""

    kubeconfig: Path


async def run(settings: Settings, started: asyncio.Event) -> None:
    """Schedule pods until cancelled; `started` is set when pods and nodes are known."""
    async with Client.from_kubeconfig(settings.kubeconfig, user_agent="edgevirt-scheduler") as client:
        recorder = EventRecorder(client, component=COMPONENT)
        async with asyncio.TaskGroup() as group:
            group.create_task(recorder.run(), name="scheduler-events")
            group.create_task(Scheduler(client, recorder).run(started), name="scheduler")
