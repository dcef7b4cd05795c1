"""The n-th write or sync of a create fails, for every n: the client is told, nothing is lost, it works again.

A real server over TLS on a real file, whose file operations are made to fail under SQLite: once, or from a
point on until "the disk is repaired". EIO and ENOSPC. No restart is needed at the end of any of it;
afterwards the file is opened again as a crash would leave it.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from api_server_under_test import Running, make_pki, running
from recording_vfs import Nth, Operation, RecordingVfs, input_output_error, no_space

from edgevirt.engine.apiserver.cluster import storage_prefix
from edgevirt.engine.store.database import Database, Limits, Row
from edgevirt.engine.store.errors import StoreUnreadable
from edgevirt.engine.store.store import StoreSettings

pytestmark = pytest.mark.fault

MAPS = "/api/v1/namespaces/default/configmaps"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
JSON = {"Content-Type": "application/json"}
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
async def faulty(tmp_path: Path) -> AsyncIterator[tuple[Running, RecordingVfs]]:
    """A server whose log file is checkpointed and whose history is compacted every few writes."""
    settings = make_pki(tmp_path)
    store = StoreSettings(limits=Limits(log_rows=40, wal_pages=24))
    with RecordingVfs() as vfs:
        async with running(dataclasses.replace(settings, store=store)) as api:
            yield api, vfs
            vfs.inject = None


async def call(api: Running, method: str, path: str, document: Any = None, **headers: str) -> tuple[int, Any]:
    body = json.dumps(document) if document is not None else None
    async with api.client.request(method, path, data=body, headers=headers or JSON) as response:
        return response.status, await response.json()


def config_map(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"k": "v" * 3000}}


def check_refusal(status: int, answer: Any, full: bool) -> None:
    assert answer["kind"] == "Status"
    assert answer["status"] == "Failure"
    assert answer["reason"] == "InternalError"
    assert status == answer["code"]
    if status == 507:
        assert full
        assert "no space left for the store" in answer["message"]
        assert "free space on its disk, then retry" in answer["message"]
    else:
        assert status == 500
        assert "the change is not made. Check the disk under it, then retry" in answer["message"]


@pytest.mark.parametrize("on", [False, True], ids=["once", "until repaired"])
@pytest.mark.parametrize("code", [input_output_error, no_space], ids=["EIO", "ENOSPC"])
async def test_any_failing_operation_of_a_create_is_told_and_recovered_from(
    faulty: tuple[Running, RecordingVfs],
    code: Callable[[Operation], int],
    on: bool,
    tmp_path: Path,
) -> None:
    api, vfs = faulty
    acknowledged: set[str] = set()
    refused, unharmed = 0, 0
    for position in range(1, 40):
        inject = vfs.inject = Nth(position, code, on)
        name = f"n{position}"
        status, answer = await call(api, "POST", MAPS, config_map(name))
        if status == 201:
            acknowledged.add(name)
            unharmed += inject.hits > 0
        else:
            refused += 1
            check_refusal(status, answer, code is no_space)
            status, _ = await call(api, "GET", f"{MAPS}/{name}")
            assert status == 404
        vfs.inject = None
        again, answer = await call(api, "POST", MAPS, config_map(name))
        assert again == (409 if name in acknowledged else 201), answer
        acknowledged.add(name)
    assert refused >= 5
    assert unharmed  # a checkpoint that fails costs nobody an answer: the log still has everything
    _, listed = await call(api, "GET", MAPS)
    assert {item["metadata"]["name"] for item in listed["items"]} >= acknowledged
    assert _on_disk_after_a_crash(api, tmp_path) >= acknowledged


def _on_disk_after_a_crash(api: Running, tmp_path: Path) -> set[str]:
    """Names of config maps in a copy of the files as they are now."""
    left = tmp_path / "left"
    left.mkdir()
    for file in (tmp_path / "data").glob("store.db*"):
        shutil.copy(file, left / file.name)
    database = Database(left / "store.db", Limits())
    prefix = storage_prefix("", "configmaps")
    found = {key.partition("/")[2] for name, key, _, _ in database.objects() if name == prefix}
    database.close()
    return found


@pytest.mark.parametrize("code", [input_output_error, no_space], ids=["EIO", "ENOSPC"])
async def test_reads_and_watches_go_on_while_nothing_can_be_written(
    faulty: tuple[Running, RecordingVfs], code: Callable[[Operation], int]
) -> None:
    api, vfs = faulty
    status, created = await call(api, "POST", MAPS, config_map("before"))
    assert status == 201
    version = created["metadata"]["resourceVersion"]
    async with api.client.get(f"{MAPS}?watch=1&resourceVersion={version}") as watch:
        vfs.inject = Nth(1, code, on=True)
        for method, path, document, headers in (
            ("POST", MAPS, config_map("refused"), JSON),
            ("PUT", f"{MAPS}/before", config_map("before") | {"data": {"k": "w"}}, JSON),
            ("PATCH", f"{MAPS}/before", {"data": {"k": "x"}}, MERGE),
            ("DELETE", f"{MAPS}/before", None, JSON),
        ):
            status, answer = await call(api, method, path, document, **headers)
            check_refusal(status, answer, code is no_space)
        status, kept = await call(api, "GET", f"{MAPS}/before")
        assert (status, kept) == (200, created)
        _, listed = await call(api, "GET", MAPS)
        assert "refused" not in {item["metadata"]["name"] for item in listed["items"]}
        vfs.inject = None
        status, after = await call(api, "POST", MAPS, config_map("after"))
        assert status == 201
        event = json.loads(await watch.content.readline())
        assert (event["type"], event["object"]) == ("ADDED", after)


@pytest.mark.parametrize("code", [input_output_error, no_space], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("existing", [False, True], ids=["new store", "after a kill"])
def test_store_that_cannot_be_opened_says_so_and_can_be_opened_later(
    tmp_path: Path, code: Callable[[Operation], int], existing: bool
) -> None:
    """Any write or sync of an opening or a closing fails: no damage is claimed, and none is done."""
    rows = [Row("ADDED", "c/", f"k{n}", n + 1, b"v" * 3000) for n in range(20)]
    said: list[str] = []
    for position in range(1, 30):
        path = tmp_path / str(position) / "store.db"
        path.parent.mkdir()
        if existing:
            database = Database(path, Limits())
            database.commit(rows, None)
            left = shutil.copytree(path.parent, tmp_path / f"{position}-left")
            database.close()
            path = left / "store.db"
        with RecordingVfs(Nth(position, code, on=True)):
            try:
                Database(path, Limits()).close()
            except StoreUnreadable as error:
                said.append(str(error))
        database = Database(path, Limits())
        assert len(list(database.objects())) == (20 if existing else 0)
        database.commit([Row("ADDED", "c/", "new", 100, b"v")], None)
        database.close()
    assert said or existing
    assert all("cannot be opened" in text for text in said)


async def test_heartbeat_after_a_failed_sync_is_seen_only_once_the_log_is_healed(
    faulty: tuple[Running, RecordingVfs],
) -> None:
    """A watcher that saw a later revision would miss the failed change if a crash brought it back."""
    api, vfs = faulty
    lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}}
    status, _ = await call(api, "POST", LEASES, lease)
    assert status == 201
    vfs.inject = Nth(1, input_output_error, on=True)
    status, _ = await call(api, "POST", MAPS, config_map("refused"))
    assert status == 500
    status, answer = await call(api, "PATCH", f"{LEASES}/l", {"spec": {"holderIdentity": "b"}}, **MERGE)
    assert status == 500, answer
    vfs.inject = None
    before = len(vfs.operations)
    status, _ = await call(api, "PATCH", f"{LEASES}/l", {"spec": {"holderIdentity": "b"}}, **MERGE)
    assert status == 200
    assert len(vfs.operations) > before
    before = len(vfs.operations)
    status, _ = await call(api, "PATCH", f"{LEASES}/l", {"spec": {"holderIdentity": "c"}}, **MERGE)
    assert status == 200
    assert len(vfs.operations) == before
