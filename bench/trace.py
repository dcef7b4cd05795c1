"""When what happened to a VM: from watches of the API and from the node process's log.

Watches tell when a client sees a change; the log, written by the same machine's clock to the millisecond,
tells of steps that leave no trace in the API. On a cluster from outside there is no such log; steps that are
only in it are then missing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.machine import NAMESPACE
from edgevirt.api.kubevirt import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from edgevirt.api.meta import Resource
from edgevirt.api.resources import CONTROLLER_REVISIONS, EVENTS, PODS
from edgevirt.kube.client import Client
from edgevirt.kube.watch import EventType

WATCHED: tuple[Resource[Any], ...] = (
    VIRTUAL_MACHINES,
    VIRTUAL_MACHINE_INSTANCES,
    PODS,
    CONTROLLER_REVISIONS,
    EVENTS,
)

STEPS = (
    ("admission", "posted", "admitted"),
    ("vm-to-vmi", "admitted", "vmi created"),
    ("vmi-to-pod", "vmi created", "pod created"),
    ("scheduling", "pod created", "pod bound"),
    ("sandbox-and-container", "pod bound", "container started"),
    ("launcher-ready", "container started", "launcher connected"),
    ("network", "launcher connected", "network wired"),
    ("libvirt", "network wired", "guest started"),
    ("status-write", "guest started", "running"),
)
"""Name of the step, the moments it lies between."""

_LOGGED = {
    "container started": "container started",
    "Connected to launcher": "launcher connected",
    "Wired pod network": "network wired",
    "Launcher started the guest": "guest started",
}


@dataclasses.dataclass
class Story:
    """One VM's moments (Unix times) and writes, by kind, until it ran."""

    name: str
    moments: dict[str, float] = dataclasses.field(default_factory=dict)
    writes: Counter[str] = dataclasses.field(default_factory=Counter)
    vmi_versions: set[str] = dataclasses.field(default_factory=set)
    vmi_uid: str = ""
    running: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    def mark(self, moment: str, at: float | None = None) -> None:
        self.moments.setdefault(moment, time.time() if at is None else at)

    def step(self, begin: str, end: str) -> float | None:
        """Seconds between two moments, if both are known."""
        if begin in self.moments and end in self.moments:
            return self.moments[end] - self.moments[begin]
        return None


class Trace:
    """Follows every VM it is told of while `run` runs."""

    def __init__(self, client: Client, log: Path) -> None:
        self._client = client
        self._log = log
        self._offset = log.stat().st_size if log.exists() else 0
        self._stories: dict[str, Story] = {}

    def begin(self, name: str) -> Story:
        story = self._stories[name] = Story(name)
        return story

    async def run(self, ready: asyncio.Event) -> None:
        """Watch until cancelled; `ready` when nothing is missed any more."""
        versions = {
            resource: (await self._client.list(resource, namespace=NAMESPACE, limit=1)).resource_version
            for resource in WATCHED
        }
        async with asyncio.TaskGroup() as group:
            for resource, version in versions.items():
                group.create_task(self._follow(resource, version))
            ready.set()

    async def _follow(self, resource: Resource[Any], version: str) -> None:
        take: dict[str, Callable[[Any, EventType], None]] = {
            "VirtualMachineInstance": self._instance,
            "Pod": self._pod,
            "VirtualMachine": self._machine,
        }
        handle = take.get(resource.kind, self._other)
        while True:
            async for event in self._client.watch(resource, namespace=NAMESPACE, resource_version=version):
                version = event.resource_version
                if event.type in (EventType.ADDED, EventType.MODIFIED):
                    handle(event.object, event.type)

    def _machine(self, vm: Any, kind: EventType) -> None:
        story = self._stories.get(vm.metadata.name)
        if story is not None:
            self._count(story, "vm", kind)

    def _instance(self, vmi: Any, kind: EventType) -> None:
        story = self._stories.get(vmi.metadata.name)
        if story is None:
            return
        story.mark("vmi created")
        story.vmi_uid = vmi.metadata.uid
        self._count(story, "vmi", kind)
        if vmi.status is not None and vmi.status.phase == "Running":
            story.mark("running")
            story.running.set()

    def _pod(self, pod: Any, kind: EventType) -> None:
        story = self._story_of(pod.metadata.name)
        if story is None:
            return
        story.mark("pod created")
        self._count(story, "pod", kind)
        if pod.spec.node_name:
            story.mark("pod bound")

    def _other(self, obj: Any, kind: EventType) -> None:
        about = getattr(obj, "involved_object", None)
        if about is not None:
            story = self._stories.get(about.name) or self._story_of(about.name)
            if story is not None:
                self._count(story, "event", kind)
            return
        for owner in obj.metadata.owner_references:
            if story := self._stories.get(owner.name):
                self._count(story, "revision", kind)

    def _story_of(self, pod_name: str) -> Story | None:
        return self._stories.get(pod_name.removeprefix("virt-launcher-").rpartition("-")[0])

    @staticmethod
    def _count(story: Story, what: str, kind: EventType) -> None:
        if not story.running.is_set():
            story.writes[f"{what}.{'created' if kind is EventType.ADDED else 'changed'}"] += 1

    def read_log(self) -> None:
        """Add the moments that only the log knows. Call when the VMs run."""
        if not self._log.exists():
            return
        by_uid = {story.vmi_uid: story for story in self._stories.values() if story.vmi_uid}
        with self._log.open() as file:
            file.seek(self._offset)
            for line in file:
                self._read_line(line, by_uid)
            self._offset = file.tell()

    def _read_line(self, line: str, by_uid: dict[str, Story]) -> None:
        head, _, rest = line.partition(": ")
        moment = next((m for words, m in _LOGGED.items() if rest.startswith(words)), None)
        if moment is None:
            return
        pairs = dict(part.split("=", 1) for part in rest.split() if "=" in part)
        story = by_uid.get(pairs.get("vmi_uid", ""))
        for key in ("vmi", "pod"):
            name = pairs.get(key, "").rpartition("/")[2]
            story = story or (self._stories.get(name) if key == "vmi" else self._story_of(name))
        if story is not None:
            story.mark(moment, datetime.fromisoformat(head.split()[0]).timestamp())
