"""Lists too long for one piece: complete in every form, and nobody waits for them."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from api_server_under_test import Running

pytestmark = pytest.mark.component

MAPS = "/api/v1/namespaces/default/configmaps"
COUNT = 230
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


@pytest.fixture
async def many(api: Running) -> Running:
    """As many config maps, together several pieces long."""
    for number in range(COUNT):
        document = {"metadata": {"name": f"m{number:03}"}, "data": {"text": "x" * 2_000}}
        async with api.client.post(MAPS, json=document) as response:
            assert response.status == 201
    return api


async def listed(api: Running, accept: str = "application/json", query: str = "") -> tuple[Any, Any]:
    async with api.client.get(f"{MAPS}{query}", headers={"Accept": accept}) as response:
        assert response.status == 200
        return json.loads(await response.read()), response.headers


async def test_a_long_list_is_complete_in_every_form(many: Running) -> None:
    names = [f"m{number:03}" for number in range(COUNT)]
    whole, headers = await listed(many)
    assert headers["Transfer-Encoding"] == "chunked"
    assert (whole["kind"], whole["apiVersion"]) == ("ConfigMapList", "v1")
    assert [item["metadata"]["name"] for item in whole["items"]] == names
    assert all(item["data"]["text"] == "x" * 2_000 and "kind" not in item for item in whole["items"])
    table, headers = await listed(many, TABLE)
    assert headers["Transfer-Encoding"] == "chunked"
    assert [row["cells"][0] for row in table["rows"]] == names
    assert table["kind"] == "Table"
    assert table["columnDefinitions"][0]["name"] == "Name"
    partial, _ = await listed(many, PARTIAL)
    assert [item["metadata"]["name"] for item in partial["items"]] == names
    assert partial["metadata"]["resourceVersion"] == whole["metadata"]["resourceVersion"]
    pretty, headers = await listed(many, query="?pretty=1")
    assert "Content-Length" in headers
    assert pretty == whole


async def test_a_page_of_a_long_list_says_how_many_follow(many: Running) -> None:
    page, _ = await listed(many, query="?limit=200")
    assert len(page["items"]) == 200
    assert page["metadata"]["remainingItemCount"] == COUNT - 200
    rest, _ = await listed(many, query=f"?limit=200&continue={page['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in rest["items"]] == [f"m{n:03}" for n in range(200, COUNT)]
    assert "continue" not in rest["metadata"]


async def test_other_requests_are_answered_while_a_list_is_not_read(many: Running) -> None:
    async with many.client.get(f"{MAPS}?limit={COUNT}") as unread:
        async with many.client.get(f"{MAPS}/m000", timeout=aiohttp.ClientTimeout(10)) as response:
            assert response.status == 200
        assert len(json.loads(await unread.read())["items"]) == COUNT


async def test_an_old_client_gets_a_long_list_without_chunks(many: Running) -> None:
    async with aiohttp.ClientSession(version=aiohttp.HttpVersion10) as client:
        connector = many.client.connector
        assert connector is not None
        async with client.get(
            f"{many.url}{MAPS}",
            ssl=connector._ssl,  # type: ignore[attr-defined]
            headers={"Authorization": "Bearer admin"},
        ) as response:
            assert "Transfer-Encoding" not in response.headers
            assert len(json.loads(await response.read())["items"]) == COUNT


async def test_a_watcher_that_reads_late_misses_nothing(api: Running) -> None:
    # More than all buffers on the way hold: the server has to wait for this client, and for nobody else.
    async with api.client.get(MAPS) as response:
        version = (await response.json())["metadata"]["resourceVersion"]
    text = "x" * 100_000
    async with api.client.get(f"{MAPS}?watch=1&resourceVersion={version}", read_bufsize=2**18) as unread:
        for number in range(150):
            document = {"metadata": {"name": f"w{number:03}"}, "data": {"text": text}}
            async with api.client.post(MAPS, json=document) as response:
                assert response.status == 201
        for number in range(150):
            event = json.loads(await unread.content.readline())
            assert event["object"]["metadata"]["name"] == f"w{number:03}"
