"""The control plane dies at each named failpoint; what was acknowledged is there and what was begun is
finished.

A server process with the engine's controllers kills itself where the crash is worst, is started again and
must come to the end by itself: no half-written object, no orphan, no namespace or definition that stays
for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from nightly import length
from server_process import Options, ServerProcess, call, started

from edgevirt.engine import failpoints

pytestmark = pytest.mark.fault

MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.org/v1/namespaces/default/widgets"
NAMESPACES = "/api/v1/namespaces"
ALONE = Options(limits={"log_rows": 60, "wal_pages": 40})
WITH_CONTROLLERS = Options(controllers=True)
Json = dict[str, Any]

STORE_POINTS = {
    failpoints.BEFORE_ROWS: (1, 13, 60),
    failpoints.BEFORE_COMMIT: (1, 13, 60),
    failpoints.COMPACTING: (1, 2, 3),
    failpoints.COMMITTED: (1, 13, 60),
    failpoints.BEFORE_PUBLISH: (1, 13, 60),
    failpoints.PUBLISHED: (1, 13, 60),
}
OTHER_POINTS = {
    failpoints.DEFINITION_ACCEPTED,
    failpoints.DEFINITION_EMPTIED,
    failpoints.DEPENDENT_DELETED,
    failpoints.FINALIZER_REMOVING,
    failpoints.NAMESPACE_KIND_EMPTIED,
    failpoints.NAMESPACE_FINALIZING,
}


def test_every_failpoint_is_hit_by_this_suite() -> None:
    assert STORE_POINTS.keys() | OTHER_POINTS == set(failpoints.ALL)


class Writers:
    """Write until the server dies and know what each object may be: the last acknowledged or an attempt
    since."""

    def __init__(self) -> None:
        self.possible: dict[str, list[str | None]] = {}
        self._values = itertools.count()

    async def write(self, session: aiohttp.ClientSession, name: str) -> None:
        """Create, change and delete one object in turn, until an answer fails to come."""
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            while True:
                for method, path, value in (
                    ("POST", MAPS, f"v{next(self._values)}"),
                    ("PATCH", f"{MAPS}/{name}", f"v{next(self._values)}"),
                    ("PATCH", f"{MAPS}/{name}", f"v{next(self._values)}"),
                    ("DELETE", f"{MAPS}/{name}", None),
                ):
                    document = {"metadata": {"name": name}, "data": {"v": value}} if value else None
                    self.possible.setdefault(name, [None]).append(value)
                    status, answer = await call(
                        session, method, path, document, MERGE if method == "PATCH" else "application/json"
                    )
                    assert status < 300, answer
                    self.possible[name] = [value]


@pytest.mark.parametrize("point", STORE_POINTS)
async def test_writes_are_whole_and_there_after_death_in_the_store(point: str, tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, ALONE)
    times = STORE_POINTS[point]
    for round_, count in enumerate(times if length(0, 1) else times[1:2]):
        await server.start(point, count)
        writers = Writers()
        async with server.session() as session, asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(writers.write(session, f"r{round_}-w{number}"))
        await server.died()
        await server.start()
        async with server.session() as session:
            status, listed = await call(session, "GET", MAPS)
            assert status == 200
            found = {
                item["metadata"]["name"]: item["data"]["v"] for item in listed["items"] if "data" in item
            }
            for name, possible in writers.possible.items():
                assert found.get(name) in possible, name
                await check_whole(session, name, found.get(name))
        await server.stop()


async def check_whole(session: aiohttp.ClientSession, name: str, value: str | None) -> None:
    """The object can be read, changed and deleted like any other."""
    document = {"metadata": {"name": name}, "data": {"v": "after"}}
    if value is None:
        status, _ = await call(session, "POST", MAPS, document)
        assert status == 201
    status, answer = await call(session, "PATCH", f"{MAPS}/{name}", document, MERGE)
    assert (status, answer["data"]) == (200, {"v": "after"})
    status, _ = await call(session, "DELETE", f"{MAPS}/{name}")
    assert status == 200


async def until(session: aiohttp.ClientSession, collection: str, name: str, wanted: Any) -> None:
    """Waits for an object (None: its absence) that `wanted` accepts, by watching it."""
    query = f"fieldSelector=metadata.name%3D{name}"
    async with asyncio.timeout(40):
        status, listed = await call(session, "GET", f"{collection}?{query}")
        assert status == 200, listed
        if wanted(listed["items"][0] if listed["items"] else None):
            return
        version = listed["metadata"]["resourceVersion"]
        async with session.get(f"{collection}?watch=1&{query}&resourceVersion={version}") as watch:
            async for line in watch.content:
                event = json.loads(line)
                assert event["type"] != "ERROR", event
                if wanted(None if event["type"] == "DELETED" else event["object"]):
                    return
    raise AssertionError("the watch ended")


def is_gone(obj: Json | None) -> bool:
    return obj is None


def is_established(obj: Json | None) -> bool:
    conditions = ((obj or {}).get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def definition() -> Json:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "metadata": {"name": "widgets.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }


def widget(name: str) -> Json:
    return {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": name}}


async def create(session: aiohttp.ClientSession, path: str, document: Json) -> Json:
    status, answer = await call(session, "POST", path, document)
    assert status == 201, answer
    created: Json = answer
    return created


async def deadly(server: ServerProcess, method: str, path: str, document: Json | None = None) -> None:
    """A request that leads to the server's death, before or after its answer."""
    async with server.session() as session:
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            status, answer = await call(session, method, path, document)
            assert status < 300, answer
    await server.died()


