"""What a node says about itself to those who place VMs: labels, the agent's address, whether KVM works.

The node object belongs to the kubelet; this agent adds its own keys and its own condition, nothing else. It
writes when it starts, when the node object lost what it says (a node that was created anew), and when it
ends; there is no periodic heartbeat, because on an edge box every write wears the disk: whether a node is
alive is the kubelet's lease to say.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from edgevirt.api.core import Node
from edgevirt.api.kubevirt.labels import HANDLER_ADDRESS, HEARTBEAT, MACHINE_TYPE_PREFIX, SCHEDULABLE
from edgevirt.api.resources import NODES
from edgevirt.kube.backoff import Backoff, BackoffPolicy
from edgevirt.kube.client import Client, PatchType
from edgevirt.kube.clock import Clock, timestamp
from edgevirt.kube.errors import KubeError
from edgevirt.kube.informer import Informer
from edgevirt.virt_handler.kvm_probe import Verdict

VIRTUALIZATION_LABEL = "edgevirt.io/virtualization"
"""On nodes: "kvm" if it is proven to work, else "tcg"."""
KVM_CONDITION = "KVMAvailable"
MACHINE_TYPES = ("q35",)

_FAREWELL_SECONDS = 2.0
_RETRY = BackoffPolicy(base=0.5, factor=2.0, cap=60.0, jitter=0.5)

_log = logging.getLogger("edgevirt.virt_handler")


def labels(verdict: Verdict) -> dict[str, str]:
    """The labels of a node that can run VMs."""
    return {
        SCHEDULABLE: "true",
        VIRTUALIZATION_LABEL: "kvm" if verdict.proven else "tcg",
        **{f"{MACHINE_TYPE_PREFIX}{machine}": "true" for machine in MACHINE_TYPES},
    }


def metadata_patch(node: Node, wanted: Mapping[str, str], address: str, now: str) -> dict[str, Any] | None:
    """A merge patch that gives `node` the wanted labels and the agent's address; None if it has them."""
    missing = {key: value for key, value in wanted.items() if node.metadata.labels.get(key) != value}
    moved = node.metadata.annotations.get(HANDLER_ADDRESS) != address
    if not missing and not moved:
        return None
    return {"metadata": {"labels": missing, "annotations": {HANDLER_ADDRESS: address, HEARTBEAT: now}}}


def condition_patch(node: Node, verdict: Verdict, now: str) -> dict[str, Any] | None:
    """A strategic merge patch of the status that states the verdict; None if it is stated."""
    status = "True" if verdict.proven else "False"
    present = {c.type: c for c in (node.status.conditions if node.status is not None else ())}
    old = present.get(KVM_CONDITION)
    same = old is not None and old.status == status
    if old is not None and same and (old.reason, old.message) == (verdict.state.value, verdict.message):
        return None
    condition = {
        "type": KVM_CONDITION,
        "status": status,
        "reason": verdict.state.value,
        "message": verdict.message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": old.last_transition_time if old is not None and same else now,
    }
    return {"status": {"conditions": [condition]}}


class NodeAgent:
    """Keeps what this node says about itself true while `run` runs."""

    def __init__(
        self,
        client: Client,
        nodes: Informer[Node],
        name: str,
        address: str,
        verdict: Verdict,
        clock: Clock,
    ) -> None:
        """`address` is "host:port" of this agent's console server."""
        self._client = client
        self._nodes = nodes
        self._name = name
        self._address = address
        self._verdict = verdict
        self._clock = clock
        self._changed = asyncio.Event()
        nodes.add_handler(lambda old, new: self._changed.set())

    async def run(self, registered: Callable[[], None] = lambda: None) -> None:
        """Until cancelled; `registered` is called once the node says what it should for the first time."""
        backoff = Backoff(_RETRY)
        try:
            while True:
                self._changed.clear()
                try:
                    written = await self._state_facts()
                except KubeError as error:
                    delay = backoff.next()
                    about = {"node": self._name, "error": str(error), "retry_in": round(delay, 1)}
                    _log.warning("Could not describe the node", extra=about)
                    await self._clock.sleep(delay)
                    continue
                if written is None:
                    _log.info("The node is not registered yet", extra={"node": self._name})
                elif written:
                    # If somebody keeps undoing what we write, that must not become a busy loop.
                    await self._clock.sleep(backoff.next())
                    registered()
                    continue
                else:
                    backoff.reset()
                    registered()
                await self._changed.wait()
        finally:
            await self._say_goodbye()

    async def _state_facts(self) -> bool | None:
        """Whether something had to be written; None if there is no node yet."""
        node = self._nodes.get(self._name)
        if node is None:
            return None
        now = timestamp(self._clock.now())
        metadata = metadata_patch(node, labels(self._verdict), self._address, now)
        if metadata is not None:
            self._nodes.put(await self._client.patch(NODES, self._name, metadata))
        status = condition_patch(node, self._verdict, now)
        if status is not None:
            stored = await self._client.patch(
                NODES, self._name, status, type=PatchType.STRATEGIC, subresource="status"
            )
            self._nodes.put(stored)
        return metadata is not None or status is not None

    async def _say_goodbye(self) -> None:
        """No new VMs here while nobody looks after them. Best effort: the API may be ending too."""
        try:
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await self._client.patch(NODES, self._name, {"metadata": {"labels": {SCHEDULABLE: "false"}}})
        except (KubeError, TimeoutError, OSError) as error:
            _log.info(
                "Could not mark the node unschedulable", extra={"node": self._name, "error": str(error)}
            )
