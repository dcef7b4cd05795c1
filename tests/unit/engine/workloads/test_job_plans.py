"""Jobs and CronJobs: pods, counts that never lose an end, verdicts; and the times that are due."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pytest
from pod_maker import pod

from edgevirt.api.batch import (
    CronJob,
    CronJobSpec,
    CronJobStatus,
    Job,
    JobCondition,
    JobSpec,
    JobStatus,
    UncountedTerminatedPods,
)
from edgevirt.api.core import Pod, PodSpec, PodTemplateSpec
from edgevirt.api.meta import ObjectMeta
from edgevirt.engine.controllers.workloads import cron_job_plan, job_indexes
from edgevirt.engine.controllers.workloads.job_plan import TRACKING, Plan, plan

pytestmark = pytest.mark.unit

NOW = datetime.datetime(2026, 1, 1, 12, 0, 0, tzinfo=datetime.UTC)
STARTED = "2026-01-01T11:59:00Z"


def job(status: JobStatus | None = None, restart: str = "Never", **spec: Any) -> Job:
    defaults: dict[str, Any] = {"completions": 3, "parallelism": 2, "backoff_limit": 6}
    return Job(
        metadata=ObjectMeta(name="j", namespace="n", uid="j"),
        spec=JobSpec(template=PodTemplateSpec(spec=PodSpec(restart_policy=restart)), **{**defaults, **spec}),
        status=status or JobStatus(start_time=STARTED),
    )


def tracked(name: str, phase: str = "Running", **more: Any) -> Pod:
    return pod(name, phase, finalizers=(TRACKING,), **more)


def kinds(planned: Plan) -> dict[str, str]:
    return {c.type: c.reason for c in planned.status.conditions if c.status == "True"}


def test_a_job_starts_as_many_pods_as_may_run_at_once() -> None:
    assert plan(job(), [], NOW).make == (-1, -1)
    assert plan(job(), [tracked("a")], NOW).make == (-1,)
    assert plan(job(parallelism=0), [], NOW).make == ()
    assert plan(job(status=JobStatus(start_time=STARTED, succeeded=2)), [tracked("a")], NOW).make == ()


def test_an_ended_pod_is_noted_then_released_then_counted() -> None:
    first = plan(job(), [tracked("a", "Succeeded")], NOW)
    assert first.status.uncounted_terminated_pods == UncountedTerminatedPods(succeeded=("a",))
    assert first.status.succeeded is None
    assert [p.metadata.name for p in first.count] == ["a"]
    second = plan(job(first.status), [pod("a", "Succeeded")], NOW)
    assert second.status.uncounted_terminated_pods == UncountedTerminatedPods()
    assert second.status.succeeded == 1
    assert second.count == ()
    third = plan(job(second.status), [pod("a", "Succeeded")], NOW)
    assert third.status.succeeded == 1, "an end is counted once"


def test_a_pod_that_vanished_after_it_was_noted_is_still_counted() -> None:
    noted = JobStatus(start_time=STARTED, uncounted_terminated_pods=UncountedTerminatedPods(failed=("gone",)))
    assert plan(job(noted), [], NOW).status.failed == 1


def test_a_job_is_complete_only_when_everything_is_counted() -> None:
    last = JobStatus(start_time=STARTED, succeeded=2)
    decided = plan(job(last), [tracked("c", "Succeeded"), tracked("d")], NOW)
    assert kinds(decided) == {"SuccessCriteriaMet": "CompletionsReached"}
    assert [p.metadata.name for p in decided.delete] == ["d"]
    over = plan(job(decided.status), [pod("c", "Succeeded")], NOW)
    assert kinds(over) == {
        "SuccessCriteriaMet": "CompletionsReached",
        "Complete": "CompletionsReached",
    }
    assert over.status.completion_time == "2026-01-01T12:00:00Z"
    assert over.event == ("Normal", "Completed", "Job completed")


@pytest.mark.parametrize(
    ("one", "pods", "reason"),
    [
        (job(JobStatus(start_time=STARTED, failed=7)), [tracked("a")], "BackoffLimitExceeded"),
        (job(backoff_limit=0), [tracked("a", "Failed")], "BackoffLimitExceeded"),
        (job(restart="OnFailure", backoff_limit=3), [tracked("a", restarts=3)], "BackoffLimitExceeded"),
        (job(active_deadline_seconds=60), [tracked("a")], "DeadlineExceeded"),
    ],
)
def test_a_job_fails_for_a_reason(one: Job, pods: list[Pod], reason: str) -> None:
    assert kinds(plan(one, pods, NOW)) == {"FailureTarget": reason}


def test_a_failed_pod_is_replaced_later_and_later() -> None:
    failed = pod("a", "Failed", finished="2026-01-01T11:59:55Z")
    status = JobStatus(start_time=STARTED, failed=1)
    planned = plan(job(status), [failed], NOW)
    assert planned.make == ()
    assert planned.look_again == 5.0
    twice = [failed, pod("b", "Failed", finished="2026-01-01T11:59:58Z")]
    assert plan(job(status), twice, NOW).look_again == 18.0


def test_a_suspended_job_ends_its_pods_and_starts_anew() -> None:
    suspended = plan(job(suspend=True), [tracked("a")], NOW)
    assert kinds(suspended) == {"Suspended": "JobSuspended"}
    assert [p.metadata.name for p in suspended.drop] == ["a"], "its end is no failure"
    assert suspended.delete == ()
    assert suspended.status.start_time == ""
    resumed = plan(job(suspended.status), [], NOW)
    assert resumed.make == (-1, -1)
    assert resumed.status.start_time == "2026-01-01T12:00:00Z"
    assert [(c.type, c.status, c.reason) for c in resumed.status.conditions] == [
        ("Suspended", "False", "JobResumed")
    ]


def test_pods_that_are_not_wanted_any_more_end_uncounted() -> None:
    planned = plan(job(parallelism=1), [tracked("a"), tracked("b", "Pending")], NOW)
    assert [p.metadata.name for p in planned.drop] == ["b"]
    assert planned.delete == ()


def test_an_indexed_job_makes_the_lowest_missing_indexes() -> None:
    def numbered(index: int, phase: str = "Running") -> Pod:
        return tracked(f"p{index}", phase, annotations={job_indexes.INDEX: str(index)})

    one = job(completion_mode="Indexed", completions=5, parallelism=3)
    planned = plan(one, [numbered(1), numbered(0, "Succeeded")], NOW)
    assert planned.make == (2, 3)
    assert planned.status.completed_indexes == "0"


def test_indexes_are_written_in_runs() -> None:
    assert job_indexes.written([0, 1, 2, 4, 6, 7]) == "0-2,4,6,7"
    assert job_indexes.parse("0-2,4,6,7", 7) == {0, 1, 2, 4, 6}


def test_a_finished_job_lets_its_pods_go() -> None:
    done = JobStatus(conditions=(JobCondition(type="Complete", status="True"),))
    planned = plan(job(done), [tracked("a", "Succeeded")], NOW)
    assert [p.metadata.name for p in planned.count] == ["a"]
    assert planned.status is done or planned.status == done


# CronJob ------------------------------------------------------------------------------------------------


def cron(last: str = "2026-01-01T11:00:00Z", **spec: Any) -> CronJob:
    return CronJob(
        metadata=ObjectMeta(name="c", namespace="n", uid="c", creation_timestamp="2026-01-01T00:30:00Z"),
        spec=CronJobSpec(**{"schedule": "0 * * * *", "concurrency_policy": "Allow", **spec}),
        status=CronJobStatus(last_schedule_time=last),
    )


def made(name: str, ended: str = "", start: str = "") -> Job:
    conditions = (JobCondition(type=ended, status="True"),) if ended else ()
    return Job(
        metadata=ObjectMeta(name=name, namespace="n", uid=name),
        status=JobStatus(conditions=conditions, start_time=start, completion_time=start),
    )


def test_a_time_that_has_come_makes_one_job() -> None:
    planned = cron_job_plan.plan(cron(), [], NOW)
    assert planned.due == NOW
    assert planned.look_again == pytest.approx(3600.1)
    assert cron_job_plan.job_name(cron(), NOW) == f"c-{int(NOW.timestamp()) // 60}"
    served = msgspec.structs.replace(cron(), status=CronJobStatus(last_schedule_time="2026-01-01T12:00:00Z"))
    assert cron_job_plan.plan(served, [], NOW).due is None


def test_of_many_missed_times_only_the_latest_counts() -> None:
    planned = cron_job_plan.plan(cron("2025-12-01T00:00:00Z"), [], NOW + datetime.timedelta(minutes=5))
    assert planned.due == NOW
    assert [reason for reason, _ in planned.warnings] == ["TooManyMissedTimes"]


def test_a_time_missed_for_longer_than_the_deadline_is_let_go() -> None:
    late = NOW + datetime.timedelta(minutes=5)
    assert cron_job_plan.plan(cron(starting_deadline_seconds=60), [], late).due is None
    assert cron_job_plan.plan(cron(starting_deadline_seconds=600), [], late).due == NOW


@pytest.mark.parametrize(
    ("policy", "makes", "deletes"), [("Allow", True, 0), ("Forbid", False, 0), ("Replace", True, 1)]
)
def test_the_policy_decides_when_the_last_job_still_runs(policy: str, makes: bool, deletes: int) -> None:
    planned = cron_job_plan.plan(cron(concurrency_policy=policy), [made("c-1")], NOW)
    assert (planned.due is not None) is makes
    assert len(planned.delete) == deletes
    assert [one.name for one in planned.status.active] == ["c-1"]


def test_only_as_much_history_is_kept_as_asked_for() -> None:
    jobs = [made(f"c-{n}", "Complete", f"2026-01-01T0{n}:00:00Z") for n in range(4)]
    jobs.append(made("c-9", "Failed", "2026-01-01T05:00:00Z"))
    one = cron(successful_jobs_history_limit=2, failed_jobs_history_limit=0, suspend=True)
    planned = cron_job_plan.plan(one, jobs, NOW)
    assert [j.metadata.name for j in planned.delete] == ["c-0", "c-1", "c-9"]
    assert planned.due is None, "it is suspended"
    assert planned.status.last_successful_time == "2026-01-01T03:00:00Z"


def test_the_schedule_is_read_in_its_time_zone() -> None:
    one = cron("2026-01-01T10:30:00Z", schedule="0 13 * * *", time_zone="Europe/Berlin")
    assert cron_job_plan.plan(one, [], NOW).due == NOW


def test_a_schedule_that_cannot_be_read_is_told_and_makes_nothing() -> None:
    planned = cron_job_plan.plan(cron(schedule="often"), [], NOW)
    assert planned.due is None
    assert [reason for reason, _ in planned.warnings] == ["UnparseableSchedule"]
