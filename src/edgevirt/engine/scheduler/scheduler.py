"""The loop around `plan`: watch pods and nodes, bind, and tell why not.

One pod at a time is decided (microseconds), against a ledger that already counts earlier decisions; binding
then runs concurrently. A pod without a place is set aside and looked at again when a node changed in a way
that matters, a pod released something, or a claim moved; nothing is polled. Its PodScheduled condition is
written only when it says something new.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from edgevirt.api.core import Node, Pod, PodCondition
from edgevirt.api.resources import (
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
)
from edgevirt.engine.scheduler import claims, preemption, requests
from edgevirt.engine.scheduler.eviction import Evictor
from edgevirt.engine.scheduler.ledger import Ledger
from edgevirt.engine.scheduler.node_view import Candidate
from edgevirt.engine.scheduler.pending import PendingPods
from edgevirt.engine.scheduler.plan import Placement, Unschedulable, Wish, plan
from edgevirt.engine.scheduler.taints import ready_status
from edgevirt.kube import errors
from edgevirt.kube.backoff import BackoffPolicy
from edgevirt.kube.client import Client, PatchType
from edgevirt.kube.clock import timestamp
from edgevirt.kube.events import EventRecorder
from edgevirt.kube.informer import Informer
from edgevirt.kube.objects import key_of, key_text

log = logging.getLogger("edgevirt.engine.scheduler")

COMPONENT = "default-scheduler"
UNSCHEDULABLE = "Unschedulable"
GATED = "SchedulingGated"
_RETRY = BackoffPolicy(base=0.1, cap=10.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Nomination:
    """Room was made for `pod` on `node`: others of no higher priority do not get it."""

    pod: Pod
    node: str


class Scheduler:
    def __init__(self, client: Client, recorder: EventRecorder, name: str = COMPONENT) -> None:
        self._client = client
        self._recorder = recorder
        self._name = name
        self._ledger = Ledger()
        self._pending = PendingPods()
        self._failures: dict[str, int] = {}
        self._nominations: dict[str, Nomination] = {}
        self._clearing: set[str] = set()
        self._pods = Informer(client, PODS)
        self._nodes = Informer(client, NODES)
        self._claims = Informer(client, PERSISTENT_VOLUME_CLAIMS)
        self._volumes = Informer(client, PERSISTENT_VOLUMES)
        self._namespaces = Informer(client, NAMESPACES)
        self._budgets = Informer(client, POD_DISRUPTION_BUDGETS)
        self._pods.add_handler(self._pod_changed)
        self._nodes.add_handler(self._node_changed)
        self._claims.add_handler(lambda old, new: self._pending.retry_all())
        self._volumes.add_handler(lambda old, new: self._pending.retry_all())

    async def run(self, started: asyncio.Event) -> None:
        """Schedule until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in (self._pods, self._nodes, self._namespaces):
                group.create_task(informer.run())
                await informer.synced()
            # These are not waited for: a pod that has claims waits for them by itself.
            for later in (self._claims, self._volumes, self._budgets):
                group.create_task(later.run())
            started.set()
            while True:
                self._consider(await self._pending.next(), group)

    # Events

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None:
            assert old is not None
            self._pending.remove(key_of(old))
            self._failures.pop(old.metadata.uid, None)
            nominated = self._nominations.pop(old.metadata.uid, None)
            if self._ledger.release(old.metadata.uid) or nominated:
                self._pending.retry_all()
            return
        if not requests.occupies(new):
            if self._ledger.release(new.metadata.uid):
                self._pending.retry_all()
        else:
            self._ledger.observe(new)
        if self._waits_for_us(new):
            if node := new.status.nominated_node_name if new.status else "":
                self._nominations[new.metadata.uid] = Nomination(new, node)
            self._pending.add(new)
        else:
            self._nominations.pop(new.metadata.uid, None)
            self._pending.remove(key_of(new))

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        # A heartbeat changes a node every few seconds without changing what fits on it.
        if old is None or new is None or _what_matters(old) != _what_matters(new):
            self._pending.retry_all()

    def _waits_for_us(self, pod: Pod) -> bool:
        spec = pod.spec
        return (
            spec is not None
            and not spec.node_name
            and (spec.scheduler_name or COMPONENT) == self._name
            and not pod.metadata.deletion_timestamp
            and requests.occupies(pod)
            and not self._ledger.is_placed(pod.metadata.uid)
        )

    # Decisions

    def _consider(self, pod: Pod, group: asyncio.TaskGroup) -> None:
        if not self._waits_for_us(pod):
            return
        if pod.metadata.uid in self._clearing:
            self._pending.set_aside(pod)
            return
        decision = self._decide(pod)
        if isinstance(decision, Placement):
            self._nominations.pop(pod.metadata.uid, None)
            self._ledger.assume(pod, decision.node)
            group.create_task(self._bind(pod, decision.node), name=f"bind-{key_text(pod)}")
            return
        self._pending.set_aside(pod)
        message = decision.message
        outcome = self._make_room(pod, decision)
        if isinstance(outcome, preemption.Preemption):
            self._clearing.add(pod.metadata.uid)
            self._nominations[pod.metadata.uid] = Nomination(pod, outcome.node)
            group.create_task(self._clear(pod, outcome), name=f"preempt-{key_text(pod)}")
        elif outcome is not None:
            message = f"{message} {outcome.message}"
        gated = pod.spec is not None and bool(pod.spec.scheduling_gates)
        condition = PodCondition(
            type="PodScheduled",
            status="False",
            reason=GATED if gated else UNSCHEDULABLE,
            message=message,
        )
        if _says_something_new(pod, condition):
            if not gated:
                self._recorder.warning(pod, "FailedScheduling", message)
            group.create_task(self._report(pod, condition), name=f"report-{key_text(pod)}")

    def _decide(self, pod: Pod) -> Placement | Unschedulable:
        if pod.spec is not None and pod.spec.scheduling_gates:
            return Unschedulable("Scheduling is blocked due to non-empty scheduling gates")
        candidates = self._candidates(pod)
        found = self._claims_of(pod)
        if found.problem and candidates:
            return Unschedulable(f"0/{len(candidates)} nodes are available: {found.problem}.", ())
        return plan(pod, candidates, found.affinities, self._labels_of)

    def _make_room(
        self, pod: Pod, why: Unschedulable
    ) -> preemption.Preemption | preemption.NoPreemption | None:
        """Whom to end so that the pod fits, or why nobody; None if the pod's trouble is of another kind."""
        if why.movable is None:
            return None
        nomination = self._nominations.get(pod.metadata.uid)
        return preemption.plan(
            Wish.of(pod, self._claims_of(pod).affinities),
            why,
            self._candidates(pod),
            self._labels_of,
            tuple(self._budgets.items()),
            nomination.node if nomination else "",
        )

    def _candidates(self, pod: Pod) -> list[Candidate]:
        """The nodes, with the pods on them and those for which room was made there before this one."""
        promised: dict[str, list[Pod]] = {}
        for uid, nomination in self._nominations.items():
            mine = uid == pod.metadata.uid
            if not mine and preemption.priority_of(nomination.pod) >= preemption.priority_of(pod):
                promised.setdefault(nomination.node, []).append(nomination.pod)
        found = []
        for node in self._nodes.items():
            if node.metadata.deletion_timestamp:
                continue
            usage = self._ledger.usage(node.metadata.name)
            if coming := promised.get(node.metadata.name):
                usage = usage.changed(plus=coming)
            found.append(Candidate(node, usage))
        return found

    def _claims_of(self, pod: Pod) -> claims.Claims:
        namespace = pod.metadata.namespace
        return claims.examine(pod, lambda name: self._claims.get(name, namespace), self._volumes.get)

    def _labels_of(self, namespace: str) -> Mapping[str, str]:
        found = self._namespaces.get(namespace)
        return found.metadata.labels if found else {}

    # Effects

    async def _bind(self, pod: Pod, node: str) -> None:
        meta = pod.metadata
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        about: dict[str, Any] = {"pod": key_text(pod), "uid": meta.uid, "node": node}
        try:
            await self._client.create_subresource(
                PODS, meta.name, "binding", binding, namespace=meta.namespace
            )
        except (errors.NotFound, errors.Conflict) as error:
            # Deleted, or bound by somebody else: the watch tells, and takes the pod off our hands.
            log.info("pod could not be bound any more", extra={**about, "error": str(error)})
            self._give_back(pod)
        except errors.KubeError as error:
            self._give_back(pod)
            self._recorder.warning(pod, "FailedScheduling", f"binding to node {node} failed: {error}")
            log.warning("binding failed, will retry", extra={**about, "error": str(error)})
        else:
            self._failures.pop(meta.uid, None)
            self._recorder.normal(
                pod, "Scheduled", f"Successfully assigned {meta.namespace}/{meta.name} to {node}"
            )
            log.info("pod bound", extra=about)

    def _give_back(self, pod: Pod) -> None:
        """Undo the assumption, unless the pod turns out to be bound, and try again after a while."""
        current = self._pods.get(pod.metadata.name, pod.metadata.namespace)
        if (
            current is None
            or current.metadata.uid != pod.metadata.uid
            or not (current.spec and current.spec.node_name)
        ):
            self._ledger.release(pod.metadata.uid)
            self._pending.retry_all()
        self._retry_later(pod)

    async def _clear(self, pod: Pod, choice: preemption.Preemption) -> None:
        """End the victims and note for whom; the pod is looked at again when they are gone."""
        evictor = Evictor(self._client, self._recorder)
        try:
            await evictor.clear(pod, choice)
        except errors.KubeError as error:
            log.warning("cannot make room, will retry", extra={"pod": key_text(pod), "error": str(error)})
            self._retry_later(pod)
        finally:
            self._clearing.discard(pod.metadata.uid)
            self._pending.retry_all()

    async def _report(self, pod: Pod, condition: PodCondition) -> None:
        change = {
            "type": condition.type,
            "status": condition.status,
            "reason": condition.reason,
            "message": condition.message,
            "lastTransitionTime": timestamp(self._client.clock.now()),
        }
        meta = pod.metadata
        patch = {"metadata": {"uid": meta.uid}, "status": {"conditions": [change]}}
        try:
            answer = await self._client.patch(
                PODS,
                meta.name,
                patch,
                namespace=meta.namespace,
                type=PatchType.STRATEGIC,
                subresource="status",
            )
        except (errors.NotFound, errors.Conflict):
            return  # gone, or another pod by now
        except errors.KubeError as error:
            log.warning("cannot write PodScheduled", extra={"pod": key_text(pod), "error": str(error)})
            self._retry_later(pod)
        else:
            self._pods.put(answer)

    def _retry_later(self, pod: Pod) -> None:
        uid = pod.metadata.uid
        failures = self._failures[uid] = self._failures.get(uid, 0) + 1

        def again() -> None:
            current = self._pods.get(pod.metadata.name, pod.metadata.namespace)
            if current is None:
                self._failures.pop(uid, None)
            elif self._waits_for_us(current):
                self._pending.add(current)

        self._client.clock.call_later(_RETRY.delay(failures - 1), again)


def _what_matters(node: Node) -> tuple[object, ...]:
    spec = node.spec
    return (
        node.metadata.labels,
        node.metadata.deletion_timestamp,
        spec and (spec.unschedulable, spec.taints),
        node.status and node.status.allocatable,
        ready_status(node),
    )


def _says_something_new(pod: Pod, condition: PodCondition) -> bool:
    known = next((c for c in (pod.status.conditions if pod.status else ()) if c.type == condition.type), None)
    return known is None or (known.status, known.reason, known.message) != (
        condition.status,
        condition.reason,
        condition.message,
    )
