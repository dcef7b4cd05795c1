"""What every pod of a kubelet shares: the runtime, the network, images, the API, and facts of the machine."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import functools
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from edgevirt.api.core import ObjectReference
from edgevirt.api.meta import Resource
from edgevirt.engine.kubelet import bundle, capabilities
from edgevirt.engine.kubelet.cgroups import Hierarchies, PodCgroup
from edgevirt.engine.kubelet.cni import Cni
from edgevirt.engine.kubelet.devices import DeviceRegistry
from edgevirt.engine.kubelet.fields import NodeFacts
from edgevirt.engine.kubelet.host_ports import HostPorts
from edgevirt.engine.kubelet.logs import LogKeeper
from edgevirt.engine.kubelet.references import ObjectSource
from edgevirt.engine.kubelet.runtime import Runtime
from edgevirt.engine.kubelet.settings import Settings
from edgevirt.kube.client import PatchType
from edgevirt.kube.clock import Clock
from edgevirt.storage.images.store import ImageStore

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class Events(Protocol):
    """The part of `kube.events.EventRecorder` used here."""

    def normal(self, obj: ObjectReference, reason: str, message: str) -> None: ...
    def warning(self, obj: ObjectReference, reason: str, message: str) -> None: ...


class PodApi(ObjectSource, Protocol):
    """The part of the client that reporting needs."""

    async def patch(
        self,
        resource: Resource[R],
        name: str,
        patch: object,
        *,
        namespace: str = "",
        type: PatchType = ...,
        subresource: str = "",
    ) -> R: ...

    async def delete(
        self,
        resource: Resource[Any],
        name: str,
        *,
        namespace: str = "",
        grace_period_seconds: int | None = None,
        uid: str = "",
    ) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Services:
    """`threads` runs what blocks for milliseconds: mounts, namespaces, plugins."""

    settings: Settings
    api: PodApi
    images: ImageStore
    runtime: Runtime
    cni: Cni
    host_ports: HostPorts
    hierarchies: Hierarchies
    events: Events
    devices: DeviceRegistry
    logs: LogKeeper
    clock: Clock
    node: NodeFacts
    machine: bundle.Node
    threads: concurrent.futures.ThreadPoolExecutor

    async def blocking(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function` in a thread. A cancelled caller waits until the thread is done with it."""
        future = asyncio.get_running_loop().run_in_executor(
            self.threads, functools.partial(function, *args, **kwargs)
        )
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            future.exception()  # nobody asks for it any more
            raise

    def pod_dir(self, uid: str) -> Path:
        return self.settings.pods_dir / uid

    def sandbox_dir(self, uid: str) -> Path:
        return self.settings.run_dir / "sandboxes" / uid

    def cgroup(self, uid: str) -> PodCgroup:
        return PodCgroup(self.hierarchies, self.settings.cgroup_prefix, uid)


def machine(memory: int) -> bundle.Node:
    """What this process may hand on to containers."""
    score = int(Path("/proc/self/oom_score_adj").read_text())
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return bundle.Node(capabilities.bounding_set(), hard if hard > 0 else 1 << 20, score, memory)
