"""Notices nodes that went silent, and keeps new pods away from nodes that cannot take them.

A heartbeat is a change of the node's lease or of its Ready condition's heartbeat time. What counts is when
we saw it, on our own monotonic clock: the clock of an edge machine may start in 1970. After `grace` seconds
of silence the node's conditions become Unknown, so that everybody reading them knows that they are old.

Unlike a cluster's controller this one never evicts. Taints are NoSchedule only, there is no NoExecute.
Eviction makes sense where the work can run elsewhere; here there is one machine, and a silent node agent
does not mean a stopped guest: agents are restarted and upgraded under running guests, and deleting their
pods would turn a short silence into the loss of every virtual machine. The pods keep their last known
status until the node agent reports again; `pod_gc` removes them when the Node object itself is deleted,
which is somebody's decision.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Any

import msgspec

from edgevirt.api.coordination import Lease
from edgevirt.api.core import Node, NodeCondition, Taint
from edgevirt.api.resources import LEASES, NODES
from edgevirt.kube import errors
from edgevirt.kube.client import Client, PatchType
from edgevirt.kube.clock import timestamp
from edgevirt.kube.controller import Controller, Result
from edgevirt.kube.events import EventRecorder
from edgevirt.kube.informer import Informer

log = logging.getLogger("edgevirt.engine.controllers.node_lifecycle")

LEASE_NAMESPACE = "kube-node-lease"
PREFIX = "node.kubernetes.io/"
NOT_READY = PREFIX + "not-ready"
UNREACHABLE = PREFIX + "unreachable"
UNSCHEDULABLE = PREFIX + "unschedulable"
PRESSURES = {
    "MemoryPressure": PREFIX + "memory-pressure",
    "DiskPressure": PREFIX + "disk-pressure",
    "PIDPressure": PREFIX + "pid-pressure",
    "NetworkUnavailable": PREFIX + "network-unavailable",
}
OURS = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *PRESSURES.values()})
REPORTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
"""Conditions a kubelet posts; the ones that become Unknown with it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """`taints`: what spec.taints should be, None if it is. `conditions`: those to change."""

    taints: tuple[Taint, ...] | None
    conditions: tuple[NodeCondition, ...]


def plan(node: Node, silent_for: float, grace: float) -> Plan:
    """What to write about a node that was last heard of `silent_for` seconds ago."""
    known = {one.type: one for one in (node.status.conditions if node.status else ())}
    changed = _unknown_conditions(known) if silent_for >= grace else ()
    known.update((one.type, one) for one in changed)
    statuses = {name: one.status for name, one in known.items()}
    wanted = _taint_keys(statuses, bool(node.spec and node.spec.unschedulable))
    present = node.spec.taints if node.spec else ()
    kept = [
        one for one in present if one.key not in OURS or (one.key in wanted and one.effect == "NoSchedule")
    ]
    have = {one.key for one in kept}
    taints = (*kept, *(Taint(key=key, effect="NoSchedule") for key in wanted if key not in have))
    return Plan(None if taints == present else taints, changed)


def _unknown_conditions(known: dict[str, NodeCondition]) -> tuple[NodeCondition, ...]:
    changed = []
    for name in REPORTED:
        before = known.get(name)
        if before is None:
            changed.append(
                NodeCondition(
                    type=name,
                    status="Unknown",
                    reason="NodeStatusNeverUpdated",
                    message="Kubelet never posted node status.",
                )
            )
        elif before.status != "Unknown":
            changed.append(
                msgspec.structs.replace(
                    before,
                    status="Unknown",
                    reason="NodeStatusUnknown",
                    message="Kubelet stopped posting node status.",
                )
            )
    return tuple(changed)


def _taint_keys(statuses: dict[str, str], unschedulable: bool) -> tuple[str, ...]:
    keys = []
    match statuses.get("Ready", "False"):
        case "True":
            pass
        case "Unknown":
            keys.append(UNREACHABLE)
        case _:
            keys.append(NOT_READY)
    if unschedulable:
        keys.append(UNSCHEDULABLE)
    keys += [taint for condition, taint in PRESSURES.items() if statuses.get(condition) == "True"]
    return tuple(keys)


class NodeLifecycleController:
    def __init__(self, client: Client, recorder: EventRecorder, grace: float) -> None:
        self._client = client
        self._clock = client.clock
        self._recorder = recorder
        self._grace = grace
        self._heard: dict[str, float] = {}
        self._nodes = Informer(client, NODES)
        self._leases = Informer(client, LEASES, LEASE_NAMESPACE)
        self._controller = Controller("node-lifecycle", self._reconcile, workers=2, clock=client.clock)
        self._nodes.add_handler(self._node_changed)
        self._leases.add_handler(self._lease_changed)

    async def run(self, started: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._nodes.run())
            group.create_task(self._leases.run())
            await self._nodes.synced()
            await self._leases.synced()
            group.create_task(self._controller.run(), name="node-lifecycle")
            started.set()

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            if old is not None:
                self._heard.pop(old.metadata.name, None)
            return
        if old is None or _heartbeat(old) != _heartbeat(new):
            self._heard[new.metadata.name] = self._clock.monotonic()
        self._controller.enqueue(new.metadata.name)

    def _lease_changed(self, old: Lease | None, new: Lease | None) -> None:
        if new is None:
            return
        renewed = new.spec.renew_time if new.spec else ""
        if old is None or (old.spec.renew_time if old.spec else "") != renewed:
            # The timer set by the last reconcile finds out that there is time left; nothing to do now.
            self._heard[new.metadata.name] = self._clock.monotonic()

    async def _reconcile(self, name: str) -> Result | None:
        node = self._nodes.get(name)
        if node is None or node.metadata.deletion_timestamp:
            return None
        silent_for = self._clock.monotonic() - self._heard.setdefault(name, self._clock.monotonic())
        planned = plan(node, silent_for, self._grace)
        try:
            if planned.conditions:
                node = await self._write_conditions(node, planned.conditions)
            if planned.taints is not None:
                await self._write_taints(node, planned.taints)
        except errors.NotFound:
            return None
        # Silent nodes need no timer: their next heartbeat is an event.
        left = self._grace - silent_for
        return Result(requeue_after=left) if left > 0 else None

    async def _write_conditions(self, node: Node, conditions: tuple[NodeCondition, ...]) -> Node:
        name = node.metadata.name
        now = timestamp(self._clock.now())
        changed: list[dict[str, Any]] = [
            {**msgspec.to_builtins(condition), "lastTransitionTime": now} for condition in conditions
        ]
        # The version makes it fail when the node reports at the very same moment.
        version = {"resourceVersion": node.metadata.resource_version}
        patch = {"metadata": version, "status": {"conditions": changed}}
        answer = await self._client.patch(NODES, name, patch, type=PatchType.STRATEGIC, subresource="status")
        self._recorder.normal(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        log.warning("node stopped reporting", extra={"node": name})
        self._nodes.put(answer)
        return answer

    async def _write_taints(self, node: Node, taints: tuple[Taint, ...]) -> None:
        patch = {
            "metadata": {"resourceVersion": node.metadata.resource_version},
            "spec": {"taints": msgspec.to_builtins(taints) or None},
        }
        self._nodes.put(await self._client.patch(NODES, node.metadata.name, patch))


def _heartbeat(node: Node) -> tuple[str, ...]:
    conditions = node.status.conditions if node.status else ()
    return tuple(one.last_heartbeat_time for one in conditions if one.type == "Ready")
