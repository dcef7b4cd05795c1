"""Events under both names: renamed there and back, and what either form has to say."""

from __future__ import annotations

from typing import Any

import pytest

from edgevirt.engine.apiserver.kinds.events import (
    CORE_FIELDS,
    NEWER_FIELDS,
    EventConversion,
    Events,
    NewerEvents,
    in_core_form,
    in_newer_form,
)

pytestmark = pytest.mark.unit

NOW = "2026-01-01T00:00:00.000000Z"


def old(**fields: Any) -> dict[str, Any]:
    """As the core group's recorders write it."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "ns"},
        "involvedObject": {"kind": "Pod", "namespace": "ns", "name": "p"},
        "reason": "Started",
        "message": "it did",
        "source": {"component": "kubelet"},
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
        "type": "Normal",
        **fields,
    }


def new(**fields: Any) -> dict[str, Any]:
    """As the recorders of events.k8s.io write it."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "ns"},
        "regarding": {"kind": "Pod", "namespace": "ns", "name": "p"},
        "reason": "Started",
        "note": "it did",
        "eventTime": NOW,
        "reportingController": "example.com/one",
        "reportingInstance": "one-1",
        "action": "Start",
        "type": "Normal",
        **fields,
    }


@pytest.mark.parametrize(
    "event", [old(), old(series={"count": 3, "lastObservedTime": NOW}), in_core_form(new())]
)
def test_renaming_there_and_back_loses_nothing(event: dict[str, Any]) -> None:
    assert in_core_form(in_newer_form(event)) == event


def test_fields_have_their_newer_names() -> None:
    event = in_newer_form(old())
    assert (event["note"], event["regarding"]["name"], event["deprecatedCount"]) == ("it did", "p", 1)
    assert event["deprecatedSource"] == {"component": "kubelet"}
    assert event["apiVersion"] == "events.k8s.io/v1"


async def test_conversion_goes_to_the_stored_form_and_to_the_served_one() -> None:
    conversion = EventConversion()
    (stored,) = await conversion.convert([new()], conversion.storage)
    assert stored["apiVersion"] == "v1"
    assert await conversion.convert([stored], "v1") == [new()]


@pytest.mark.parametrize("event", [new(), in_core_form(new())])
def test_selectors_see_the_same_in_both_forms(event: dict[str, Any]) -> None:
    labels = Events().field_labels(event)
    assert labels["involvedObject.name"] == labels["regarding.name"] == "p"
    assert labels["reportingComponent"] == labels["reportingController"] == "example.com/one"
    assert set(labels) == CORE_FIELDS | NEWER_FIELDS


def faults(event: dict[str, Any], before: dict[str, Any] | None = None) -> list[tuple[str, str]]:
    strategy = Events() if event["apiVersion"] == "v1" else NewerEvents()
    return [(cause.field, cause.message) for cause in strategy.validate(event, before)]


def test_what_recorders_write_is_accepted() -> None:
    assert faults(old()) == []
    assert faults(new()) == []
    assert faults(in_core_form(new())) == []


def test_an_old_event_must_lie_with_its_object() -> None:
    elsewhere = {"kind": "Pod", "namespace": "other", "name": "p"}
    assert faults(old(involvedObject=elsewhere)) == [
        ("involvedObject.namespace", 'Invalid value: "other": does not match event.namespace')
    ]
    of_the_cluster = {"kind": "Node", "name": "n"}
    assert faults(old(involvedObject=of_the_cluster))
    assert faults(old(involvedObject=of_the_cluster, metadata={"name": "e", "namespace": "default"})) == []


def test_a_newer_event_must_be_complete() -> None:
    bare = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "default"},
    }
    assert faults(bare) == [
        ("eventTime", "Required value"),
        ("type", 'Invalid value: "": has invalid value: '),
    ]
    lacking = new(reportingController="", reportingInstance="", action="", reason="")
    assert [field for field, message in faults(lacking) if message == "Required value"] == [
        "reportingController",
        "reportingInstance",
        "action",
        "reason",
    ]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"type": "Odd"}, "type"),
        ({"deprecatedCount": 2}, "count"),
        ({"deprecatedSource": {"component": "x"}}, "source"),
        ({"series": {"count": 1, "lastObservedTime": NOW}}, "series.count"),
        ({"series": {"count": 2}}, "series.lastObservedTime"),
        ({"action": "x" * 129}, "action"),
        ({"note": "x" * 1025}, "message"),
        ({"reportingController": "a b"}, "reportingController"),
    ],
)
def test_a_newer_event_is_refused_with_the_field(fields: dict[str, Any], field: str) -> None:
    assert [name for name, _ in faults(new(**fields))] == [field]


def test_only_the_series_of_a_newer_event_changes() -> None:
    before = new()
    assert faults(new(series={"count": 2, "lastObservedTime": NOW}), before) == []
    assert faults(new(note="other"), before) == [("message", 'Invalid value: "other": field is immutable')]
