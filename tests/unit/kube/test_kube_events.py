from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_api import FakeApi, InMemoryClient, failure

from edgevirt.api.core import Node, Pod
from edgevirt.api.meta import ObjectMeta
from edgevirt.kube import events
from edgevirt.kube.clock import FakeClock, settle
from edgevirt.kube.events import EventRecorder

pytestmark = pytest.mark.unit

POD = Pod(api_version="v1", kind="Pod", metadata=ObjectMeta(name="p", namespace="ns", uid="u1"))
WHERE = "/api/v1/namespaces/ns/events"


class Recording:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.clock = FakeClock()
        self.recorder = EventRecorder(
            InMemoryClient(self.api, self.clock), component="virt-handler", host="n1", random_=lambda: 0.0
        )

    @property
    def events(self) -> list[dict[str, Any]]:
        return list(self.api.objects.values())


@contextlib.asynccontextmanager
async def recording() -> AsyncIterator[Recording]:
    it = Recording()
    task = asyncio.create_task(it.recorder.run())
    try:
        yield it
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_an_event_says_who_what_and_when() -> None:
    async with recording() as it:
        it.recorder.warning(POD, "FailedMount", "no such secret")
        await it.recorder.flush()
        (event,) = it.events
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "p",
        "namespace": "ns",
        "uid": "u1",
    }
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "FailedMount", "no such secret")
    assert event["count"] == 1
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-01T00:00:00Z"
    assert event["source"] == {"component": "virt-handler", "host": "n1"}
    assert event["metadata"]["name"].startswith("p.")


async def test_repeats_within_ten_minutes_are_counted_on_the_first() -> None:
    async with recording() as it:
        for _ in range(3):
            it.recorder.normal(POD, "Started", "up")
            await it.recorder.flush()
            await it.clock.advance(300)
        it.recorder.normal(POD, "Started", "up, differently")
        await it.recorder.flush()
        first, second = it.events
    assert (first["count"], first["firstTimestamp"], first["lastTimestamp"]) == (
        3,
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:10:00Z",
    )
    assert second["count"] == 1


async def test_after_ten_quiet_minutes_a_repeat_is_a_new_event() -> None:
    async with recording() as it:
        it.recorder.normal(POD, "Started", "up")
        await it.recorder.flush()
        await it.clock.advance(601)
        it.recorder.normal(POD, "Started", "up")
        await it.recorder.flush()
        assert [event["count"] for event in it.events] == [1, 1]


async def test_a_repeat_of_an_expired_event_starts_anew() -> None:
    async with recording() as it:
        it.recorder.normal(POD, "Started", "up")
        await it.recorder.flush()
        it.api.objects.clear()
        it.recorder.normal(POD, "Started", "up")
        await it.recorder.flush()
        assert [event["count"] for event in it.events] == [1]


async def test_events_of_cluster_scoped_objects_go_to_default() -> None:
    async with recording() as it:
        it.recorder.normal(
            Node(api_version="v1", kind="Node", metadata=ObjectMeta(name="n1")), "NodeReady", "ready"
        )
        await it.recorder.flush()
        assert next(iter(it.api.objects)).startswith("/api/v1/namespaces/default/events/n1.")


async def test_an_object_that_talks_too_much_is_throttled_and_others_are_not() -> None:
    async with recording() as it:
        for number in range(100):
            it.recorder.warning(POD, "Loop", f"turn {number}")
        other = Pod(api_version="v1", kind="Pod", metadata=ObjectMeta(name="q", namespace="ns", uid="u2"))
        it.recorder.normal(other, "Started", "up")
        await it.recorder.flush()
        assert len(it.events) == 26
        assert it.recorder.dropped == 75
        await it.clock.advance(300)
        it.recorder.warning(POD, "Loop", "later")
        await it.recorder.flush()
        assert len(it.events) == 27


async def test_recording_never_blocks_when_the_server_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(events, "QUEUE_SIZE", 5)
    caplog.set_level(logging.CRITICAL)
    async with recording() as it:
        it.api.unreachable = True
        for number in range(20):
            it.recorder.normal(POD, "Started", f"message {number}")
        assert it.recorder.dropped == 15
        await it.clock.advance(2)
        it.api.unreachable = False
        await it.clock.advance(10)
        assert len(it.events) == 5, "what was queued is written once the server is back"


async def test_an_event_the_server_refuses_is_given_up() -> None:
    async with recording() as it:
        it.api.fail_next("POST", failure(403, "Forbidden", "namespace is being terminated"))
        it.recorder.normal(POD, "Started", "one")
        it.recorder.normal(POD, "Started", "two")
        await settle()
        await it.recorder.flush()
        assert [event["message"] for event in it.events] == ["two"]
        assert it.recorder.dropped == 1
