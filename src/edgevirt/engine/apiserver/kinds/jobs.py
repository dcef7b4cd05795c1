"""Job and CronJob: the selector a job is given, the parts of it that stay, and what is not carried out here.

Fields this engine's job controller does not act on (failure and success policies, limits per index, other
controllers) are refused by name.
"""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.kinds.label_selector import selector_faults
from edgevirt.engine.apiserver.kinds.strategies import WithStatus, forbidden_cause
from edgevirt.engine.apiserver.kinds.workload import (
    counts,
    mismatch,
    status_faults,
    template_faults,
)
from edgevirt.engine.apiserver.registry import WriteContext
from edgevirt.engine.apiserver.schema import invalid, required

Json = dict[str, Any]

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
_LABELS = {CONTROLLER_UID: "uid", "controller-uid": "uid", JOB_NAME: "name", "job-name": "name"}
_REFUSED = ("podFailurePolicy", "successPolicy", "backoffLimitPerIndex", "maxFailedIndexes")
_POLICIES = ("OnFailure", "Never")
_MAX_INDEXED = 100_000
_SCHEDULING = ("nodeSelector", "tolerations", "affinity", "schedulingGates")


class Jobs(WithStatus):
    """Job."""

    def __init__(self) -> None:
        super().__init__({})

    def prepare_for_create(self, obj: Json, context: WriteContext) -> None:
        super().prepare_for_create(obj, context)
        spec = obj.get("spec") or {}
        if not spec.get("manualSelector") and isinstance(spec.get("template"), dict):
            _generate_selector(spec, obj["metadata"])

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        spec = obj.get("spec") or {}
        causes = job_spec_faults(spec, "spec")
        if spec.get("selector") is None:
            causes.append(required("spec.selector"))
        else:
            causes.extend(selector_faults(spec["selector"], "spec.selector"))
            causes.extend(mismatch(spec["selector"], spec.get("template") or {}))
        causes.extend(status_faults(obj.get("status") or {}))
        if old is not None:
            causes.extend(_change_faults(spec, old.get("spec") or {}, old.get("status") or {}))
        return causes

    def field_labels(self, obj: Json) -> dict[str, str]:
        return {"status.successful": str((obj.get("status") or {}).get("succeeded") or 0)}


def _generate_selector(spec: Json, metadata: Json) -> None:
    """Labels of this job alone on its pods, and the selector that finds them."""
    template = spec["template"]
    own = template.setdefault("metadata", {})
    generated = {label: metadata.get(field) or "" for label, field in _LABELS.items()}
    labels = own.get("labels") or {}
    own["labels"] = {**{k: v for k, v in generated.items() if k not in labels}, **labels}
    selector = spec.get("selector")
    if selector is None:
        spec["selector"] = {"matchLabels": {CONTROLLER_UID: generated[CONTROLLER_UID]}}
    own["labels"].update({CONTROLLER_UID: generated[CONTROLLER_UID]} if selector is None else {})


def job_spec_faults(spec: Json, path: str) -> list[Cause]:
    """Faults of a job's spec, in a job or in the template of a cron job."""
    causes = counts(
        spec,
        path,
        ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"),
    )
    causes.extend(
        forbidden_cause(f"{path}.{field}", "this server's job controller does not implement it")
        for field in _REFUSED
        if spec.get(field) is not None
    )
    if spec.get("managedBy") not in (None, "", "kubernetes.io/job-controller"):
        text = "this server's job controller does not implement it"
        causes.append(forbidden_cause(f"{path}.managedBy", text))
    if spec.get("completionMode") == "Indexed":
        if spec.get("completions") is None:
            text = "when completion mode is Indexed"
            causes.append(required(f"{path}.completions", text))
        elif (spec.get("parallelism") or 0) > _MAX_INDEXED:
            text = f"must be less than or equal to {_MAX_INDEXED} when completion mode is Indexed"
            causes.append(invalid(f"{path}.parallelism", spec["parallelism"], text))
    template = spec.get("template") or {}
    causes.extend(template_faults(template, f"{path}.template", ()))
    policy = (template.get("spec") or {}).get("restartPolicy")
    causes = [cause for cause in causes if cause.field != f"{path}.template.spec.restartPolicy"]
    if policy not in _POLICIES:
        text = "valid values: " + ", ".join(f'"{name}"' for name in _POLICIES)
        causes.append(required(f"{path}.template.spec.restartPolicy", text))
    return causes


def _change_faults(spec: Json, before: Json, status: Json) -> list[Cause]:
    causes: list[Cause] = []
    indexed = spec.get("completionMode") == "Indexed"
    elastic = indexed and spec.get("completions") == spec.get("parallelism")
    if spec.get("completions") != before.get("completions") and not elastic:
        causes.append(invalid("spec.completions", spec.get("completions"), "field is immutable"))
    causes.extend(
        invalid(f"spec.{field}", spec.get(field), "field is immutable")
        for field in ("selector", "completionMode")
        if spec.get(field) != before.get(field)
    )
    suspended_fresh = bool(before.get("suspend")) and not status.get("startTime")
    if _fixed(spec.get("template") or {}, suspended_fresh) != _fixed(
        before.get("template") or {}, suspended_fresh
    ):
        causes.append(invalid("spec.template", spec.get("template"), "field is immutable"))
    return causes


def _fixed(template: Json, suspended: bool) -> Json:
    """The part of a template that stays; a suspended job that never ran may still be placed elsewhere."""
    if not suspended:
        return template
    spec = {name: value for name, value in (template.get("spec") or {}).items() if name not in _SCHEDULING}
    return {"spec": spec}


class CronJobs(WithStatus):
    """CronJob."""

    def __init__(self) -> None:
        super().__init__({})

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        # Not imported before the first cron job: most boxes never have one.
        from edgevirt.engine.cron import Schedule, ScheduleError, zone

        spec = obj.get("spec") or {}
        fields = ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
        causes = counts(spec, "spec", fields)
        text = spec.get("schedule") or ""
        if text:
            if "TZ" in text:
                fault = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
                causes.append(invalid("spec.schedule", text, fault))
            else:
                try:
                    Schedule.parse(text)
                except ScheduleError as error:
                    causes.append(invalid("spec.schedule", text, str(error)))
        causes.extend(_zone_faults(spec, zone))
        template = (spec.get("jobTemplate") or {}).get("spec") or {}
        path = "spec.jobTemplate.spec"
        causes.extend(job_spec_faults(template, path))
        if template.get("manualSelector"):
            causes.append(
                Cause(
                    "FieldValueNotSupported",
                    "Unsupported value: true: supported values: nil, false",
                    f"{path}.manualSelector",
                )
            )
        name = obj["metadata"].get("name") or ""
        if old is None and len(name) > 52:
            causes.append(
                Cause(
                    "FieldValueInvalid",
                    f'Invalid value: "{name}": must be no more than 52 characters',
                    "metadata.name",
                )
            )
        return causes


def _zone_faults(spec: Json, zone: Any) -> list[Cause]:
    name = spec.get("timeZone")
    if name is None:
        return []
    if not name:
        return [invalid("spec.timeZone", name, "timeZone must be nil or non-empty string")]
    if name.lower() == "local":
        return [
            invalid(
                "spec.timeZone",
                name,
                "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
            )
        ]
    return [] if zone(name) is not None else [invalid("spec.timeZone", name, f"unknown time zone {name}")]
