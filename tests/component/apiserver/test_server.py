"""The server as clients meet it over TLS: watches, paging, deletion, restart, a full disk, bad input."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from api_server_under_test import Running, make_pki, running

pytestmark = pytest.mark.component

MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = {"Content-Type": "application/merge-patch+json"}


async def call(api: Running, method: str, path: str, document: Any = None, **headers: str) -> tuple[int, Any]:
    sent = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    body = json.dumps(document) if document is not None else None
    async with api.client.request(method, path, data=body, headers=sent) as response:
        text = await response.text()
        return response.status, json.loads(text) if text.startswith("{") else text


async def make(api: Running, name: str, **metadata: Any) -> Any:
    status, obj = await call(api, "POST", MAPS, {"metadata": {"name": name, **metadata}})
    assert status == 201, obj
    return obj


@contextlib.asynccontextmanager
async def watching(api: Running, query: str) -> AsyncIterator[asyncio.Queue[Any]]:
    events: asyncio.Queue[Any] = asyncio.Queue()

    async def read() -> None:
        async with api.client.get(f"{MAPS}?watch=1&{query}") as response:
            async for line in response.content:
                events.put_nowait(json.loads(line))
        events.put_nowait(None)

    task = asyncio.create_task(read())
    try:
        yield events
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def next_event(events: asyncio.Queue[Any]) -> tuple[str, str]:
    async with asyncio.timeout(10):
        event = await events.get()
    return event["type"], event["object"]["metadata"]["name"]


async def test_watch_from_a_list_misses_nothing(api: Running) -> None:
    await make(api, "a")
    _, listed = await call(api, "GET", MAPS)
    await make(api, "b")
    async with watching(api, f"resourceVersion={listed['metadata']['resourceVersion']}") as events:
        assert await next_event(events) == ("ADDED", "b")
        await call(api, "DELETE", f"{MAPS}/a")
        assert await next_event(events) == ("DELETED", "a")


async def test_watch_with_selector_sees_objects_enter_and_leave(api: Running) -> None:
    await make(api, "a")
    async with watching(api, "labelSelector=x%3D1&resourceVersion=0") as events:
        await call(api, "PATCH", f"{MAPS}/a", {"metadata": {"labels": {"x": "1"}}}, **MERGE)
        assert await next_event(events) == ("ADDED", "a")
        await call(api, "PATCH", f"{MAPS}/a", {"data": {"k": "v"}}, **MERGE)
        assert await next_event(events) == ("MODIFIED", "a")
        _, changed = await call(api, "PATCH", f"{MAPS}/a", {"metadata": {"labels": {"x": "2"}}}, **MERGE)
        async with asyncio.timeout(10):
            event = await events.get()
        assert event["type"] == "DELETED"
        assert event["object"]["metadata"]["labels"] == {"x": "1"}
        assert event["object"]["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]


async def test_two_watchers_of_one_name_prefix_do_not_mix(api: Running) -> None:
    async with watching(api, "fieldSelector=metadata.name%3Da") as events:
        await make(api, "ab")
        await make(api, "a")
        assert await next_event(events) == ("ADDED", "a")


async def test_objects_and_watches_survive_a_restart(tmp_path: Path) -> None:
    settings = make_pki(tmp_path)
    async with running(settings) as api:
        first = await make(api, "a")
        await make(api, "b")
    async with running(settings) as api:
        status, again = await call(api, "GET", f"{MAPS}/a")
        assert (status, again) == (200, first)
        async with watching(api, f"resourceVersion={first['metadata']['resourceVersion']}") as events:
            assert await next_event(events) == ("ADDED", "b")
        newer = await make(api, "c")
        assert int(newer["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])


async def test_pages_show_one_moment(api: Running) -> None:
    for name in "abcde":
        await make(api, name)
    _, page = await call(api, "GET", f"{MAPS}?limit=2")
    await call(api, "DELETE", f"{MAPS}/c")
    await make(api, "cc")
    names = [item["metadata"]["name"] for item in page["items"]]
    while page["metadata"].get("continue"):
        _, page = await call(api, "GET", f"{MAPS}?limit=2&continue={page['metadata']['continue']}")
        names += [item["metadata"]["name"] for item in page["items"]]
    assert names == list("abcde")


async def test_finalizer_keeps_an_object_until_it_is_removed(api: Running) -> None:
    await make(api, "a", finalizers=["example.com/f"])
    status, deleting = await call(api, "DELETE", f"{MAPS}/a")
    assert status == 200
    assert deleting["metadata"]["deletionTimestamp"]
    status, refused = await call(
        api, "PATCH", f"{MAPS}/a", {"metadata": {"finalizers": ["example.com/f", "example.com/g"]}}, **MERGE
    )
    assert status == 422
    assert "no new finalizers" in refused["message"]
    await call(api, "PATCH", f"{MAPS}/a", {"metadata": {"finalizers": None}}, **MERGE)
    assert (await call(api, "GET", f"{MAPS}/a"))[0] == 404


async def test_namespace_is_terminating_until_finalized(api: Running) -> None:
    await call(api, "POST", "/api/v1/namespaces", {"metadata": {"name": "team"}})
    _, namespace = await call(api, "DELETE", "/api/v1/namespaces/team")
    assert namespace["status"]["phase"] == "Terminating"
    status, refused = await call(
        api, "POST", "/api/v1/namespaces/team/configmaps", {"metadata": {"name": "late"}}
    )
    assert status == 403
    assert "being terminated" in refused["message"]
    namespace["spec"] = {"finalizers": []}
    status, _ = await call(api, "PUT", "/api/v1/namespaces/team/finalize", namespace)
    assert status == 200
    assert (await call(api, "GET", "/api/v1/namespaces/team"))[0] == 404


async def test_concurrent_patches_are_all_applied(api: Running) -> None:
    await make(api, "a")
    results = await asyncio.gather(
        *(call(api, "PATCH", f"{MAPS}/a", {"data": {f"k{n}": "v"}}, **MERGE) for n in range(6))
    )
    assert [status for status, _ in results] == [200] * 6
    _, obj = await call(api, "GET", f"{MAPS}/a")
    assert len(obj["data"]) == 6


async def test_full_disk_is_told_and_recovered_from(api: Running) -> None:
    database = api.server.cluster.store._database._connection
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}")
    big = {"metadata": {"name": "big"}, "data": {"k": "x" * 900_000}}
    status, refused = await call(api, "POST", MAPS, big)
    assert status == 507
    assert "no space left" in refused["message"]
    assert (await call(api, "GET", f"{MAPS}/big"))[0] == 404
    database.execute("PRAGMA max_page_count = 1000000")
    assert (await call(api, "POST", MAPS, big))[0] == 201


async def test_heartbeat_of_a_node_does_not_write_to_disk(api: Running) -> None:
    condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}
    await call(
        api, "POST", "/api/v1/nodes", {"metadata": {"name": "n"}, "status": {"conditions": [condition]}}
    )
    database = api.server.cluster.store._database._connection
    path = "/api/v1/nodes/n/status"
    _, before = await call(api, "PATCH", path, {"status": {"phase": "Running"}}, **MERGE)
    written = database.total_changes
    condition["lastHeartbeatTime"] = "2026-01-01T00:00:10Z"
    status, after = await call(api, "PATCH", path, {"status": {"conditions": [condition]}}, **MERGE)
    assert status == 200
    assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
    assert database.total_changes == written


async def test_deeply_nested_body_is_refused(api: Running) -> None:
    body = '{"a":' * 5000 + "1" + "}" * 5000
    async with api.client.post(MAPS, data=body, headers={"Content-Type": "application/json"}) as response:
        assert response.status == 400


async def test_health_version_and_unknown_paths(api: Running) -> None:
    assert await call(api, "GET", "/readyz") == (200, "ok")
    _, verbose = await call(api, "GET", "/readyz?verbose")
    assert "readyz check passed" in verbose
    assert (await call(api, "GET", "/version"))[1]["gitVersion"].startswith("v1.36")
    assert (await call(api, "GET", "/nope"))[0] == 404


async def test_table_and_metadata_forms_are_served(api: Running) -> None:
    await make(api, "a")
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    _, table = await call(api, "GET", MAPS, **accept)
    assert table["kind"] == "Table"
    assert table["rows"][0]["cells"][0] == "a"
    accept = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
    _, partial = await call(api, "GET", MAPS, **accept)
    assert partial["kind"] == "PartialObjectMetadataList"
    assert "data" not in partial["items"][0]


async def test_no_credentials_mean_anonymous(api: Running) -> None:
    status, refused = await call(api, "GET", MAPS, Authorization="")
    assert status == 403
    assert 'User "system:anonymous" cannot list resource "configmaps"' in refused["message"]


async def test_a_dry_run_reserves_no_address_and_a_refusal_none_either(api: Running) -> None:
    path = "/api/v1/namespaces/default/services"
    spec = {"clusterIP": "10.96.0.77", "ports": [{"port": 80}]}
    status, _ = await call(api, "POST", f"{path}?dryRun=All", {"metadata": {"name": "s"}, "spec": spec})
    assert status == 201
    taken = {"metadata": {"name": "kubernetes"}, "spec": spec}
    assert (await call(api, "POST", path, taken))[0] == 409
    status, stored = await call(api, "POST", path, {"metadata": {"name": "s"}, "spec": spec})
    assert (status, stored["spec"]["clusterIPs"]) == (201, ["10.96.0.77"])
    status, refused = await call(api, "POST", path, {"metadata": {"name": "t"}, "spec": spec})
    assert status == 422
    assert "provided IP is already allocated" in refused["message"]


async def test_leases_stay_in_memory_but_are_served_and_watched(api: Running) -> None:
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
    await call(api, "POST", path, {"metadata": {"name": "first"}})
    written = api.server.cluster.store._database._connection.total_changes
    status, lease = await call(api, "POST", path, {"metadata": {"name": "leader"}})
    assert status == 201
    renewal = {"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}
    status, renewed = await call(api, "PATCH", f"{path}/leader", renewal, **MERGE)
    assert (status, renewed["spec"]["renewTime"]) == (200, "2026-01-01T00:00:00.000000Z")
    assert int(renewed["metadata"]["resourceVersion"]) > int(lease["metadata"]["resourceVersion"])
    assert api.server.cluster.store._database._connection.total_changes == written


async def test_each_table_watch_is_told_the_columns_once(api: Running) -> None:
    # Watchers share rendered events; what only the first event of a stream has must not be shared.
    first = await make(api, "a")
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    url = f"{MAPS}?watch=1&resourceVersion={first['metadata']['resourceVersion']}"
    async with api.client.get(url, headers=accept) as one, api.client.get(url, headers=accept) as two:
        for name in ("b", "c"):
            await make(api, name)
            for stream in (one, two):
                table = json.loads(await asyncio.wait_for(stream.content.readline(), 10))["object"]
                assert table["rows"][0]["cells"][0] == name
                assert (table["columnDefinitions"] is not None) == (name == "b")