async def test_definition_is_established_though_the_server_died_before_saying_so(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, ALONE)
    await server.start(failpoints.DEFINITION_ACCEPTED)
    await deadly(server, "POST", DEFINITIONS, definition())
    await server.start()
    async with server.session() as session:
        await until(session, DEFINITIONS, "widgets.example.org", is_established)
        await create(session, WIDGETS, widget("w"))
    await server.stop()


async def test_deleted_definition_goes_with_all_its_objects(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, ALONE)
    await server.start(failpoints.DEFINITION_EMPTIED)
    async with server.session() as session:
        await create(session, DEFINITIONS, definition())
        for number in range(20):
            await create(session, WIDGETS, widget(f"w{number}"))
    await deadly(server, "DELETE", f"{DEFINITIONS}/widgets.example.org")
    await server.start()
    async with server.session() as session:
        await until(session, DEFINITIONS, "widgets.example.org", is_gone)
        await create(session, DEFINITIONS, definition())
        await until(session, DEFINITIONS, "widgets.example.org", is_established)
        _, listed = await call(session, "GET", WIDGETS)
        assert listed["items"] == []
    await server.stop()


def owned(name: str, *owners: Json, blocks: bool = False) -> Json:
    references = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": blocks,
        }
        for owner in owners
    ]
    return {"metadata": {"name": name, "ownerReferences": references}}


@pytest.mark.parametrize(
    ("point", "times", "policy"),
    [
        (failpoints.DEPENDENT_DELETED, 7, "Background"),
        (failpoints.DEPENDENT_DELETED, 7, "Foreground"),
        (failpoints.FINALIZER_REMOVING, 1, "Foreground"),
    ],
)
async def test_cascade_is_finished_by_the_next_process(
    point: str, times: int, policy: str, tmp_path: Path
) -> None:
    server = ServerProcess(tmp_path, WITH_CONTROLLERS)
    await server.start(point, times)
    async with server.session() as session:
        doomed = await create(session, MAPS, {"metadata": {"name": "doomed"}})
        living = await create(session, MAPS, {"metadata": {"name": "living"}})
        for number in range(15):
            child = await create(session, MAPS, owned(f"child{number}", doomed, blocks=True))
            await create(session, MAPS, owned(f"grandchild{number}", child, blocks=True))
        await create(session, MAPS, owned("shared", doomed, living))
    await deadly(server, "DELETE", f"{MAPS}/doomed", {"propagationPolicy": policy})
    await server.start()
    async with server.session() as session:
        await until(session, MAPS, "doomed", is_gone)
        for number in range(15):
            await until(session, MAPS, f"child{number}", is_gone)
            await until(session, MAPS, f"grandchild{number}", is_gone)

        def lives_alone(obj: Json | None) -> bool:
            assert obj is not None
            return [one["name"] for one in obj["metadata"]["ownerReferences"]] == ["living"]

        status, _ = await call(session, "GET", f"{MAPS}/living")
        assert status == 200
        if policy == "Foreground":
            await until(session, MAPS, "shared", lives_alone)
        status, _ = await call(session, "GET", f"{MAPS}/shared")
        assert status == 200
    await server.stop()


@pytest.mark.parametrize("point", [failpoints.NAMESPACE_KIND_EMPTIED, failpoints.NAMESPACE_FINALIZING])
async def test_deleted_namespace_ends_though_the_server_died_emptying_it(point: str, tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, WITH_CONTROLLERS)
    await server.start(point)
    async with server.session() as session:
        await create(session, NAMESPACES, {"metadata": {"name": "doomed"}})
        for kind in ("configmaps", "secrets", "services"):
            for number in range(4):
                document = {"metadata": {"name": f"n{number}"}}
                if kind == "services":
                    document["spec"] = {"clusterIP": "None"}  # type: ignore[dict-item]
                await create(session, f"{NAMESPACES}/doomed/{kind}", document)
    await deadly(server, "DELETE", f"{NAMESPACES}/doomed")
    await server.start()
    async with server.session() as session:
        await until(session, NAMESPACES, "doomed", is_gone)
        await create(session, NAMESPACES, {"metadata": {"name": "doomed"}})
        for kind in ("configmaps", "secrets", "services"):
            _, listed = await call(session, "GET", f"{NAMESPACES}/doomed/{kind}")
            assert [i for i in listed["items"] if i["metadata"]["name"].startswith("n")] == []
    await server.stop()


async def test_server_without_failpoints_lives(tmp_path: Path) -> None:
    async with started(tmp_path, ALONE) as server, server.session() as session:
        writers = Writers()
        writing = asyncio.create_task(writers.write(session, "w"))
        await until(session, MAPS, "w", lambda obj: obj is not None)
        writing.cancel()
        await asyncio.wait({writing})
        status, _ = await call(session, "GET", MAPS)
        assert status == 200
