"""Events older than an hour go, and going costs the disk little."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgevirt.engine.apiserver.cluster import storage_prefix
from edgevirt.engine.apiserver.expiry import sweep
from edgevirt.engine.store.database import Database, Row
from edgevirt.engine.store.store import Store

pytestmark = pytest.mark.unit

OLD, FRESH = "2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z"
AN_HOUR_BEFORE_FRESH = "2026-01-01T01:00:00Z"


async def add(store: Store, name: str, last: str) -> None:
    metadata = {"name": name, "namespace": "default"}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": metadata, "lastTimestamp": last}
    collection = store.collection(storage_prefix("", "events"))
    await store.create(collection, f"default/{name}", lambda _: msgspec.json.encode(event))


async def test_only_old_events_are_removed(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store.db")
    await add(store, "old", OLD)
    await add(store, "fresh", FRESH)

    await sweep(store, AN_HOUR_BEFORE_FRESH)

    left = [record.key for record in store.collection(storage_prefix("", "events")).scan()]
    assert left == ["default/fresh"]
    await store.close()


async def test_events_that_expire_together_share_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await Store.open(tmp_path / "store.db")
    for number in range(50):
        await add(store, f"old-{number}", OLD)
    batches: list[int] = []
    commit = Database.commit

    def counting(database: Database, rows: list[Row], reserved: int | None) -> int:
        batches.append(len(rows))
        return commit(database, rows, reserved)

    monkeypatch.setattr(Database, "commit", counting)

    await sweep(store, AN_HOUR_BEFORE_FRESH)

    assert sum(batches) == 50
    assert len(batches) <= 3
    await store.close()
