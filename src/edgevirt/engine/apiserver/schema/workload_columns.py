"""The table columns of Deployment, ReplicaSet, StatefulSet, DaemonSet, Job and CronJob."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgevirt.engine.apiserver.registry import Column
from edgevirt.engine.apiserver.schema import Json
from edgevirt.engine.apiserver.schema.ages import UNKNOWN, Since, short_duration
from edgevirt.engine.apiserver.schema.timestamps import parse_time

NONE = "<none>"

Cell = Callable[[Json], Any]


def _at(obj: Any, *path: str) -> Any:
    for name in path:
        obj = obj.get(name) if isinstance(obj, dict) else None
    return obj


def _number(*path: str) -> Cell:
    return lambda obj: _at(obj, *path) or 0


def _ready(obj: Json) -> str:
    wanted = _at(obj, "spec", "replicas")
    return f"{_at(obj, 'status', 'readyReplicas') or 0}/{0 if wanted is None else wanted}"


def label_selector_text(selector: Any) -> str:
    """A label selector as kubectl writes one on its command line; "" for an empty one."""
    if not isinstance(selector, dict):
        return ""
    labels = selector.get("matchLabels") or {}
    pieces = {key: f"{key}={value}" for key, value in labels.items()}
    words = {"In": "in", "NotIn": "notin"}
    for expression in selector.get("matchExpressions") or ():
        key, operator = expression.get("key", ""), expression.get("operator", "")
        if operator in words:
            text = f"{key} {words[operator]} ({','.join(sorted(expression.get('values') or ()))})"
        else:
            text = key if operator == "Exists" else f"!{key}"
        pieces[f"{key}\x00{len(pieces)}" if key in pieces else key] = text
    return ",".join(pieces[key] for key in sorted(pieces))


def _selector(obj: Json) -> str:
    return label_selector_text(_at(obj, "spec", "selector")) or NONE


def _containers(name: str, *template: str) -> Cell:
    def cell(obj: Json) -> str:
        found = _at(obj, *template, "spec", "containers") or ()
        return ",".join(str(container.get(name) or "") for container in found)

    return cell


def _column(name: str, cell: Cell, text: str, kind: str = "string", priority: int = 0) -> Column:
    return Column(name, type=kind, description=text, priority=priority, cell=cell)


def _pod_columns(*template: str) -> tuple[Column, ...]:
    return (
        _column("Containers", _containers("name", *template), "Names of the containers.", priority=1),
        _column("Images", _containers("image", *template), "Images of the containers.", priority=1),
    )


_SELECTOR = _column("Selector", _selector, "Labels of the pods.", priority=1)
_TEMPLATE = ("spec", "template")


def _job_status(job: Json) -> str:
    conditions = {
        condition.get("type"): condition.get("status") == "True"
        for condition in _at(job, "status", "conditions") or ()
    }
    for kind in ("Complete", "Failed"):
        if conditions.get(kind):
            return kind
    if _at(job, "metadata", "deletionTimestamp"):
        return "Terminating"
    if conditions.get("Suspended"):
        return "Suspended"
    for kind, word in (("FailureTarget", "FailureTarget"), ("SuccessCriteriaMet", "SuccessCriteriaMet")):
        if conditions.get(kind):
            return word
    return "Running"


def _completions(job: Json) -> str:
    done = _at(job, "status", "succeeded") or 0
    wanted = _at(job, "spec", "completions")
    if wanted is not None:
        return f"{done}/{wanted}"
    parallelism = _at(job, "spec", "parallelism") or 0
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _duration(job: Json) -> Any:
    began, ended = _at(job, "status", "startTime"), _at(job, "status", "completionTime")
    if not began:
        return ""
    if not ended:
        return Since(began)
    first, last = parse_time(began), parse_time(ended)
    return UNKNOWN if first is None or last is None else short_duration((last - first).total_seconds())


def _last_schedule(cron: Json) -> Any:
    last = _at(cron, "status", "lastScheduleTime")
    return Since(last) if last else NONE


def _node_selector(obj: Json) -> str:
    labels = _at(obj, *_TEMPLATE, "spec", "nodeSelector") or {}
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) or NONE


def workload_columns(name: Column, age: Column) -> dict[tuple[str, str], tuple[Column, ...]]:
    """Columns by group and plural; `name` and `age` are those every kind has."""
    return {
        ("apps", "deployments"): (
            name,
            _column("Ready", _ready, "Pods that are ready, of those wanted."),
            _column("Up-to-date", _number("status", "updatedReplicas"), "Pods of the template.", "string"),
            _column("Available", _number("status", "availableReplicas"), "Pods available.", "string"),
            age,
            *_pod_columns(*_TEMPLATE),
            _SELECTOR,
        ),
        ("apps", "replicasets"): (
            name,
            _column("Desired", _number("spec", "replicas"), "Pods wanted.", "integer"),
            _column("Current", _number("status", "replicas"), "Pods there are.", "integer"),
            _column("Ready", _number("status", "readyReplicas"), "Pods that are ready.", "integer"),
            age,
            *_pod_columns(*_TEMPLATE),
            _SELECTOR,
        ),
        ("apps", "statefulsets"): (
            name,
            _column("Ready", _ready, "Pods that are ready, of those wanted."),
            age,
            *_pod_columns(*_TEMPLATE),
        ),
        ("apps", "daemonsets"): (
            name,
            _column("Desired", _number("status", "desiredNumberScheduled"), "Nodes meant.", "integer"),
            _column("Current", _number("status", "currentNumberScheduled"), "Nodes with a pod.", "integer"),
            _column("Ready", _number("status", "numberReady"), "Pods that are ready.", "integer"),
            _column("Up-to-date", _number("status", "updatedNumberScheduled"), "Of the template.", "integer"),
            _column("Available", _number("status", "numberAvailable"), "Pods available.", "integer"),
            _column("Node Selector", _node_selector, "Labels of the nodes meant."),
            age,
            *_pod_columns(*_TEMPLATE),
            _SELECTOR,
        ),
        ("batch", "jobs"): (
            name,
            _column("Status", _job_status, "How far the job is."),
            _column("Completions", _completions, "Pods that succeeded, of those wanted."),
            _column("Duration", _duration, "How long it took, or has taken so far."),
            age,
            *_pod_columns(*_TEMPLATE),
            _SELECTOR,
        ),
        ("batch", "cronjobs"): (
            name,
            _column("Schedule", lambda obj: _at(obj, "spec", "schedule") or "", "When jobs are made."),
            _column("Timezone", lambda obj: _at(obj, "spec", "timeZone") or NONE, "Zone of the schedule."),
            _column(
                "Suspend", lambda obj: str(bool(_at(obj, "spec", "suspend"))), "No jobs are made.", "boolean"
            ),
            _column(
                "Active", lambda obj: len(_at(obj, "status", "active") or ()), "Jobs running.", "integer"
            ),
            _column("Last Schedule", _last_schedule, "Time since a job was last made."),
            age,
            *_pod_columns("spec", "jobTemplate", "spec", "template"),
            _column(
                "Selector",
                lambda obj: label_selector_text(_at(obj, "spec", "jobTemplate", "spec", "selector")) or NONE,
                "Labels of the pods.",
                priority=1,
            ),
        ),
    }
