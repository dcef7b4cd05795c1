"""Keeps as many pods as a ReplicaSet asks for, adopting and releasing by its selector."""

from __future__ import annotations

import asyncio

from edgevirt.api.apps import ReplicaSet
from edgevirt.api.resources import PODS, REPLICA_SETS
from edgevirt.engine.controllers.surroundings import Desk, Shared
from edgevirt.engine.controllers.workloads import claiming, pod_state
from edgevirt.engine.controllers.workloads.pod_making import make_pods
from edgevirt.engine.controllers.workloads.replica_set_plan import Plan, plan, status
from edgevirt.engine.controllers.workloads.template import pod_from_template
from edgevirt.kube import errors
from edgevirt.kube.clock import timestamp
from edgevirt.kube.controller import Result
from edgevirt.kube.objects import split_key


class ReplicaSetController:
    def __init__(self, shared: Shared) -> None:
        self._desk = Desk(shared, "replicaset-controller", self._reconcile)
        self._sets = self._desk.informer(REPLICA_SETS)
        self._pods = self._desk.informer(PODS)
        self._desk.follow(self._sets)
        self._desk.follow_dependents(self._pods, REPLICA_SETS.kind)
        self._desk.follow_orphans(self._pods, self._sets, lambda one: one.spec.selector if one.spec else None)

    async def run(self, started: asyncio.Event) -> None:
        await self._desk.run(started)

    async def _reconcile(self, key: str) -> Result | None:
        namespace, name = split_key(key)
        one = self._sets.get(name, namespace)
        if one is None or one.spec is None:
            return None
        candidates = [pod for pod in self._desk.here(self._pods, namespace) if pod_state.is_active(pod)]
        claims = claiming.plan(one, one.spec.selector, candidates)
        pods = await claiming.carry_out(self._desk.client, one, REPLICA_SETS, PODS, self._pods, claims)
        now = self._desk.clock.now()
        planned = plan(one, pods, now)
        failure, reason = "", ""
        problem: errors.KubeError | None = None
        try:
            await self._carry_out(one, planned)
        except errors.KubeError as error:
            failure, problem = str(error), error
            reason = "FailedCreate" if planned.create else "FailedDelete"
        wanted = status(one, pods, failure, reason, now, timestamp(now))
        await self._desk.write_status(REPLICA_SETS, self._sets, one, one.status, wanted)
        if problem is not None:
            raise problem
        return Result(requeue_after=planned.look_again)

    async def _carry_out(self, one: ReplicaSet, planned: Plan) -> None:
        template = one.spec.template if one.spec else None
        made = [pod_from_template(template, one, REPLICA_SETS)] * planned.create
        await make_pods(self._desk, self._pods, one, made)
        for pod in planned.delete:
            await self._desk.delete(PODS, pod)
            self._desk.recorder.normal(one, "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")
