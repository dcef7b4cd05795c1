"""Kubernetes core/v1: Event."""

from __future__ import annotations

from edgevirt.api.core.references import ObjectReference
from edgevirt.api.meta import KubeObject, Struct, Time


class EventSeries(Struct):
    count: int | None = None
    last_observed_time: Time = ""


class EventSource(Struct):
    component: str = ""
    host: str = ""


class Event(KubeObject):
    action: str = ""
    count: int | None = None
    event_time: Time = ""
    first_timestamp: Time = ""
    involved_object: ObjectReference | None = None
    last_timestamp: Time = ""
    message: str = ""
    reason: str = ""
    related: ObjectReference | None = None
    reporting_component: str = ""
    reporting_instance: str = ""
    series: EventSeries | None = None
    source: EventSource | None = None
    type: str = ""
