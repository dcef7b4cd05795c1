"""Makes the jobs of a CronJob when they are due; see `cron_job_plan`."""

from __future__ import annotations

import asyncio
import datetime

import msgspec

from edgevirt.api.batch import CronJob, CronJobStatus, Job, JobTemplateSpec
from edgevirt.api.meta import ObjectMeta
from edgevirt.api.resources import CRON_JOBS, JOBS
from edgevirt.engine.controllers.surroundings import Desk, Shared
from edgevirt.engine.controllers.workloads.cron_job_plan import job_name, plan, reference
from edgevirt.engine.controllers.workloads.job_plan import condition
from edgevirt.kube import errors
from edgevirt.kube.clock import timestamp
from edgevirt.kube.controller import Result
from edgevirt.kube.objects import split_key
from edgevirt.kube.ownership import is_controlled_by, owner_reference

DUE = "batch.kubernetes.io/cronjob-scheduled-timestamp"


class CronJobController:
    def __init__(self, shared: Shared) -> None:
        self._desk = Desk(shared, "cronjob-controller", self._reconcile)
        self._crons = self._desk.informer(CRON_JOBS)
        self._jobs = self._desk.informer(JOBS)
        self._desk.follow(self._crons)
        self._desk.follow_dependents(self._jobs, CRON_JOBS.kind)

    async def run(self, started: asyncio.Event) -> None:
        await self._desk.run(started)

    async def _reconcile(self, key: str) -> Result | None:
        namespace, name = split_key(key)
        cron = self._crons.get(name, namespace)
        if cron is None or cron.spec is None:
            return None
        jobs = [one for one in self._desk.here(self._jobs, namespace) if is_controlled_by(one, cron)]
        planned = plan(cron, jobs, self._desk.clock.now())
        for reason, message in planned.warnings:
            self._desk.recorder.warning(cron, reason, message)
        for one in planned.finished:
            ended = "Complete" if condition(one.status, "Complete") is not None else "Failed"
            text = f"Saw completed job: {one.metadata.name}, condition: {ended}"
            self._desk.recorder.normal(cron, "SawCompletedJob", text)
        for one in planned.delete:
            await self._desk.delete(JOBS, one, propagation="Background")
            self._desk.recorder.normal(cron, "SuccessfulDelete", f"Deleted job {one.metadata.name}")
        status = planned.status
        if planned.due is not None:
            status = await self._make(cron, planned.due, status)
        await self._desk.write_status(CRON_JOBS, self._crons, cron, cron.status, status)
        return Result(requeue_after=planned.look_again)

    async def _make(self, cron: CronJob, due: datetime.datetime, status: CronJobStatus) -> CronJobStatus:
        try:
            made = await self._desk.create(JOBS, self._jobs, job_of(cron, due))
        except errors.AlreadyExists:
            return msgspec.structs.replace(status, last_schedule_time=timestamp(due))
        except errors.KubeError as error:
            self._desk.recorder.warning(cron, "FailedCreate", f"Error creating job: {error}")
            raise
        self._desk.recorder.normal(cron, "SuccessfulCreate", f"Created job {made.metadata.name}")
        return msgspec.structs.replace(
            status, active=(*status.active, reference(made)), last_schedule_time=timestamp(due)
        )


def job_of(cron: CronJob, due: datetime.datetime) -> Job:
    """The job of one time of the schedule."""
    template = (cron.spec.job_template if cron.spec else None) or JobTemplateSpec()
    meta = template.metadata or ObjectMeta()
    return Job(
        metadata=ObjectMeta(
            name=job_name(cron, due),
            namespace=cron.metadata.namespace,
            labels=meta.labels,
            annotations={**meta.annotations, DUE: timestamp(due)},
            owner_references=(owner_reference(cron, CRON_JOBS),),
        ),
        spec=template.spec,
    )
