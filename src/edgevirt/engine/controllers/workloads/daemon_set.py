"""Keeps a pod of a DaemonSet on every node that is meant, as `daemon_set_plan` decides."""

from __future__ import annotations

import asyncio

import msgspec

from edgevirt.api.apps import DaemonSet
from edgevirt.api.core import Node, Pod, PodSpec
from edgevirt.api.resources import DAEMON_SETS, NODES, PODS
from edgevirt.engine.controllers.surroundings import Desk, Shared
from edgevirt.engine.controllers.workloads import claiming
from edgevirt.engine.controllers.workloads.daemon_set_plan import (
    REVISION_LABEL,
    placed,
    plan,
    status,
    with_tolerations,
)
from edgevirt.engine.controllers.workloads.pod_making import make_pods
from edgevirt.engine.controllers.workloads.revisions import Revisions
from edgevirt.engine.controllers.workloads.template import pod_from_template
from edgevirt.kube.controller import Result
from edgevirt.kube.objects import key_text, split_key


class DaemonSetController:
    def __init__(self, shared: Shared) -> None:
        self._desk = Desk(shared, "daemon-set-controller", self._reconcile, component="daemonset-controller")
        self._sets = self._desk.informer(DAEMON_SETS)
        self._pods = self._desk.informer(PODS)
        self._nodes = self._desk.informer(NODES)
        self._revisions = Revisions(self._desk, DAEMON_SETS, REVISION_LABEL)
        self._desk.follow(self._sets)
        self._desk.follow_dependents(self._pods, DAEMON_SETS.kind)
        self._desk.follow_orphans(self._pods, self._sets, lambda one: one.spec.selector if one.spec else None)
        self._nodes.add_handler(self._node_changed)

    async def run(self, started: asyncio.Event) -> None:
        await self._desk.run(started)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        """Heartbeats change nothing here; labels, taints and readiness do."""
        if old is not None and new is not None and _view(old) == _view(new):
            return
        for one in self._sets.items():
            self._desk.queue.enqueue(key_text(one))

    async def _reconcile(self, key: str) -> Result | None:
        namespace, name = split_key(key)
        one = self._sets.get(name, namespace)
        if one is None or one.spec is None:
            return None
        claims = claiming.plan(one, one.spec.selector, self._pods.by_index("namespace", namespace))
        pods = await claiming.carry_out(self._desk.client, one, DAEMON_SETS, PODS, self._pods, claims)
        revisions = await self._revisions.of(one, one.spec.selector)
        collisions = one.status.collision_count if one.status else None
        revision = await self._revisions.current(one, one.spec.template, revisions, collisions)
        now = self._desk.clock.now()
        nodes = tuple(self._nodes.items())
        if revision is None:
            wanted = status(one, nodes, pods, "", (collisions or 0) + 1, now)
            await self._desk.write_status(DAEMON_SETS, self._sets, one, one.status, wanted)
            return None
        short = revision.metadata.labels.get(REVISION_LABEL, "")
        planned = plan(one, nodes, pods, short, now)
        wanted = status(one, nodes, pods, short, collisions, now)
        await self._desk.write_status(DAEMON_SETS, self._sets, one, one.status, wanted)
        for pod in planned.delete:
            await self._desk.delete(PODS, pod)
            self._desk.recorder.normal(one, "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")
        made = [daemon_pod(one, short, node) for node in planned.make]
        await make_pods(self._desk, self._pods, one, made)
        labels = {pod.metadata.labels.get(REVISION_LABEL, "") for pod in pods} | {short}
        used = frozenset(
            each.metadata.name for each in revisions if each.metadata.labels.get(REVISION_LABEL) in labels
        )
        limit = one.spec.revision_history_limit
        await self._revisions.trim(revisions, used, 10 if limit is None else limit)
        return Result(requeue_after=planned.look_again)


def _view(node: Node) -> tuple[object, ...]:
    spec, status_ = node.spec, node.status
    ready = [c.status for c in (status_.conditions if status_ else ()) if c.type == "Ready"]
    taints = spec.taints if spec else ()
    return node.metadata.labels, taints, bool(spec and spec.unschedulable), ready


def daemon_pod(one: DaemonSet, revision: str, node: str) -> Pod:
    """The pod for one node."""
    pod = pod_from_template(one.spec.template if one.spec else None, one, DAEMON_SETS)
    labels = {**pod.metadata.labels, REVISION_LABEL: revision}
    spec = placed(with_tolerations(pod.spec or PodSpec()), node)
    return msgspec.structs.replace(
        pod, metadata=msgspec.structs.replace(pod.metadata, labels=labels), spec=spec
    )
