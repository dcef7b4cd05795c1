from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from fake_api import FakeApi, FakeServer, InMemoryClient, WatchConnection, client_for, failure, serve

from edgevirt.api.core import Pod
from edgevirt.api.resources import PODS
from edgevirt.kube import errors, watch
from edgevirt.kube.backoff import BackoffPolicy
from edgevirt.kube.clock import FakeClock
from edgevirt.kube.informer import Informer

pytestmark = pytest.mark.unit

WHERE = "/api/v1/namespaces/ns/pods"


class Follower:
    """An informer on a served fake, and everything its handler was told."""

    def __init__(self, server: FakeServer, informer: Informer[Pod]) -> None:
        self.api = server.api
        self.server = server
        self.informer = informer
        self._told: asyncio.Queue[str] = asyncio.Queue()
        informer.add_handler(self._handle)

    def _handle(self, old: Pod | None, new: Pod | None) -> None:
        one = new or old
        assert one is not None
        what = "add" if old is None else "update" if new is not None else "delete"
        self._told.put_nowait(
            f"{what} {one.metadata.name} {one.metadata.uid} @{one.metadata.resource_version}"
        )

    async def told(self, count: int) -> list[str]:
        async with asyncio.timeout(5):
            return [await self._told.get() for _ in range(count)]

    @property
    def nothing_more(self) -> bool:
        return self._told.empty()

    @property
    def names(self) -> list[str]:
        return sorted(pod.metadata.name for pod in self.informer.items())

    async def change(self, stream: WatchConnection, name: str, **fields: Any) -> None:
        """Change an object and deliver the event."""
        self.api.put(WHERE, name, **fields)
        await self.deliver(stream)

    async def deliver(self, stream: WatchConnection) -> None:
        _, _, kind, obj = self.api.log[-1]
        await stream.send(kind, obj)

    def lists(self) -> int:
        return sum(1 for call in self.api.calls if call.method == "GET" and call.path == "/api/v1/pods")


@contextlib.asynccontextmanager
async def following(*names: str, start: bool = True) -> AsyncIterator[Follower]:
    api = FakeApi()
    for name in names:
        api.put(WHERE, name)
    async with serve(api) as server, client_for(server) as client:
        informer = Informer(client, PODS, backoff=BackoffPolicy(base=0.001, cap=0.01, jitter=0))
        follower = Follower(server, informer)
        task = asyncio.create_task(informer.run())
        try:
            yield follower
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled(), task.exception()


async def test_the_first_list_becomes_additions_and_then_changes_arrive() -> None:
    async with following("a", "b") as it:
        await it.informer.synced()
        assert await it.told(2) == ["add a uid-a @101", "add b uid-b @102"]
        stream = await it.server.next_watch()
        assert stream.params["resourceVersion"] == "102"
        assert stream.params["allowWatchBookmarks"] == "true"
        await it.change(stream, "a", spec={"nodeName": "n1"})
        assert await it.told(1) == ["update a uid-a @103"]
        found = it.informer.get("a", "ns")
        assert found is not None
        assert found.spec is not None
        assert (found.spec.node_name, found.kind, found.api_version) == ("n1", "Pod", "v1")
        it.api.remove(f"{WHERE}/b")
        await it.deliver(stream)
        assert await it.told(1) == ["delete b uid-b @104"]
        assert it.names == ["a"]


async def test_a_watch_that_ends_is_resumed_without_listing_again() -> None:
    async with following("a") as it:
        stream = await it.server.next_watch()
        await it.change(stream, "a")
        await it.told(2)
        stream.end()
        again = await it.server.next_watch()
        assert again.params["resourceVersion"] == "102"
        assert it.lists() == 1


async def test_a_bookmark_moves_the_point_of_resumption() -> None:
    async with following("a") as it:
        stream = await it.server.next_watch()
        await stream.bookmark(555)
        stream.end()
        again = await it.server.next_watch()
        assert again.params["resourceVersion"] == "555"
        await it.told(1)
        assert it.nothing_more, "a bookmark is no change"


