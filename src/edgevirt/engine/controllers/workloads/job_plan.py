"""What a Job does next: pods to make and to delete, pods whose end is to be counted, its status. Pure.

Every pod carries a finalizer until its end was counted, so a pod that vanishes is never forgotten: an ended
pod's uid first goes into `status.uncountedTerminatedPods`, then the finalizer is taken off, and only then,
in a later pass, the uid becomes a count. A job that is decided first says so (SuccessCriteriaMet or
FailureTarget), and is Complete or Failed when all its pods have ended and are counted.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

import msgspec

from edgevirt.api.batch import Job, JobCondition, JobSpec, JobStatus, UncountedTerminatedPods
from edgevirt.api.core import Pod
from edgevirt.engine.controllers.workloads import job_indexes, pod_state
from edgevirt.engine.controllers.workloads.numbers import some
from edgevirt.kube.clock import timestamp

TRACKING = "batch.kubernetes.io/job-tracking"
BACKOFF = 10.0
MAX_BACKOFF = 600.0
BURST = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """`make` lists completion indexes, or -1 for pods without one. `count`: take their finalizer off.

    `delete` are pods whose end counts; `drop` are pods that are not wanted any more, which end uncounted.
    """

    status: JobStatus
    make: tuple[int, ...] = ()
    delete: tuple[Pod, ...] = ()
    drop: tuple[Pod, ...] = ()
    count: tuple[Pod, ...] = ()
    look_again: float | None = None
    event: tuple[str, str, str] | None = None
    """Type, reason and message of what is worth telling."""


def condition(status: JobStatus | None, kind: str) -> JobCondition | None:
    return next((c for c in (status.conditions if status else ()) if c.type == kind), None)


def is_finished(job: Job) -> bool:
    return any(_holds(job.status, kind) for kind in ("Complete", "Failed"))


def _holds(status: JobStatus | None, kind: str) -> bool:
    found = condition(status, kind)
    return found is not None and found.status == "True"


@dataclasses.dataclass(frozen=True, slots=True)
class _Verdict:
    kind: str
    """Complete or Failed."""
    reason: str
    message: str


def plan(job: Job, pods: Sequence[Pod], now: datetime.datetime) -> Plan:
    """`pods` are all it owns."""
    spec = job.spec or JobSpec()
    before = job.status or JobStatus()
    if is_finished(job):
        return Plan(before, count=tuple(pod for pod in pods if TRACKING in pod.metadata.finalizers))
    if job.metadata.deletion_timestamp:
        return Plan(before, count=tuple(p for p in pods if TRACKING in p.metadata.finalizers and _ended(p)))
    status, count = _counted(spec, before, pods)
    active = [pod for pod in pods if pod_state.is_active(pod)]
    terminating = [
        p for p in pods if pod_state.is_terminating(p) and pod_state.phase(p) not in pod_state.ENDED
    ]
    indexes = _succeeded_indexes(spec, status, pods)
    succeeded = len(indexes) if spec.completion_mode == "Indexed" else _total(status, "succeeded")
    failed = _total(status, "failed")
    moment = timestamp(now)
    if not spec.suspend and not status.start_time:
        status = msgspec.structs.replace(status, start_time=moment)
    verdict = _decided(status) or _verdict(spec, status, active, pods, succeeded, failed, now)
    if verdict is not None:
        return _ending(spec, status, verdict, active, terminating, count, indexes, moment)
    if spec.suspend:
        return _suspended(status, active, terminating, count, indexes, spec, moment)
    event: tuple[str, str, str] | None = None
    if _holds(status, "Suspended"):
        status = _with(
            status,
            JobCondition(type="Suspended", status="False", reason="JobResumed", message="Job resumed"),
            moment,
        )
        status = msgspec.structs.replace(status, start_time=moment)
        event = ("Normal", "Resumed", "Job resumed")
    make, drop, wait = _sizes(spec, status, active, terminating, pods, indexes, succeeded, now)
    deadline = _deadline_left(spec, status, now)
    status = _numbers(status, spec, len(active), active, terminating, indexes)
    waits = [each for each in (wait, deadline) if each is not None]
    return Plan(status, make, (), drop, count, min(waits, default=None), event)


def _ended(pod: Pod) -> bool:
    return pod_state.phase(pod) in pod_state.ENDED or pod_state.is_terminating(pod)


def _total(status: JobStatus, which: str) -> int:
    uncounted = status.uncounted_terminated_pods or UncountedTerminatedPods()
    return (getattr(status, which) or 0) + len(getattr(uncounted, which))


def _succeeded(pod: Pod) -> bool:
    return pod_state.phase(pod) == "Succeeded"


def _failed(spec: JobSpec, pod: Pod) -> bool:
    if pod_state.phase(pod) == "Failed":
        return True
    gone = pod_state.is_terminating(pod) and pod_state.phase(pod) != "Succeeded"
    return gone and spec.pod_replacement_policy != "Failed"


def _counted(spec: JobSpec, before: JobStatus, pods: Sequence[Pod]) -> tuple[JobStatus, tuple[Pod, ...]]:
    """The status with ended pods noted or counted, and the pods whose finalizer may go."""
    uncounted = before.uncounted_terminated_pods or UncountedTerminatedPods()
    tracked = {pod.metadata.uid: pod for pod in pods if TRACKING in pod.metadata.finalizers}
    done_ok = [uid for uid in uncounted.succeeded if uid not in tracked]
    done_bad = [uid for uid in uncounted.failed if uid not in tracked]
    noted = {*uncounted.succeeded, *uncounted.failed}
    finished = _succeeded_indexes(spec, before, ())
    new_ok = []
    for uid, pod in tracked.items():
        index = job_indexes.index_of(pod)
        if uid in noted or not _succeeded(pod) or (spec.completion_mode == "Indexed" and index in finished):
            continue
        new_ok.append(uid)
    new_bad = [uid for uid, pod in tracked.items() if uid not in noted and _failed(spec, pod)]
    left = UncountedTerminatedPods(
        succeeded=tuple(uid for uid in (*uncounted.succeeded, *new_ok) if uid not in done_ok),
        failed=tuple(uid for uid in (*uncounted.failed, *new_bad) if uid not in done_bad),
    )
    status = msgspec.structs.replace(
        before,
        succeeded=some((before.succeeded or 0) + len(done_ok)),
        failed=some((before.failed or 0) + len(done_bad)),
        uncounted_terminated_pods=left,
    )
    ended = {*left.succeeded, *left.failed}
    surplus = [
        pod
        for uid, pod in tracked.items()
        if uid not in ended and _succeeded(pod) and spec.completion_mode == "Indexed"
    ]
    return status, (*(tracked[uid] for uid in ended if uid in tracked), *surplus)


def _succeeded_indexes(spec: JobSpec, status: JobStatus, pods: Sequence[Pod]) -> frozenset[int]:
    if spec.completion_mode != "Indexed":
        return frozenset()
    completions = spec.completions or 0
    known = job_indexes.parse(status.completed_indexes, completions)
    fresh = {job_indexes.index_of(pod) for pod in pods if _succeeded(pod)}
    return known | {index for index in fresh if 0 <= index < completions}


# The end ------------------------------------------------------------------------------------------------


def _decided(status: JobStatus) -> _Verdict | None:
    for interim, kind in (("FailureTarget", "Failed"), ("SuccessCriteriaMet", "Complete")):
        found = condition(status, interim)
        if found is not None and found.status == "True":
            return _Verdict(kind, found.reason, found.message)
    return None


def _verdict(
    spec: JobSpec,
    status: JobStatus,
    active: Sequence[Pod],
    pods: Sequence[Pod],
    succeeded: int,
    failed: int,
    now: datetime.datetime,
) -> _Verdict | None:
    limit = 6 if spec.backoff_limit is None else spec.backoff_limit
    template = spec.template.spec if spec.template else None
    restarted = 0
    if template is not None and template.restart_policy == "OnFailure":
        restarted = sum(_all_restarts(pod) for pod in active)
    if failed > limit or (restarted > 0 and restarted >= limit):
        return _Verdict("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = _deadline_left(spec, status, now)
    if left is not None and left <= 0:
        return _Verdict("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
    if spec.completions is None:
        done = succeeded > 0 and not active
    else:
        done = succeeded >= spec.completions and (spec.completions > 0 or not active)
    if done:
        return _Verdict("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
    return None


def _all_restarts(pod: Pod) -> int:
    status = pod.status
    if status is None or status.phase not in ("Running", "Pending"):
        return 0
    everything = (*status.init_container_statuses, *status.container_statuses)
    return sum(one.restart_count or 0 for one in everything)


def _deadline_left(spec: JobSpec, status: JobStatus, now: datetime.datetime) -> float | None:
    began = pod_state.parse_time(status.start_time)
    if spec.active_deadline_seconds is None or began is None or spec.suspend:
        return None
    return spec.active_deadline_seconds - (now - began).total_seconds()


def _ending(
    spec: JobSpec,
    status: JobStatus,
    verdict: _Verdict,
    active: Sequence[Pod],
    terminating: Sequence[Pod],
    count: tuple[Pod, ...],
    indexes: frozenset[int],
    moment: str,
) -> Plan:
    """Decided: end what runs; say the last word when everything has ended and is counted."""
    interim = "FailureTarget" if verdict.kind == "Failed" else "SuccessCriteriaMet"
    status = _with(
        status,
        JobCondition(type=interim, status="True", reason=verdict.reason, message=verdict.message),
        moment,
    )
    uncounted = status.uncounted_terminated_pods or UncountedTerminatedPods()
    over = not active and not terminating and not uncounted.succeeded and not uncounted.failed
    if not over:
        numbers = _numbers(status, spec, len(active), active, terminating, indexes)
        return Plan(numbers, delete=tuple(active), count=count)
    status = _with(
        status,
        JobCondition(type=verdict.kind, status="True", reason=verdict.reason, message=verdict.message),
        moment,
    )
    if verdict.kind == "Complete":
        status = msgspec.structs.replace(status, completion_time=moment)
        event = ("Normal", "Completed", "Job completed")
    else:
        event = ("Warning", verdict.reason, verdict.message)
    return Plan(_numbers(status, spec, 0, (), (), indexes), count=count, event=event)


def _suspended(
    status: JobStatus,
    active: Sequence[Pod],
    terminating: Sequence[Pod],
    count: tuple[Pod, ...],
    indexes: frozenset[int],
    spec: JobSpec,
    moment: str,
) -> Plan:
    event = None if _holds(status, "Suspended") else ("Normal", "Suspended", "Job suspended")
    status = _with(
        status,
        JobCondition(type="Suspended", status="True", reason="JobSuspended", message="Job suspended"),
        moment,
    )
    status = msgspec.structs.replace(status, start_time="")
    numbers = _numbers(status, spec, 0, (), (*active, *terminating), indexes)
    return Plan(numbers, drop=tuple(active), count=count, event=event)


# While it runs ------------------------------------------------------------------------------------------


def _sizes(
    spec: JobSpec,
    status: JobStatus,
    active: Sequence[Pod],
    terminating: Sequence[Pod],
    pods: Sequence[Pod],
    indexes: frozenset[int],
    succeeded: int,
    now: datetime.datetime,
) -> tuple[tuple[int, ...], tuple[Pod, ...], float | None]:
    """(indexes to make pods for, pods to drop, seconds to wait because of failures)."""
    parallelism = 1 if spec.parallelism is None else spec.parallelism
    if spec.completions is None:
        wanted = len(active) if succeeded else parallelism
    else:
        wanted = min(parallelism, spec.completions - succeeded)
    wanted = max(0, wanted)
    if len(active) > parallelism or len(active) > wanted:
        surplus = len(active) - min(parallelism, wanted)
        ranked = sorted(active, key=lambda p: (pod_state.is_ready(p), p.metadata.creation_timestamp))
        return (), tuple(ranked[:surplus]), None
    blocked = len(terminating) if spec.pod_replacement_policy == "Failed" else 0
    missing = min(wanted - len(active) - blocked, BURST)
    if missing <= 0:
        return (), (), None
    wait = _backoff(pods, now)
    if wait > 0:
        return (), (), wait
    if spec.completion_mode != "Indexed":
        return (-1,) * missing, (), None
    taken = {job_indexes.index_of(pod) for pod in active} | indexes
    free = (index for index in range(spec.completions or 0) if index not in taken)
    return tuple(index for index, _ in zip(free, range(missing), strict=False)), (), None


def _backoff(pods: Sequence[Pod], now: datetime.datetime) -> float:
    """Seconds until a failed pod may be replaced: longer with every failure since the last success."""
    ends = sorted(
        (ended, _succeeded(pod))
        for pod in pods
        if pod_state.phase(pod) in pod_state.ENDED and (ended := ended_at(pod)) is not None
    )
    failures = 0
    last: datetime.datetime | None = None
    for moment, good in reversed(ends):
        if good:
            break
        failures += 1
        last = last or moment
    if last is None:
        return 0.0
    delay = min(BACKOFF * 2.0 ** (failures - 1), MAX_BACKOFF)
    return max(0.0, delay - (now - last).total_seconds())


def ended_at(pod: Pod) -> datetime.datetime | None:
    """When the last container ended; failing that, when the pod stopped being ready, or was made."""
    status = pod.status
    times = [
        found
        for one in (status.container_statuses if status else ())
        if one.state is not None
        and one.state.terminated is not None
        and (found := pod_state.parse_time(one.state.terminated.finished_at)) is not None
    ]
    if times:
        return max(times)
    ready = pod_state.condition(pod, "Ready")
    text = ready.last_transition_time if ready is not None else ""
    return pod_state.parse_time(text or pod.metadata.creation_timestamp)


def _numbers(
    status: JobStatus,
    spec: JobSpec,
    active: int,
    pods: Sequence[Pod],
    terminating: Sequence[Pod],
    indexes: frozenset[int],
) -> JobStatus:
    return msgspec.structs.replace(
        status,
        active=some(active),
        ready=sum(1 for pod in pods if pod_state.is_ready(pod)),
        terminating=len(terminating),
        completed_indexes=job_indexes.written(indexes) if spec.completion_mode == "Indexed" else "",
    )


def _with(status: JobStatus, wanted: JobCondition, moment: str) -> JobStatus:
    """The status with a condition; one that holds already keeps its times."""
    current = condition(status, wanted.type)
    if current is not None and current.status == wanted.status and current.reason == wanted.reason:
        return status
    stamped = msgspec.structs.replace(wanted, last_probe_time=moment, last_transition_time=moment)
    others = tuple(one for one in status.conditions if one.type != wanted.type)
    return msgspec.structs.replace(status, conditions=(*others, stamped))
