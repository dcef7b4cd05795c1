"""Defaults of the workload kinds: Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, CronJob.

As in `builtin_defaults`, each function fills one object in place and is idempotent.
"""

from __future__ import annotations

from edgevirt.engine.apiserver.schema import Json
from edgevirt.engine.apiserver.schema.filling import fill, items_of, object_of
from edgevirt.engine.apiserver.schema.pod_defaults import pod_spec

REVISIONS_KEPT = 10
_UNLIMITED = 2**31 - 1


def template(holder: Json) -> None:
    """The pod template of a workload's spec."""
    found = object_of(holder, "template")
    spec = object_of(found, "spec") if found is not None else None
    if spec is not None:
        pod_spec(spec)


def deployment(obj: Json) -> None:
    spec = object_of(obj, "spec")
    if spec is None:
        return
    template(spec)
    fill(spec, replicas=1, revisionHistoryLimit=REVISIONS_KEPT, progressDeadlineSeconds=600)
    strategy = spec.setdefault("strategy", {})
    if isinstance(strategy, dict):
        fill(strategy, type="RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            _rolling(strategy, maxUnavailable="25%", maxSurge="25%")


def _rolling(strategy: Json, **defaults: int | str) -> None:
    rolling = strategy.setdefault("rollingUpdate", {})
    if isinstance(rolling, dict):
        fill(rolling, **defaults)


def replica_set(obj: Json) -> None:
    spec = object_of(obj, "spec")
    if spec is not None:
        template(spec)
        fill(spec, replicas=1)


def stateful_set(obj: Json) -> None:
    spec = object_of(obj, "spec")
    if spec is None:
        return
    template(spec)
    fill(spec, podManagementPolicy="OrderedReady", replicas=1, revisionHistoryLimit=REVISIONS_KEPT)
    strategy = spec.setdefault("updateStrategy", {})
    if isinstance(strategy, dict):
        fill(strategy, type="RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            _rolling(strategy, partition=0)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    if isinstance(retention, dict):
        fill(retention, whenDeleted="Retain", whenScaled="Retain")
    for claim in items_of(spec, "volumeClaimTemplates"):
        fill(claim, apiVersion="v1", kind="PersistentVolumeClaim")
        claim_spec = object_of(claim, "spec")
        if claim_spec is not None:
            fill(claim_spec, volumeMode="Filesystem")
        status = claim.setdefault("status", {})
        if isinstance(status, dict):
            fill(status, phase="Pending")


def daemon_set(obj: Json) -> None:
    spec = object_of(obj, "spec")
    if spec is None:
        return
    template(spec)
    fill(spec, revisionHistoryLimit=REVISIONS_KEPT)
    strategy = spec.setdefault("updateStrategy", {})
    if isinstance(strategy, dict):
        fill(strategy, type="RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            _rolling(strategy, maxUnavailable=1, maxSurge=0)


def job(obj: Json) -> None:
    spec = object_of(obj, "spec")
    if spec is None:
        return
    template(spec)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    fill(
        spec,
        parallelism=1,
        backoffLimit=6 if spec.get("backoffLimitPerIndex") is None else _UNLIMITED,
        completionMode="NonIndexed",
        suspend=False,
        manualSelector=False,
        podReplacementPolicy="TerminatingOrFailed",
    )
    metadata = object_of(obj, "metadata")
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if metadata is not None and labels and not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def cron_job(obj: Json) -> None:
    spec = object_of(obj, "spec")
    if spec is None:
        return
    fill(
        spec,
        concurrencyPolicy="Allow",
        suspend=False,
        successfulJobsHistoryLimit=3,
        failedJobsHistoryLimit=1,
    )
    job_template = object_of(spec, "jobTemplate")
    job_spec = object_of(job_template, "spec") if job_template is not None else None
    if job_spec is not None:
        template(job_spec)
