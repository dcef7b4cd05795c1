"""Ending pods for another one, as kube-scheduler does it: a condition that says why, then the deletion.

Idempotent: who is gone or on the way out is left alone. The pod that comes is told its node last, so that it
is known for whom the room is even to a scheduler that starts in between.
"""

from __future__ import annotations

import logging
from typing import Any

from edgevirt.api.core import Pod
from edgevirt.api.resources import PODS
from edgevirt.engine.scheduler.preemption import Preemption
from edgevirt.kube import errors
from edgevirt.kube.client import Client, PatchType
from edgevirt.kube.clock import timestamp
from edgevirt.kube.events import EventRecorder
from edgevirt.kube.objects import key_text

log = logging.getLogger("edgevirt.engine.scheduler")

_MESSAGE = "default-scheduler: preempting to accommodate a higher priority pod"


class Evictor:
    """Makes the room that was decided on."""

    def __init__(self, client: Client, recorder: EventRecorder) -> None:
        self._client = client
        self._recorder = recorder

    async def clear(self, pod: Pod, choice: Preemption) -> None:
        """End the victims and nominate the pod. KubeError when the API does not answer."""
        for victim in choice.victims:
            if not victim.metadata.deletion_timestamp:
                await self._end(victim, pod, choice.node)
        await self._patch_status(pod, {"nominatedNodeName": choice.node})

    async def _end(self, victim: Pod, pod: Pod, node: str) -> None:
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": _MESSAGE,
            "lastTransitionTime": timestamp(self._client.clock.now()),
        }
        meta = victim.metadata
        try:
            await self._patch_status(victim, {"conditions": [condition]})
            await self._client.delete(PODS, meta.name, namespace=meta.namespace, uid=meta.uid)
        except (errors.NotFound, errors.Conflict):
            return  # gone, or another pod by now
        self._recorder.normal(victim, "Preempted", f"Preempted by pod {pod.metadata.uid} on node {node}")
        log.info("pod preempted", extra={"pod": key_text(victim), "by": key_text(pod), "node": node})

    async def _patch_status(self, pod: Pod, status: dict[str, Any]) -> None:
        meta = pod.metadata
        await self._client.patch(
            PODS,
            meta.name,
            {"metadata": {"uid": meta.uid}, "status": status},
            namespace=meta.namespace,
            type=PatchType.STRATEGIC,
            subresource="status",
        )