async def test_a_connection_that_breaks_is_resumed_at_the_last_event() -> None:
    async with following("a") as it:
        stream = await it.server.next_watch()
        await it.change(stream, "b")
        await it.told(2)
        stream.break_off()
        again = await it.server.next_watch()
        assert again.params["resourceVersion"] == "102"
        assert it.lists() == 1


@pytest.mark.parametrize("within_stream", [True, False])
async def test_410_leads_to_a_new_list_and_deletes_what_vanished(within_stream: bool) -> None:
    async with following("gone", "kept", "renewed") as it:
        stream = await it.server.next_watch()
        await it.told(3)
        it.api.remove(f"{WHERE}/gone")
        it.api.put(WHERE, "renewed", metadata={"uid": "uid-second"})
        it.api.put(WHERE, "new")
        if within_stream:
            await stream.send("ERROR", failure(410, "Expired", "too old resource version"))
        else:
            it.server.raw_answers.append(
                (
                    410,
                    b'{"kind":"Status","code":410,"reason":"Expired"}',
                    {"Content-Type": "application/json"},
                )
            )
            stream.end()
        again = await it.server.next_watch()
        assert sorted(await it.told(4)) == [
            "add new uid-new @106",
            "add renewed uid-second @105",
            "delete gone uid-gone @101",
            "delete renewed uid-renewed @103",
        ]
        assert again.params["resourceVersion"] == "106"
        assert it.lists() == 2
        assert it.names == ["kept", "new", "renewed"]
        assert it.nothing_more, "what did not change is not told again"


async def test_an_event_that_trickles_in_byte_by_byte_is_understood() -> None:
    async with following() as it:
        stream = await it.server.next_watch()
        it.api.put(WHERE, "slow")
        meta = b'{"name":"slow","namespace":"ns","uid":"u","resourceVersion":"9"}'
        line = b'{"type":"ADDED","object":{"metadata":' + meta + b"}}\n"
        for start in range(0, len(line), 7):
            await stream.send_bytes(line[start : start + 7])
        assert await it.told(1) == ["add slow u @9"]


async def test_an_oversized_event_breaks_the_watch_but_not_the_informer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edgevirt.kube.client.MAX_LINE", 10_000)
    caplog.set_level(logging.CRITICAL)
    async with following("a") as it:
        stream = await it.server.next_watch()
        await it.told(1)
        await stream.send_bytes(b"x" * 20_000)
        stream.end()
        again = await it.server.next_watch()
        await it.change(again, "a")
        assert await it.told(1) == ["update a uid-a @102"]


async def test_an_event_that_makes_no_sense_leads_to_a_new_list() -> None:
    async with following("a") as it:
        stream = await it.server.next_watch()
        await stream.send_bytes(b'{"type":"ADDED","object":{"metadata":{"name":7}}}\n')
        await it.server.next_watch()
        assert it.lists() == 2


async def test_nulls_that_go_writes_for_absent_fields_are_understood() -> None:
    async with following() as it:
        stream = await it.server.next_watch()
        await it.change(stream, "a", spec={"containers": None, "nodeName": None}, status={"phase": "Pending"})
        await it.told(1)
        found = it.informer.get("a", "ns")
        assert found is not None
        assert found.spec is not None
        assert found.spec.containers == ()
        assert found.status is not None
        assert found.status.phase == "Pending"


async def test_lists_longer_than_a_page_are_complete() -> None:
    names = [f"pod-{number:04d}" for number in range(1203)]
    async with following(*names) as it:
        await it.informer.synced()
        assert it.names == names
        assert it.lists() == 3


async def test_an_api_server_that_is_not_up_yet_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    api = FakeApi()
    api.fail_next("GET", *(failure(500, "InternalError") for _ in range(4)))
    api.put(WHERE, "a")
    async with serve(api) as server, client_for(server) as client:
        informer = Informer(client, PODS, backoff=BackoffPolicy(base=0.001, jitter=0))
        task = asyncio.create_task(informer.run())
        async with asyncio.timeout(5):
            await informer.synced()
        assert informer.get("a", "ns") is not None
        task.cancel()
        await asyncio.wait([task])


async def test_a_handler_that_raises_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    async with following() as it:

        def broken(old: Pod | None, new: Pod | None) -> None:
            raise RuntimeError("a bug in a handler")

        it.informer._handlers.insert(0, broken)
        stream = await it.server.next_watch()
        await it.change(stream, "a")
        assert await it.told(1) == ["add a uid-a @101"]


