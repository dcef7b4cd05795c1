"""Whatever is sent as a continue token, the answer is a page, or 400, or 410."""

from __future__ import annotations

import base64
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.engine.apiserver.cluster import Cluster, Seams
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.http.options import list_options
from edgevirt.engine.apiserver.kinds.builtins import builtin_registry
from edgevirt.engine.apiserver.reading.read import Page, list_records
from edgevirt.engine.apiserver.reading.selectors import EVERYTHING
from edgevirt.engine.store.store import Store

pytestmark = pytest.mark.unit

VALUES: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers())
)
DOCUMENTS = st.fixed_dictionaries(
    {}, optional={"v": VALUES, "rv": VALUES | st.integers(-2, 12), "start": VALUES | st.text(max_size=8)}
)


def encoded(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


TOKENS = st.one_of(
    st.text(max_size=30),
    st.binary(max_size=40).map(lambda data: base64.urlsafe_b64encode(data).decode()),
    (DOCUMENTS | VALUES).map(encoded),
)


def at_once(listing: Coroutine[Any, Any, Page]) -> Page:
    """The outcome of a list that waits for nothing, where nobody can await it."""
    with pytest.raises(StopIteration) as end:
        listing.send(None)
    page: Page = end.value.value
    return page


async def test_any_continue_token_is_a_page_or_refused(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "s")
    cluster = Cluster(store, builtin_registry(), Seams())
    resource = cluster.registry.lookup("", "v1", "configmaps")
    assert resource is not None
    for number in range(10):
        data = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"}}'
        await store.create(cluster.collection(resource), f"default/c{number}", lambda _, data=data: data)

    @given(TOKENS)
    def try_one(token: str) -> None:
        class Query(dict[str, str]):
            def getall(self, name: str, default: list[str]) -> list[str]:
                return [self[name]] if name in self else default

        code = 200
        try:
            options = list_options(Query({"continue": token, "limit": "3"}), False)
            page = at_once(list_records(cluster, resource, "default", options, EVERYTHING))
            assert len(page.records) <= 3
        except StatusError as error:
            code = error.code
        assert code in (200, 400, 410)

    try_one()
    await store.close()


async def test_pages_put_together_are_the_whole_list(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "s")
    cluster = Cluster(store, builtin_registry(), Seams())
    resource = cluster.registry.lookup("", "v1", "configmaps")
    assert resource is not None
    collection = cluster.collection(resource)

    async def add(key: str) -> None:
        await store.create(collection, key, lambda _: b'{"metadata":{}}')

    keys = [f"{space}/{name}" for space in ("a", "b-", "b") for name in ("x", "x0", "\U0001f600", "y.z")]
    for key in keys:
        await add(key)
    for limit in range(1, 8):
        found: list[str] = []
        token = ""
        while True:
            query = {"limit": str(limit), **({"continue": token} if token else {})}
            page = await list_records(cluster, resource, "", list_options(query, False), EVERYTHING)
            found += [record.key for record in page.records]
            token = page.token
            if not token:
                break
            await add(f"late/{limit}-{len(found)}")
        assert [key for key in found if not key.startswith("late")] == sorted(keys)
        assert not [key for key in found if key.startswith(f"late/{limit}-")]
    await store.close()
