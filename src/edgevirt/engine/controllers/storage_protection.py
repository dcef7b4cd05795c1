"""Claims and volumes stay while somebody uses them, whoever deletes them.

Both get a finalizer when they are made. That of a claim is taken off when it is being deleted and no pod that
has not ended mounts it; that of a volume when it is being deleted and not bound. Nothing here binds claims:
no volumes are provided on this engine yet, so claims stay Pending unless somebody else binds them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from edgevirt.api.core import PersistentVolume, PersistentVolumeClaim, Pod
from edgevirt.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from edgevirt.engine.controllers.surroundings import Desk, Shared
from edgevirt.engine.controllers.workloads import pod_state
from edgevirt.kube import errors
from edgevirt.kube.objects import split_key

CLAIM = "kubernetes.io/pvc-protection"
VOLUME = "kubernetes.io/pv-protection"


def claims_of(pod: Pod) -> tuple[str, ...]:
    """Names of the claims a pod mounts, its own ephemeral ones among them."""
    volumes = pod.spec.volumes if pod.spec else ()
    return tuple(
        volume.persistent_volume_claim.claim_name
        if volume.persistent_volume_claim is not None
        else f"{pod.metadata.name}-{volume.name}"
        for volume in volumes
        if volume.persistent_volume_claim is not None or volume.ephemeral is not None
    )


def is_used(claim: str, pods: Iterable[Pod]) -> bool:
    """`pods` are of the claim's namespace; a pod nobody placed yet uses nothing."""
    return any(
        claim in claims_of(pod)
        for pod in pods
        if pod_state.phase(pod) not in pod_state.ENDED and pod.spec is not None and pod.spec.node_name
    )


class ClaimProtection:
    def __init__(self, shared: Shared) -> None:
        self._desk = Desk(shared, "pvc-protection-controller", self._reconcile, workers=1)
        self._claims = self._desk.informer(PERSISTENT_VOLUME_CLAIMS)
        self._pods = self._desk.informer(PODS)
        self._desk.follow(self._claims)
        self._pods.add_handler(self._pod_changed)

    async def run(self, started: asyncio.Event) -> None:
        await self._desk.run(started)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        one = new or old
        if one is not None and (new is None or pod_state.phase(new) in pod_state.ENDED):
            for claim in claims_of(one):
                self._desk.queue.enqueue(f"{one.metadata.namespace}/{claim}")

    async def _reconcile(self, key: str) -> None:
        namespace, name = split_key(key)
        claim: PersistentVolumeClaim | None = self._claims.get(name, namespace)
        if claim is None or not claim.metadata.deletion_timestamp or CLAIM not in claim.metadata.finalizers:
            return
        if is_used(name, self._pods.by_index("namespace", namespace)):
            return
        # The cache may be behind: ask the server before the claim is let go.
        listed = await self._desk.client.list(PODS, namespace=namespace)
        if is_used(name, listed.items):
            return
        left = [one for one in claim.metadata.finalizers if one != CLAIM]
        try:
            await self._desk.patch(
                PERSISTENT_VOLUME_CLAIMS, self._claims, claim, {"metadata": {"finalizers": left or None}}
            )
        except errors.NotFound:
            return


class VolumeProtection:
    def __init__(self, shared: Shared) -> None:
        self._desk = Desk(shared, "pv-protection-controller", self._reconcile, workers=1)
        self._volumes = self._desk.informer(PERSISTENT_VOLUMES)
        self._desk.follow(self._volumes)

    async def run(self, started: asyncio.Event) -> None:
        await self._desk.run(started)

    async def _reconcile(self, key: str) -> None:
        volume: PersistentVolume | None = self._volumes.get(key)
        if volume is None or not volume.metadata.deletion_timestamp:
            return
        if VOLUME not in volume.metadata.finalizers or (volume.status and volume.status.phase == "Bound"):
            return
        left = [one for one in volume.metadata.finalizers if one != VOLUME]
        try:
            await self._desk.patch(
                PERSISTENT_VOLUMES, self._volumes, volume, {"metadata": {"finalizers": left or None}}
            )
        except errors.NotFound:
            return
