"""Runs the pods of a Job to its completions, and counts every end exactly once; see `job_plan`.

A finished job with `ttlSecondsAfterFinished` is deleted, with what it owns, when its time has come.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime

import msgspec

from edgevirt.api.batch import Job
from edgevirt.api.core import EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodSpec
from edgevirt.api.resources import JOBS, PODS
from edgevirt.engine.controllers.surroundings import Desk, Shared
from edgevirt.engine.controllers.workloads import claiming, job_indexes, pod_state
from edgevirt.engine.controllers.workloads.job_plan import TRACKING, condition, is_finished, plan
from edgevirt.engine.controllers.workloads.pod_making import make_pods
from edgevirt.engine.controllers.workloads.template import pod_from_template
from edgevirt.kube import errors
from edgevirt.kube.controller import Result
from edgevirt.kube.objects import split_key
from edgevirt.kube.ownership import controller_of

_JOB_NAME = "batch.kubernetes.io/job-name"
_INDEX_VARIABLE = "JOB_COMPLETION_INDEX"


class JobController:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._desk = Desk(shared, "job-controller", self._reconcile)
        self._jobs = self._desk.informer(JOBS)
        self._pods = self._desk.informer(PODS)
        self._desk.follow(self._jobs)
        self._desk.follow_dependents(self._pods, JOBS.kind)

    async def run(self, started: asyncio.Event) -> None:
        await self._desk.run(started)

    async def _reconcile(self, key: str) -> Result | None:
        namespace, name = split_key(key)
        job = self._jobs.get(name, namespace)
        everything = self._pods.by_index("namespace", namespace)
        if job is None or job.spec is None:
            await self._let_go_of_orphans(everything, name)
            return None
        claims = claiming.plan(job, job.spec.selector, everything)
        pods = await claiming.carry_out(self._desk.client, job, JOBS, PODS, self._pods, claims)
        for pod in claims.release:
            await self._untrack(pod)
        now = self._desk.clock.now()
        if is_finished(job) and not any(TRACKING in pod.metadata.finalizers for pod in pods):
            return await self._expire(job, now)
        planned = plan(job, pods, now)
        await self._desk.write_status(JOBS, self._jobs, job, job.status, planned.status)
        for pod in planned.count:
            await self._untrack(pod)
        for pod in planned.drop:
            await self._untrack(pod)
        for pod in (*planned.delete, *planned.drop):
            await self._desk.delete(PODS, pod)
            self._desk.recorder.normal(job, "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")
        await make_pods(self._desk, self._pods, job, [pod_of(job, index) for index in planned.make])
        if planned.event is not None:
            kind, reason, message = planned.event
            tell = self._desk.recorder.warning if kind == "Warning" else self._desk.recorder.normal
            tell(job, reason, message)
        return Result(requeue_after=planned.look_again)

    async def _let_go_of_orphans(self, pods: tuple[Pod, ...], job: str) -> None:
        """Pods of a job that is gone must not be kept by its finalizer."""
        for pod in pods:
            reference = controller_of(pod)
            if reference is None:
                mine = pod.metadata.labels.get(_JOB_NAME) == job  # orphaned with the job's deletion
            else:
                mine = reference.kind == JOBS.kind and reference.name == job
            if mine:
                await self._untrack(pod)

    async def _untrack(self, pod: Pod) -> None:
        if TRACKING not in pod.metadata.finalizers:
            return
        left = [one for one in pod.metadata.finalizers if one != TRACKING]
        try:
            await self._desk.patch(PODS, self._pods, pod, {"metadata": {"finalizers": left or None}})
        except errors.NotFound:
            return

    async def _expire(self, job: Job, now: datetime.datetime) -> Result | None:
        lifetime = job.spec.ttl_seconds_after_finished if job.spec else None
        if lifetime is None or job.metadata.deletion_timestamp:
            return None
        finished = condition(job.status, "Complete") or condition(job.status, "Failed")
        since = pod_state.parse_time(finished.last_transition_time) if finished is not None else None
        left = lifetime - (now - (since or now)).total_seconds()
        if left > 0:
            return Result(requeue_after=left)
        client = await self._shared.identities.client("ttl-after-finished-controller")
        with contextlib.suppress(errors.NotFound):
            await client.delete(
                JOBS,
                job.metadata.name,
                namespace=job.metadata.namespace,
                uid=job.metadata.uid,
                propagation="Foreground",
            )
        return None


def pod_of(job: Job, index: int) -> Pod:
    """A pod of the job; of an indexed one, the pod of that index."""
    pod = pod_from_template(job.spec.template if job.spec else None, job, JOBS)
    finalizers = (*pod.metadata.finalizers, TRACKING)
    if index < 0:
        return msgspec.structs.replace(
            pod, metadata=msgspec.structs.replace(pod.metadata, finalizers=finalizers)
        )
    text = str(index)
    metadata = msgspec.structs.replace(
        pod.metadata,
        generate_name=f"{job.metadata.name}-{index}-",
        finalizers=finalizers,
        annotations={**pod.metadata.annotations, job_indexes.INDEX: text},
        labels={**pod.metadata.labels, job_indexes.INDEX: text},
    )
    spec = pod.spec or PodSpec()
    variable = EnvVar(
        name=_INDEX_VARIABLE,
        value_from=EnvVarSource(
            field_ref=ObjectFieldSelector(field_path=f"metadata.annotations['{job_indexes.INDEX}']")
        ),
    )
    with_index = {
        field: tuple(
            container
            if any(one.name == _INDEX_VARIABLE for one in container.env)
            else msgspec.structs.replace(container, env=(*container.env, variable))
            for container in getattr(spec, field)
        )
        for field in ("containers", "init_containers")
    }
    hosted = msgspec.structs.replace(spec, hostname=f"{job.metadata.name}-{index}", **with_index)
    return msgspec.structs.replace(pod, metadata=metadata, spec=hosted)
