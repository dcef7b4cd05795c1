"""Which jobs a CronJob makes, replaces and forgets now, and when to look again. Pure.

Times missed while nobody looked count once, the latest of them, if it is not older than the starting
deadline. The name of a job contains the minute it was due, so that no time is served twice.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

import msgspec

from edgevirt.api.batch import CronJob, CronJobSpec, CronJobStatus, Job
from edgevirt.api.core import ObjectReference
from edgevirt.engine.controllers.workloads.job_plan import condition, is_finished
from edgevirt.engine.controllers.workloads.pod_state import parse_time
from edgevirt.engine.cron import Schedule, ScheduleError, zone
from edgevirt.kube.clock import timestamp

_MANY = 100
"""Missed times above which something is likely to be wrong with the clock or the deadline."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    status: CronJobStatus
    due: datetime.datetime | None = None
    delete: tuple[Job, ...] = ()
    look_again: float | None = None
    warnings: tuple[tuple[str, str], ...] = ()
    finished: tuple[Job, ...] = ()
    """Active ones that have ended since the last look."""


def job_name(cron: CronJob, due: datetime.datetime) -> str:
    return f"{cron.metadata.name}-{int(due.timestamp()) // 60}"


def plan(cron: CronJob, jobs: Sequence[Job], now: datetime.datetime) -> Plan:
    """`jobs` are those it owns."""
    spec = cron.spec or CronJobSpec()
    status, finished = _active(cron, jobs)
    delete = _surplus(spec, jobs)
    if cron.metadata.deletion_timestamp or spec.suspend:
        return Plan(status, delete=delete, finished=finished)
    where = zone(spec.time_zone) if spec.time_zone else datetime.UTC
    try:
        schedule = Schedule.parse(spec.schedule)
    except ScheduleError as error:
        text = f"unparseable schedule: {spec.schedule} : {error}"
        return Plan(status, delete=delete, finished=finished, warnings=(("UnparseableSchedule", text),))
    if where is None:
        text = f'invalid timeZone: "{spec.time_zone}"'
        return Plan(status, delete=delete, finished=finished, warnings=(("UnknownTimeZone", text),))
    local = now.astimezone(where)
    following = schedule.after(local)
    wait = (following - local).total_seconds() + 0.1 if following is not None else None
    due, missed = _latest_missed(cron, spec, schedule, local)
    warnings: list[tuple[str, str]] = []
    if missed > _MANY:
        text = (
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        )
        warnings.append(("TooManyMissedTimes", text))
    if due is None:
        return Plan(status, None, delete, wait, tuple(warnings), finished)
    if spec.starting_deadline_seconds is not None:
        late = (local - due).total_seconds()
        if late > spec.starting_deadline_seconds:
            text = f"Missed scheduled time to start a job: {due:%a, %d %b %Y %H:%M:%S %z}"
            warnings.append(("MissSchedule", text))
            return Plan(status, None, delete, wait, tuple(warnings), finished)
    running = [one for one in jobs if not is_finished(one)]
    if any(job_name(cron, due) == one.metadata.name for one in jobs):
        # Made already; the status that says so was not written.
        said = msgspec.structs.replace(status, last_schedule_time=timestamp(due))
        return Plan(said, None, delete, wait, tuple(warnings), finished)
    if running and spec.concurrency_policy == "Forbid":
        text = "Not starting job because prior execution is running and concurrency policy is Forbid"
        warnings.append(("JobAlreadyActive", text))
        return Plan(status, None, delete, wait, tuple(warnings), finished)
    if spec.concurrency_policy == "Replace":
        delete = (*delete, *running)
    return Plan(status, due, delete, wait, tuple(warnings), finished)


def _active(cron: CronJob, jobs: Sequence[Job]) -> tuple[CronJobStatus, tuple[Job, ...]]:
    before = cron.status or CronJobStatus()
    active = tuple(reference(one) for one in jobs if not is_finished(one))
    known = {one.uid for one in before.active}
    finished = tuple(one for one in jobs if is_finished(one) and one.metadata.uid in known)
    ends = [before.last_successful_time]
    for one in jobs:
        complete = condition(one.status, "Complete")
        if complete is not None and one.status is not None and complete.status == "True":
            ends.append(one.status.completion_time)
    kept = {one.uid: one for one in before.active}
    merged = tuple(kept.get(one.uid, one) for one in active)
    return (
        msgspec.structs.replace(before, active=merged, last_successful_time=max(ends)),
        finished,
    )


def reference(job: Job) -> ObjectReference:
    return ObjectReference(
        api_version="batch/v1",
        kind="Job",
        name=job.metadata.name,
        namespace=job.metadata.namespace,
        uid=job.metadata.uid,
        resource_version=job.metadata.resource_version,
    )


def _surplus(spec: CronJobSpec, jobs: Sequence[Job]) -> tuple[Job, ...]:
    """Finished jobs beyond the history that is kept, oldest first."""
    surplus: list[Job] = []
    for kind, limit in (
        ("Complete", spec.successful_jobs_history_limit),
        ("Failed", spec.failed_jobs_history_limit),
    ):
        ended = [
            one
            for one in jobs
            if (found := condition(one.status, kind)) is not None
            and found.status == "True"
            and not one.metadata.deletion_timestamp
        ]
        if limit is not None and len(ended) > limit:
            ended.sort(key=lambda one: ((one.status.start_time if one.status else ""), one.metadata.name))
            surplus.extend(ended[: len(ended) - limit])
    return tuple(surplus)


def _latest_missed(
    cron: CronJob, spec: CronJobSpec, schedule: Schedule, now: datetime.datetime
) -> tuple[datetime.datetime | None, int]:
    """The latest time that has come since the last job was made, and how many there were."""
    last = cron.status.last_schedule_time if cron.status else ""
    since = parse_time(last or cron.metadata.creation_timestamp) or now
    since = since.astimezone(now.tzinfo)
    if spec.starting_deadline_seconds is not None:
        since = max(since, now - datetime.timedelta(seconds=spec.starting_deadline_seconds))
    first = schedule.after(since)
    if first is None or first > now:
        return None, 0
    second = schedule.after(first)
    if second is None or second > now:
        return first, 1
    # Far behind: start near the present instead of walking through every time that was missed.
    distance = second - first
    missed = int((now - first) / distance) + 1
    latest = first
    if missed > _MANY:
        nearby = schedule.after(now - 2 * distance)
        latest = nearby if nearby is not None and first < nearby <= now else first
    while (following := schedule.after(latest)) is not None and following <= now:
        latest = following
    return latest, missed
