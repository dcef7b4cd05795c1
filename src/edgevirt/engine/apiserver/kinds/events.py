"""Event, served twice: in the core group and, under newer names, in events.k8s.io.

Both are one collection, stored in the core group's form. What is written through events.k8s.io has to be
complete and, but for its series, stays as it is; the older form asks for little. An event with an eventTime
is of the newer kind whichever way it came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.kinds.strategies import Plain
from edgevirt.engine.apiserver.names import invalid_value, label_key_faults
from edgevirt.engine.apiserver.schema import required

Json = dict[str, Any]

_NEWER_NAMES = {
    "message": "note",
    "involvedObject": "regarding",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
"""The fields that events.k8s.io calls otherwise; all others have one name."""
_CORE_NAMES = {newer: core for core, newer in _NEWER_NAMES.items()}

_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
CORE_FIELDS = frozenset(
    {"reason", "type", "reportingComponent", "source", *(f"involvedObject.{name}" for name in _REFERENCE)}
)
NEWER_FIELDS = frozenset(
    {"reason", "type", "reportingController", *(f"regarding.{name}" for name in _REFERENCE)}
)
"""What field selectors can ask for, in either group."""

_MAX_NOTE, _MAX_WORD = 1024, 128
_OF_THE_CLUSTER = ("", "default")
"""Where events about objects without a namespace are kept."""
_MUST_BE_UNSET = ("firstTimestamp", "lastTimestamp", "count", "source")
_UNCHANGEABLE = (
    *("involvedObject", "reason", "message", "type", "eventTime", "action", "related"),
    *("reportingComponent", "reportingInstance"),
    *_MUST_BE_UNSET,
)


class EventConversion:
    """Renames fields. Only the resource of events.k8s.io has it: the other one is what is stored."""

    storage = "core"
    """No version of events.k8s.io, so that `convert` can tell which way to go."""

    async def convert(self, objects: Sequence[Json], version: str) -> list[Json]:
        return [in_core_form(obj) if version == self.storage else in_newer_form(obj) for obj in objects]


def in_core_form(event: Json) -> Json:
    return _renamed(event, "v1", _CORE_NAMES)


def in_newer_form(event: Json) -> Json:
    return _renamed(event, "events.k8s.io/v1", _NEWER_NAMES)


def _renamed(event: Json, api_version: str, names: Mapping[str, str]) -> Json:
    if event.get("apiVersion") == api_version:
        return event
    return {names.get(name, name): value for name, value in event.items()} | {"apiVersion": api_version}


class Events(Plain):
    """The core group's. Its selectors' values serve both groups, because they are worked out once."""

    def field_labels(self, obj: Json) -> dict[str, str]:
        event = in_core_form(obj)
        involved, source = event.get("involvedObject") or {}, event.get("source") or {}
        controller = event.get("reportingComponent") or ""
        about = {name: involved.get(name) or "" for name in _REFERENCE}
        return {
            **{f"involvedObject.{name}": value for name, value in about.items()},
            **{f"regarding.{name}": value for name, value in about.items()},
            "reason": event.get("reason") or "",
            "reportingComponent": controller,
            "reportingController": controller,
            "source": source.get("component") or controller,
            "type": event.get("type") or "",
        }

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        return list(_common_faults(obj, "reportingComponent"))


class NewerEvents(Events):
    """Those of events.k8s.io; faults name the fields as the core group does, as Kubernetes' do."""

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        event = in_core_form(obj)
        causes = list(_common_faults(event, "reportingController"))
        if old is None:
            return [*causes, *_creation_faults(event)]
        before = in_core_form(old)
        if event.get("series") != before.get("series"):
            causes += _series_faults(event)
        for name in _UNCHANGEABLE:
            if (event.get(name) or None) != (before.get(name) or None):
                path = "reportingController" if name == "reportingComponent" else name
                causes.append(invalid_value(path, event.get(name), "field is immutable"))
        return causes


def _common_faults(event: Json, controller_field: str) -> Iterator[Cause]:
    """What is asked of every event: little of an old one, everything of one with an eventTime."""
    namespace = event["metadata"].get("namespace") or ""
    involved = (event.get("involvedObject") or {}).get("namespace") or ""
    newer = bool(event.get("eventTime"))
    if involved:
        fits = newer or involved == namespace
    else:
        fits = namespace in (*_OF_THE_CLUSTER, *(("kube-system",) if newer else ()))
    if not fits:
        yield invalid_value("involvedObject.namespace", involved, "does not match event.namespace")
    if not newer:
        return
    controller = event.get("reportingComponent") or ""
    if not controller:
        yield required(controller_field)
    for fault in label_key_faults(controller):
        yield invalid_value(controller_field, controller, fault)
    for name in ("reportingInstance", "action", "reason"):
        value = event.get(name) or ""
        if not value:
            yield required(name)
        elif len(value.encode()) > _MAX_WORD:
            yield invalid_value(name, "", f"can have at most {_MAX_WORD} characters")
    if len((event.get("message") or "").encode()) > _MAX_NOTE:
        yield invalid_value("message", "", f"can have at most {_MAX_NOTE} characters")


def _creation_faults(event: Json) -> Iterator[Cause]:
    if not event.get("eventTime"):
        yield required("eventTime")
    yield from _series_faults(event)
    if event.get("type") not in ("Normal", "Warning"):
        yield invalid_value("type", "", f"has invalid value: {event.get('type') or ''}")
    for name in _MUST_BE_UNSET:
        if event.get(name):
            yield invalid_value(name, "", "needs to be unset")


def _series_faults(event: Json) -> Iterator[Cause]:
    series = event.get("series")
    if series is None:
        return
    if (series.get("count") or 0) < 2:
        yield invalid_value("series.count", "", "should be at least 2")
    if not series.get("lastObservedTime"):
        yield required("series.lastObservedTime")
