"""Kubernetes events types."""

from __future__ import annotations

from edgevirt.api.core import EventSource, ObjectReference
from edgevirt.api.meta import KubeObject, Struct, Time


class EventSeries(Struct):
    count: int | None = None
    last_observed_time: Time = ""


class Event(KubeObject):
    action: str = ""
    deprecated_count: int | None = None
    deprecated_first_timestamp: Time = ""
    deprecated_last_timestamp: Time = ""
    deprecated_source: EventSource | None = None
    event_time: Time = ""
    note: str = ""
    reason: str = ""
    regarding: ObjectReference | None = None
    related: ObjectReference | None = None
    reporting_controller: str = ""
    reporting_instance: str = ""
    series: EventSeries | None = None
    type: str = ""