async def test_our_own_write_is_seen_at_once_and_told_once() -> None:
    async with following("a") as it:
        stream = await it.server.next_watch()
        await it.told(1)
        async with client_for(it.server) as client:
            answer = await client.patch(PODS, "a", {"spec": {"nodeName": "n1"}}, namespace="ns")
        it.informer.put(answer)
        assert await it.told(1) == ["update a uid-a @102"]
        await it.deliver(stream)
        await it.change(stream, "b")
        assert await it.told(1) == ["add b uid-b @103"], "the watch's copy of our write is not news"


async def test_the_answer_to_an_old_write_does_not_resurrect_a_deleted_object() -> None:
    async with following("a") as it:
        stream = await it.server.next_watch()
        await it.told(1)
        async with client_for(it.server) as client:
            answer = await client.patch(PODS, "a", {"spec": {"nodeName": "n1"}}, namespace="ns")
        it.api.remove(f"{WHERE}/a")
        await it.deliver(stream)
        assert await it.told(1) == ["delete a uid-a @103"]
        it.informer.put(answer)
        assert it.names == []
        assert it.nothing_more


async def test_an_index_follows_every_change() -> None:
    async with following() as it:
        it.informer.add_index(
            "node", lambda pod: [pod.spec.node_name] if pod.spec and pod.spec.node_name else []
        )
        stream = await it.server.next_watch()
        await it.change(stream, "a", spec={"nodeName": "n1"})
        await it.change(stream, "b", spec={"nodeName": "n1"})
        await it.change(stream, "b", spec={"nodeName": "n2"})
        await it.told(3)
        assert [pod.metadata.name for pod in it.informer.by_index("node", "n1")] == ["a"]
        assert [pod.metadata.name for pod in it.informer.by_index("node", "n2")] == ["b"]
        it.api.remove(f"{WHERE}/a")
        await it.deliver(stream)
        await it.told(1)
        assert it.informer.by_index("node", "n1") == ()


async def test_managed_fields_do_not_stay_in_memory() -> None:
    async with following() as it:
        stream = await it.server.next_watch()
        await it.change(stream, "a", metadata={"managedFields": [{"manager": "kubectl"}]})
        await it.told(1)
        found = it.informer.get("a", "ns")
        assert found is not None
        assert found.metadata.managed_fields == ()


def test_lines_are_cut_wherever_the_reads_were_cut() -> None:
    text = b'{"a":1}\n{"b":22}\n\n{"c":333}\n'
    for size in range(1, len(text) + 1):
        splitter = watch.LineSplitter()
        lines = [line for at in range(0, len(text), size) for line in splitter.feed(text[at : at + size])]
        assert lines == [b'{"a":1}', b'{"b":22}', b'{"c":333}']
        assert not splitter.incomplete


@pytest.mark.parametrize("size", [1, 5, 100])
def test_a_line_longer_than_the_bound_is_refused_before_it_is_complete(size: int) -> None:
    splitter = watch.LineSplitter(limit=20)
    splitter.feed(b"short\n")
    for _ in range(20 // size):
        assert splitter.feed(b"x" * size) == []
    with pytest.raises(watch.LineTooLong):
        splitter.feed(b"x" * size)


async def test_a_watch_that_worked_for_long_is_resumed_at_once_when_it_breaks() -> None:
    api, clock = FakeApi(), FakeClock()
    connected: list[float] = []

    class Breaking(InMemoryClient):
        async def watch(self, *arguments: Any, **options: Any) -> AsyncGenerator[Any, None]:
            connected.append(clock.monotonic())
            if len(connected) == 4:
                await clock.sleep(600)
            raise errors.ConnectionFailed("broken")
            yield

    policy = BackoffPolicy(base=1, factor=10, cap=1000, jitter=0)
    informer = Informer(Breaking(api, clock), PODS, backoff=policy)
    task = asyncio.create_task(informer.run())
    await clock.advance(111)
    assert connected == [0, 1, 11, 111]
    await clock.advance(601)
    assert connected[-1] == 712
    task.cancel()
    await asyncio.wait([task])
